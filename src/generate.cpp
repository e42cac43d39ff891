// The generator: random arrays by number, the six families, the scaling to |A| = R.
// Every sum below has one fixed order; the bits do not depend on flags (but -ffp-contract=off).
#include "generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "philox.hpp"
#include "softreg/error.hpp"
#include "softreg/model/math.hpp"

namespace softreg {
namespace {

// The array numbers of the counter. A number is never reused: new problems take new numbers.
enum ArrayNumber : std::uint8_t {
  array_a = 0,
  array_x_star = 1,
  array_rows = 2,
  array_spike = 3,
  array_left = 4,
  array_right = 5,
  array_lanczos = 6,
};

constexpr std::array<std::pair<std::string_view, Family>, 6> families = {{
    {"plain", Family::plain},
    {"spiked", Family::spiked},
    {"aligned", Family::aligned},
    {"near_rank_one", Family::near_rank_one},
    {"offset", Family::offset},
    {"one_hot", Family::one_hot},
}};

template <class... Values>
[[noreturn]] void refuse(fmt::format_string<Values...> sentence, Values&&... values) {
  throw Error(ErrorKind::usage, fmt::format(sentence, std::forward<Values>(values)...));
}

double dot(const double* x, const double* y, std::size_t n) {
  double s[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::size_t l = 0; l < 4; ++l) s[l] += x[i + l] * y[i + l];
  for (; i < n; ++i) s[0] += x[i] * y[i];
  return (s[0] + s[1]) + (s[2] + s[3]);
}

// y += c x
void add_scaled(double c, const double* x, double* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += c * x[i];
}

void scale(double c, std::span<double> x) {
  for (double& v : x) v *= c;
}

void fill_normal(const RandomArray& random, std::span<double> x) {
  for (std::size_t e = 0; e < x.size(); ++e) x[e] = normal(random.bits(e));
}

// y = A^T A v, or A A^T v when n < d: v and y have min(n,d) numbers, middle has d.
void apply_gram(const double* a, std::size_t n, std::size_t d, const double* v, double* middle,
                double* y) {
  if (d <= n) {
    std::fill(y, y + d, 0.0);
    for (std::size_t i = 0; i < n; ++i) add_scaled(dot(a + i * d, v, d), a + i * d, y, d);
  } else {
    std::fill(middle, middle + d, 0.0);
    for (std::size_t i = 0; i < n; ++i) add_scaled(v[i], a + i * d, middle, d);
    for (std::size_t i = 0; i < n; ++i) y[i] = dot(a + i * d, middle, d);
  }
}

// The largest eigenvalue of the symmetric tridiagonal matrix with `diagonal` (k) and `beside`
// (k-1), to the last bit or two: bisection on whether T - x I is negative definite.
double largest_eigenvalue(std::span<const double> diagonal, std::span<const double> beside) {
  const std::size_t k = diagonal.size();
  double low = diagonal[0], high = 0;
  for (std::size_t i = 0; i < k; ++i) {
    const double radius = (i > 0 ? beside[i - 1] : 0.0) + (i + 1 < k ? beside[i] : 0.0);
    low = std::max(low, diagonal[i]);
    high = std::max(high, diagonal[i] + radius);
  }
  const auto all_below = [&](double x) {
    double pivot = diagonal[0] - x;
    for (std::size_t i = 1; i < k && pivot < 0; ++i)
      pivot = (diagonal[i] - x) - beside[i - 1] * beside[i - 1] / pivot;
    return pivot < 0;
  };
  while (high - low > 0x1p-52 * high) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (all_below(middle) ? high : low) = middle;
  }
  return high;
}

RandomArray draw(const GenerateOptions& options, std::int64_t instance, ArrayNumber array) {
  return {options.seed, static_cast<std::uint64_t>(instance), array};
}

std::span<const double> longest_row(std::span<const double> a, std::size_t n, std::size_t d) {
  std::size_t best = 0;
  double most = -1;
  for (std::size_t i = 0; i < n; ++i) {
    const double square = dot(&a[i * d], &a[i * d], d);
    if (square > most) {
      most = square;
      best = i;
    }
  }
  return a.subspan(best * d, d);
}

// A before it is scaled.
void draw_a(const GenerateOptions& options, std::int64_t instance, std::size_t n, std::size_t d,
            std::span<double> a) {
  fill_normal(draw(options, instance, array_a), a);
  if (options.family == Family::spiked) {
    const std::size_t row = uniform_below(draw(options, instance, array_spike).bits(0), n);
    scale(50, a.subspan(row * d, d));
  } else if (options.family == Family::offset) {
    for (double& v : a) v += 100;
  } else if (options.family == Family::near_rank_one) {
    std::vector<double> u(n), v(d);
    fill_normal(draw(options, instance, array_left), u);
    fill_normal(draw(options, instance, array_right), v);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j) a[i * d + j] = u[i] * v[j] + a[i * d + j] * 1e-3;
  }
}

