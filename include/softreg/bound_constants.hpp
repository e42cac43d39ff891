// The constants of the theorems. n: rows of A; R: at least |A| and |x|, so that |z_i| <= R^2; b in
// the simplex where it appears. What grows like exp(R^2) is returned as log10. Where a line says
// found or recalled, the statement was read in the paper or is known by its form only
// (Deng-Li-Song, arXiv 2304.10411; Zhang et al., "H2O", arXiv 2306.14048; Li-Song-Xia-Yu-Zhou,
// arXiv 2304.13276); all others are derived, with the proof in a line.
#pragma once
#include <cmath>
#include <cstdint>

namespace softreg {

inline double log10_exp(double exponent) { return 0.43429448190325182765 * exponent; }

// P0, found: |u| <= sqrt(n) exp(R^2).
inline double log10_paper_u(std::int64_t n, double r) {
  return std::log10(double(n)) / 2 + log10_exp(r * r);
}
// P1, found: |u(x) - u(y)| <= 2 sqrt(n) R exp(R^2) |x - y|. The same in A: recalled.
inline double log10_paper_u_lipschitz(std::int64_t n, double r) {
  return std::log10(2 * std::sqrt(double(n)) * r) + log10_exp(r * r);
}
// P4, recalled: |f(x) - f(y)| <= beta^-2 n^1.5 exp(3 R^2) |x - y|, beta = exp(-R^2).
inline double log10_paper_f_lipschitz(std::int64_t n, double r) {
  return 1.5 * std::log10(double(n)) + log10_exp(5 * r * r);
}
// P6: M = n^1.5 exp(10 R^2) (found), into which Li-Song-Xia-Yu-Zhou absorb every Lipschitz constant
// of f, in x and in A (recalled). M itself overflows double beyond R = 8.42.
inline double log10_paper_constant(std::int64_t n, double r) {
  return 1.5 * std::log10(double(n)) + log10_exp(10 * r * r);
}
// P7, recalled: the Hessian's, beta^-2 n^1.5 exp(20 R^2); of H2O, found: n^2 exp(40 R^2).
inline double log10_paper_hessian_lipschitz(std::int64_t n, double r) {
  return 1.5 * std::log10(double(n)) + log10_exp(22 * r * r);
}
inline double log10_h2o_hessian_lipschitz(std::int64_t n, double r) {
  return 2 * std::log10(double(n)) + log10_exp(40 * r * r);
}

// D1: u_i <= exp(R^2), as |z_i| <= |z| <= R^2.
inline double log10_largest_u(double r) { return log10_exp(r * r); }
// D2: a = <u, 1> <= n - 1 + exp(R^2) + (sqrt(n) - 1) R^2: (exp(t) - 1 - t) / t^2 increases.
inline double log10_mass_most(std::int64_t n, double r) {
  const double rho = r * r, rest = double(n) - 1 + (std::sqrt(double(n)) - 1) * rho;
  return log10_exp(rho) + std::log10(1 + rest * std::exp(-rho));
}
// D3: a >= n exp(-R^2 / sqrt(n)): Jensen, |mean of z| <= |z| / sqrt(n).
inline double log10_mass_least(std::int64_t n, double r) {
  return std::log10(double(n)) - log10_exp(r * r / std::sqrt(double(n)));
}
// D4: |u|^2 <= n - 1 + exp(2 R^2) + 2 (sqrt(n) - 1) R^2: as D2.
inline double log10_u_square_most(std::int64_t n, double r) {
  const double rho = r * r, rest = double(n) - 1 + 2 * (std::sqrt(double(n)) - 1) * rho;
  return log10_exp(2 * rho) + std::log10(1 + rest * std::exp(-2 * rho));
}
// D5: |u(x) - u(y)| <= R exp(R^2) |x - y|: the mean value of exp, entry by entry.
inline double log10_u_lipschitz(double r) { return std::log10(r) + log10_exp(r * r); }

// D8: |f(x) - f(y)| <= |A| / 2 |x - y|, attained at f = (1/2, 1/2): |diag(f) - f f^T| <= 1/2. In A
// (D8A): |x| / 2 |A - A'|.
inline double f_lipschitz(double norm_a) { return norm_a / 2; }
// D9, D10: of h = f o (f - b) and q = <f, f - b>: dh = (2 f - b) o df, dq = <2 f - b, df>.
inline double h_lipschitz(double norm_a) { return norm_a; }
inline double q_lipschitz(double norm_a) { return std::sqrt(5.0) / 2 * norm_a; }

// D11: the Hessian in z of 1/2 |f - b|^2 lies between -3/4 and 5/8. With V = Var_f(v), phi = max f:
// v^T B v <= V (1 + phi - phi^2) and >= -V (1 + |f|^2), V <= min(1/2, 2 phi (1 - phi)).
inline constexpr double curvature_most = 5.0 / 8, curvature_least = -3.0 / 4;
// The latter where b >= 0 has a sum of `mass` >= 1: of v^T B v the part of b is at least -mass V,
// and the rest at least -|f|^2 V, V <= 1/2 and V <= 2 phi (1 - phi).
inline double curvature_least_of(double mass) { return curvature_least - (mass - 1) / 2; }
// D12: |grad L(x) - grad L(y)| <= 3/4 |A|^2 |x - y|, by D11.
inline double gradient_lipschitz(double norm_a) { return 0.75 * norm_a * norm_a; }
// D13: |Hess L(x) - Hess L(y)| <= 3.975 |A|^3 |x - y|: |D^3| <= 3 |f'| |f''| + |c| |f'''|_1.
inline double hessian_lipschitz(double norm_a) { return 3.975 * norm_a * norm_a * norm_a; }
// D14: |grad L(x)| <= |A| / sqrt(2): |J| <= 1/2, |f - b| <= sqrt(2).
inline double gradient_most(double norm_a) { return norm_a * std::sqrt(0.5); }
// D17: |grad L(A) - grad L(A')| <= (1 / sqrt(2) + 3/4 |A'| |x|) |A - A'|: the product rule.
inline double gradient_lipschitz_in_a(double norm_a, double norm_x) {
  return std::sqrt(0.5) + 0.75 * norm_a * norm_x;
}
// With 1/2 |diag(w) A x|^2 added and w_i^2 >= this, the Hessian is at least l: D11 (the papers: 4
// in place of 3/4, P9, recalled; 20 in H2O, found). least_singular: of A.
inline double square_weight_for(double l, double least_singular) {
  return -curvature_least + l / (least_singular * least_singular);
}
// What the Hessian then is at least, with ridge/2 |x|^2 added as well: every w_i^2 is at least
// least_square_weight. No more than ridge - 3/4 |A|^2 without weights; may be negative. mass: the
// sum of b, at least 1.
inline double strong_convexity(double ridge, double least_square_weight, double norm_a,
                               double least_singular, double mass = 1) {
  const double in_z = curvature_least_of(mass) + least_square_weight;
  const double data = in_z < 0 ? norm_a : least_singular;
  return ridge + in_z * data * data;
}
// D17S, derived: how far the minimiser of the regularised problem moves when A does, the Hessian of
// one of both being at least l: |x*' - x*| <= this |A' - A|, R >= |A|, |A'|, |x*|, |x*'|,
// largest_square_weight = max w_i^2. l |x*' - x*| <= |grad F'(x*)|, which D17 bounds for the loss,
// and |A'^T W^2 A' - A^T W^2 A| <= 2 max w^2 R |A' - A| for the weights.
inline double minimiser_lipschitz(double l, double r, double largest_square_weight) {
  return (gradient_lipschitz_in_a(r, r) + 2 * largest_square_weight * r * r) / l;
}

// The rescaled problem, e = u - a b. D18: |e(x) - e(y)| <= exp(R^2) (1 + sqrt(n) |b|) R |x - y|.
inline double log10_rescaled_error_lipschitz(std::int64_t n, double norm_b, double r) {
  return std::log10((1 + std::sqrt(double(n)) * norm_b) * r) + log10_exp(r * r);
}
// D20: its Hessian in z is at most (2 n + 2 sqrt(n) + 2) exp(2 R^2); D19: its gradient in x moves
// by at most R^2 times that.
inline double log10_rescaled_curvature(std::int64_t n, double r) {
  return std::log10(2 * double(n) + 2 * std::sqrt(double(n)) + 2) + log10_exp(2 * r * r);
}
inline double log10_rescaled_gradient_lipschitz(std::int64_t n, double r) {
  return log10_rescaled_curvature(n, r) + 2 * std::log10(r);
}

// Of a matrix problem, S its n softmaxes (DM1-DM3, DM5): |A1 (x) A2| = |A1| |A2|, so D8 gives |S -
// S'| <= 1/2 (|A1| |A2| |X - X'| + |X| |A2| |A1 - A1'| + |A1'| |X| |A2 - A2'|), Frobenius, and
// never more than sqrt(2 n). DM4: the gradient, gradient_lipschitz(|A1| |A2|).
inline double softmaxes_shift(double a1, double a2, double x, double da1, double da2, double dx,
                              std::int64_t n) {
  return std::fmin((a1 * a2 * dx + x * a2 * da1 + a1 * x * da2) / 2, std::sqrt(2 * double(n)));
}

}  // namespace softreg
