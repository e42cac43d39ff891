// The papers' formulas, restated without any thought for speed, overflow or cancellation: long
// double, plain loops, Jacobians written out, no shift, nothing shared with the library but the
// names of the losses. A loss without a restatement here does not compile in a test.
#pragma once
#include <cmath>
#include <vector>

#include "softreg/model/catalog.hpp"

namespace softreg::oracle {

using Real = long double;
using Vector = std::vector<Real>;

// Loss, prediction f and dL/dz at logits z, target b.
struct LossAt {
  Real loss = 0;
  Vector f, dlogits;
};

template <class L>
LossAt loss_at(const Vector& z, const Vector& b) = delete;  // a loss without an oracle

inline std::size_t at(int i) { return static_cast<std::size_t>(i); }
inline Real kronecker_delta(std::size_t i, std::size_t k) { return i == k ? 1 : 0; }

// 1/2 |r|^2 for residuals r(z) with Jacobian dr_i/dz_k.
template <class Jacobian>
LossAt half_square(const Vector& r, const Vector& f, Jacobian dr) {
  LossAt out{0, f, Vector(r.size(), 0)};
  for (std::size_t i = 0; i < r.size(); ++i) {
    out.loss += r[i] * r[i] / 2;
    for (std::size_t k = 0; k < r.size(); ++k) out.dlogits[k] += r[i] * dr(i, k);
  }
  return out;
}
// r = phi(z) - b
template <class F, class G>
LossAt elementwise(const Vector& z, const Vector& b, F phi, G derivative) {
  Vector f = z, r = z, slope = z;
  for (std::size_t i = 0; i < z.size(); ++i) {
    f[i] = phi(z[i]);
    r[i] = f[i] - b[i];
    slope[i] = derivative(z[i]);
  }
  return half_square(
      r, f, [&](std::size_t i, std::size_t k) { return kronecker_delta(i, k) * slope[i]; });
}

inline Vector exponentials(const Vector& z) {
  Vector u = z;
  for (Real& v : u) v = std::exp(v);
  return u;
}
inline Real total(const Vector& v) {
  Real sum = 0;
  for (const Real e : v) sum += e;
  return sum;
}
inline Vector softmax(const Vector& z) {
  const Vector u = exponentials(z);
  const Real mass = total(u);
  Vector f = u;
  for (Real& v : f) v /= mass;
  return f;
}

// f = u / <u, 1>, L = 1/2 |f - b|^2, df_i/dz_k = f_i (delta_ik - f_k)
template <>
inline LossAt loss_at<SoftmaxL2>(const Vector& z, const Vector& b) {
  const Vector f = softmax(z);
  Vector c = f;
  for (std::size_t i = 0; i < c.size(); ++i) c[i] -= b[i];
  return half_square(
      c, f, [&](std::size_t i, std::size_t k) { return f[i] * (kronecker_delta(i, k) - f[k]); });
}

// e = u - <u, 1> b, L = 1/2 |e|^2, de_i/dz_k = delta_ik u_i - b_i u_k
template <>
inline LossAt loss_at<RescaledL2>(const Vector& z, const Vector& b) {
  const Vector u = exponentials(z);
  const Real mass = total(u);
  Vector e = u;
  for (std::size_t i = 0; i < e.size(); ++i) e[i] -= mass * b[i];
  return half_square(e, softmax(z), [&](std::size_t i, std::size_t k) {
    return kronecker_delta(i, k) * u[i] - b[i] * u[k];
  });
}

// L = -sum b_i log f_i, d(log f_i)/dz_k = delta_ik - f_k
template <>
inline LossAt loss_at<CrossEntropy>(const Vector& z, const Vector& b) {
  const Real log_mass = std::log(total(exponentials(z)));
  LossAt out{0, softmax(z), Vector(z.size(), 0)};
  for (std::size_t i = 0; i < z.size(); ++i) {
    out.loss -= b[i] * (z[i] - log_mass);
    for (std::size_t k = 0; k < z.size(); ++k)
      out.dlogits[k] -= b[i] * (kronecker_delta(i, k) - out.f[k]);
  }
  return out;
}

// L = 1/2 |phi(z) - b|^2
template <>
inline LossAt loss_at<LeastSquares>(const Vector& z, const Vector& b) {
  return elementwise(
      z, b, [](Real v) { return v; }, [](Real) { return Real(1); });
}
template <>
inline LossAt loss_at<ExpL2>(const Vector& z, const Vector& b) {
  const auto exp = [](Real v) { return std::exp(v); };
  return elementwise(z, b, exp, exp);
}
template <>
inline LossAt loss_at<CoshL2>(const Vector& z, const Vector& b) {
  return elementwise(
      z, b, [](Real v) { return std::cosh(v); }, [](Real v) { return std::sinh(v); });
}
template <>
inline LossAt loss_at<SinhL2>(const Vector& z, const Vector& b) {
  return elementwise(
      z, b, [](Real v) { return std::sinh(v); }, [](Real v) { return std::cosh(v); });
}

// One instance: L(Ax) + 1/2 |diag(w) A x|^2 + ridge/2 |x|^2, minimised over |x| <= ball (0: no
// ball).
struct Problem {
  int n = 0, d = 0;
  Vector a;     // (n, d)
  Vector b, w;  // (n); w empty: none
  Vector x0;    // (d)
  Real ridge = 0, ball = 0, step_size = 0;
};

struct PointAt {
  Real loss = 0, objective = 0, log_mass = 0;
  Vector z, f, dlogits;       // (n); dlogits of the objective
  Vector gradient, attended;  // (d): of the objective; A^T f
};

inline Real length(const Vector& v) {
  Real sum = 0;
  for (const Real e : v) sum += e * e;
  return std::sqrt(sum);
}

// nudge (n), added to the logits, or empty.
template <class L>
PointAt evaluate(const Problem& p, const Vector& x, const Vector& nudge = {}) {
  PointAt out;
  out.z.assign(at(p.n), 0);
  for (int i = 0; i < p.n; ++i) {
    for (int j = 0; j < p.d; ++j) out.z[at(i)] += p.a[at(i * p.d + j)] * x[at(j)];
    if (!nudge.empty()) out.z[at(i)] += nudge[at(i)];
  }
  LossAt l = loss_at<L>(out.z, p.b);
  out.loss = l.loss;
  out.objective = l.loss + p.ridge / 2 * length(x) * length(x);
  out.log_mass = std::log(total(exponentials(out.z)));
  out.f = l.f;
  out.dlogits = l.dlogits;
  for (int i = 0; i < p.n && !p.w.empty(); ++i) {
    const Real wz = p.w[at(i)] * out.z[at(i)];
    out.objective += wz * wz / 2;
    out.dlogits[at(i)] += p.w[at(i)] * wz;
  }
  for (int j = 0; j < p.d; ++j) {
    out.gradient.push_back(p.ridge * x[at(j)]);
    out.attended.push_back(0);
    for (int i = 0; i < p.n; ++i) {
      out.gradient[at(j)] += p.a[at(i * p.d + j)] * out.dlogits[at(i)];
      out.attended[at(j)] += p.a[at(i * p.d + j)] * out.f[at(i)];
    }
  }
  return out;
}

inline Vector project(Vector x, Real ball) {
  const Real reach = length(x);
  for (Real& v : x)
    if (ball > 0 && reach > ball) v *= ball / reach;
  return x;
}
// P(x - t g)
inline Vector descend(const Problem& p, const Vector& x, const Vector& gradient) {
  Vector next = x;
  for (std::size_t j = 0; j < x.size(); ++j) next[j] -= p.step_size * gradient[j];
  return project(next, p.ball);
}
// |x - P(x - t g)| / t, which is |g| without a ball
inline Real gradient_norm(const Problem& p, const Vector& x, const Vector& gradient) {
  if (p.ball == 0) return length(gradient);
  Vector mapping = descend(p, x, gradient);
  for (std::size_t j = 0; j < x.size(); ++j) mapping[j] = (x[j] - mapping[j]) / p.step_size;
  return length(mapping);
}

// The point after `steps` updates, where loss and gradient are reported. gradient(k, x) is the
// gradient of the objective at step k. Nesterov: next = P(y - t g(y)), y <- P(next + k/(k+3) (next
// - x)), x <- next; the point is y.
template <class Gradient>
Vector iterate(const Problem& p, const GradientDescent&, int steps, Gradient gradient) {
  Vector x = p.x0;
  for (int k = 0; k < steps; ++k) x = descend(p, x, gradient(k, x));
  return x;
}
template <class Gradient>
Vector iterate(const Problem& p, const Nesterov&, int steps, Gradient gradient) {
  Vector x = p.x0, y = p.x0;
  for (int k = 0; k < steps; ++k) {
    const Vector next = descend(p, y, gradient(k, y));
    for (std::size_t j = 0; j < x.size(); ++j)
      y[j] = next[j] + Real(k) / Real(k + 3) * (next[j] - x[j]);
    y = project(y, p.ball);
    x = next;
  }
  return y;
}
template <class L, class Opt>
Vector iterate(const Problem& p, const Opt& optimizer, int steps) {
  return iterate(p, optimizer, steps,
                 [&](int, const Vector& x) { return evaluate<L>(p, x).gradient; });
}

}  // namespace softreg::oracle