// z -> softmax(z) in place.
void softmax(std::span<double> z) {
  const double most = *std::max_element(z.begin(), z.end());
  double mass = 0;
  for (double& v : z) {
    v = exp_(v - most);
    mass += v;
  }
  for (double& v : z) v /= mass;
}

// z -> 1 at its first largest entry, 0 elsewhere.
void one_hot(std::span<double> z) {
  const auto top = std::max_element(z.begin(), z.end()) - z.begin();
  std::fill(z.begin(), z.end(), 0.0);
  z[static_cast<std::size_t>(top)] = 1;
}

void expect_size(std::string_view name, std::size_t size, std::size_t expected) {
  if (size != expected)
    refuse("array '{}' has {} elements but the instance needs {}", name, size, expected);
}

}  // namespace

std::string_view family_name(Family family) {
  for (const auto& [name, value] : families)
    if (value == family) return name;
  refuse("there is no family number {}", static_cast<int>(family));
}

Family family_from_name(std::string_view name) {
  std::string known;
  for (const auto& [known_name, value] : families) {
    if (known_name == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  refuse("unknown family '{}'; expected one of {}", name, known);
}

void validate(const GenerateOptions& options) {
  const auto& [n_min, n_max, d, count, family, radius, seed] = options;
  if (n_min < 1) refuse("n is {}:{} rows; at least 1 is needed", n_min, n_max);
  if (n_max < n_min) refuse("n is {}:{}; the end must not be below the start", n_min, n_max);
  if (d < 1) refuse("d is {}; at least 1 is needed", d);
  if (count < 1) refuse("count is {}; at least 1 is needed", count);
  if (!(radius >= 1e-19 && radius <= 1e19))
    refuse("radius is {}; it must lie in [1e-19, 1e19]", radius);
  family_name(family);
  const auto elements = static_cast<std::uint64_t>(n_max) * static_cast<std::uint64_t>(d);
  if (elements > RandomArray::max_elements)
    refuse("n {} times d {} is more than {} elements", n_max, d, RandomArray::max_elements);
}

int rows(const GenerateOptions& options, std::int64_t instance) {
  validate(options);
  if (instance < 0 || instance >= options.count)
    refuse("instance {} is not in [0, {})", instance, options.count);
  if (!options.ragged()) return options.n_min;
  const std::uint64_t range = static_cast<std::uint64_t>(options.n_max - options.n_min) + 1;
  const std::uint64_t bits = draw(options, instance, array_rows).bits(0);
  return options.n_min + static_cast<int>(uniform_below(bits, range));
}

std::vector<std::int64_t> row_offsets(const GenerateOptions& options) {
  validate(options);
  constexpr auto most = static_cast<std::int64_t>(RandomArray::max_elements);
  if (options.count > most / options.n_max / options.d)
    refuse("count {} times n {} times d {} is more than {} elements", options.count, options.n_max,
           options.d, most);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(options.count) + 1);
  for (std::int64_t i = 0; i < options.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    offsets[at + 1] = offsets[at] + rows(options, i);
  }
  return offsets;
}

double spectral_norm(std::span<const double> a, int n, int d) {
  const auto height = static_cast<std::size_t>(n), width = static_cast<std::size_t>(d);
  const std::size_t size = std::min(height, width);
  std::vector<double> basis(size), w(size), middle(width), diagonal, beside;
  fill_normal({0, 0, array_lanczos}, basis);
  scale(1 / sqrt_(dot(basis.data(), basis.data(), size)), basis);
  double most = 0, previous = 0;
  for (std::size_t k = 0;; ++k) {
    const double* v = &basis[k * size];
    apply_gram(a.data(), height, width, v, middle.data(), w.data());
    diagonal.push_back(dot(v, w.data(), size));
    most = std::max(most, diagonal.back());
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t j = 0; j <= k; ++j)
        add_scaled(-dot(&basis[j * size], w.data(), size), &basis[j * size], w.data(), size);
    const double next = sqrt_(dot(w.data(), w.data(), size));
    const bool last = k + 1 == size || next <= 0x1p-50 * most;
    if (last || (k >= 63 && k % 16 == 15)) {
      const double eigenvalue = largest_eigenvalue(diagonal, beside);
      if (last || eigenvalue - previous <= 0x1p-50 * eigenvalue) return sqrt_(eigenvalue);
      previous = eigenvalue;
    }
    beside.push_back(next);
    scale(1 / next, w);
    basis.insert(basis.end(), w.begin(), w.end());
  }
}

void generate_instance(const GenerateOptions& options, std::int64_t instance, std::span<double> a,
                       std::span<double> b, std::span<double> x_star) {
  const auto n = static_cast<std::size_t>(rows(options, instance));
  const auto d = static_cast<std::size_t>(options.d);
  expect_size("A", a.size(), n * d);
  expect_size("b", b.size(), n);
  expect_size("x_star", x_star.size(), d);
  draw_a(options, instance, n, d, a);
  scale(options.radius / spectral_norm(a, static_cast<int>(n), options.d), a);

  if (options.family == Family::spiked || options.family == Family::aligned) {
    const auto row = longest_row(a, n, d);
    std::copy(row.begin(), row.end(), x_star.begin());
  } else {
    fill_normal(draw(options, instance, array_x_star), x_star);
  }
  scale(options.radius / sqrt_(dot(x_star.data(), x_star.data(), d)), x_star);

  for (std::size_t i = 0; i < n; ++i) b[i] = dot(&a[i * d], x_star.data(), d);
  if (options.family == Family::one_hot) {
    one_hot(b);
  } else {
    softmax(b);
  }
}

template <class T>
GeneratedBatch<T> generate_batch(const GenerateOptions& options) {
  std::vector<std::int64_t> offsets = row_offsets(options);
  const auto total = static_cast<std::size_t>(offsets.back());
  const auto d = static_cast<std::size_t>(options.d);
  GeneratedBatch<T> batch;
  batch.a.resize(total * d);
  batch.b.resize(total);
  batch.x_star.resize(static_cast<std::size_t>(options.count) * d);
  std::vector<double> a, b, x_star(d);
  for (std::int64_t i = 0; i < options.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto first = static_cast<std::size_t>(offsets[at]);
    const auto n = static_cast<std::size_t>(offsets[at + 1]) - first;
    a.resize(n * d);
    b.resize(n);
    generate_instance(options, i, a, b, x_star);
    const auto round = [](double v) { return static_cast<T>(v); };
    std::transform(a.begin(), a.end(), &batch.a[first * d], round);
    std::transform(b.begin(), b.end(), &batch.b[first], round);
    std::transform(x_star.begin(), x_star.end(), &batch.x_star[at * d], round);
  }
  if (options.ragged()) batch.offsets = std::move(offsets);
  return batch;
}
template GeneratedBatch<float> generate_batch<float>(const GenerateOptions&);
template GeneratedBatch<double> generate_batch<double>(const GenerateOptions&);

}  // namespace softreg
