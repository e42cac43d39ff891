// The generator: random arrays by number, the six families, the scaling to |A| = R.
// Every sum below has one fixed order; the bits do not depend on flags (but -ffp-contract=off).
#include "generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <string>
#include <utility>

#include "parallel.hpp"
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
  array_a2 = 7,
  array_spike2 = 8,
  array_left2 = 9,
  array_right2 = 10,
};

// The arrays behind A (or A1), and behind A2.
struct Drawn {
  ArrayNumber a, spike, left, right;
};
constexpr Drawn first_matrix{array_a, array_spike, array_left, array_right};
constexpr Drawn second_matrix{array_a2, array_spike2, array_left2, array_right2};

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
  return {options.seed, static_cast<std::uint64_t>(options.first + instance), array};
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

// A matrix (n, d) of the family with |A| = R.
void draw_matrix(const GenerateOptions& options, std::int64_t instance, const Drawn& numbers,
                 std::size_t n, std::size_t d, std::span<double> a) {
  fill_normal(draw(options, instance, numbers.a), a);
  if (options.family == Family::spiked) {
    const std::size_t row = uniform_below(draw(options, instance, numbers.spike).bits(0), n);
    scale(50, a.subspan(row * d, d));
  } else if (options.family == Family::offset) {
    for (double& v : a) v += 100;
  } else if (options.family == Family::near_rank_one) {
    std::vector<double> u(n), v(d);
    fill_normal(draw(options, instance, numbers.left), u);
    fill_normal(draw(options, instance, numbers.right), v);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j) a[i * d + j] = u[i] * v[j] + a[i * d + j] * 1e-3;
  }
  scale(options.radius / spectral_norm(a, static_cast<int>(n), static_cast<int>(d)), a);
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

// The logits at the hidden parameters become the target.
void to_target(const GenerateOptions& options, std::span<double> z) {
  if (options.family == Family::one_hot)
    one_hot(z);
  else
    softmax(z);
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
  const auto& [n_min, n_max, d, count, family, radius, seed, matrix, m, d2, first] = options;
  if (n_min < 1) refuse("n is {}:{} rows; at least 1 is needed", n_min, n_max);
  if (n_max < n_min) refuse("n is {}:{}; the end must not be below the start", n_min, n_max);
  if (d < 1) refuse("d is {}; at least 1 is needed", d);
  if (count < 1) refuse("count is {}; at least 1 is needed", count);
  if (first < 0 || first > std::numeric_limits<std::int64_t>::max() - count)
    refuse("the first instance is {} and the count {}; their sum must stay in 64 bits", first,
           count);
  if (!(radius >= 1e-19 && radius <= 1e19))
    refuse("radius is {}; it must lie in [1e-19, 1e19]", radius);
  family_name(family);
  const auto check_elements = [](const char* rows, int n_of, const char* columns, int d_of) {
    if (static_cast<std::uint64_t>(n_of) * static_cast<std::uint64_t>(d_of) >
        RandomArray::max_elements)
      refuse("{} {} times {} {} is more than {} elements", rows, n_of, columns, d_of,
             RandomArray::max_elements);
  };
  check_elements("n", n_max, "d", d);
  if (!matrix) return;
  if (m < 0) refuse("m is {}; at least 1 is needed", m);
  if (d2 < 1) refuse("d2 is {}; at least 1 is needed", d2);
  check_elements("m", m == 0 ? n_max : m, "d2", d2);
  check_elements("n", n_max, "m", m == 0 ? n_max : m);
  check_elements("d", d, "d2", d2);
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

int columns(const GenerateOptions& options, std::int64_t instance) {
  return options.m == 0 ? rows(options, instance) : options.m;
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
  draw_matrix(options, instance, first_matrix, n, d, a);

  if (options.family == Family::spiked || options.family == Family::aligned) {
    const auto row = longest_row(a, n, d);
    std::copy(row.begin(), row.end(), x_star.begin());
  } else {
    fill_normal(draw(options, instance, array_x_star), x_star);
  }
  scale(options.radius / sqrt_(dot(x_star.data(), x_star.data(), d)), x_star);

  for (std::size_t i = 0; i < n; ++i) b[i] = dot(&a[i * d], x_star.data(), d);
  to_target(options, b);
}

void generate_matrix_instance(const GenerateOptions& options, std::int64_t instance,
                              std::span<double> a1, std::span<double> a2, std::span<double> b,
                              std::span<double> x_star) {
  const auto n = static_cast<std::size_t>(rows(options, instance));
  const auto m = static_cast<std::size_t>(columns(options, instance));
  const auto d1 = static_cast<std::size_t>(options.d), d2 = static_cast<std::size_t>(options.d2);
  expect_size("A1", a1.size(), n * d1);
  expect_size("A2", a2.size(), m * d2);
  expect_size("B", b.size(), n * m);
  expect_size("X_star", x_star.size(), d1 * d2);
  draw_matrix(options, instance, first_matrix, n, d1, a1);
  draw_matrix(options, instance, second_matrix, m, d2, a2);

  if (options.family == Family::spiked || options.family == Family::aligned) {
    const auto left = longest_row(a1, n, d1), right = longest_row(a2, m, d2);
    for (std::size_t j = 0; j < d1; ++j)
      for (std::size_t k = 0; k < d2; ++k) x_star[j * d2 + k] = left[j] * right[k];
  } else {
    fill_normal(draw(options, instance, array_x_star), x_star);
  }
  scale(options.radius / sqrt_(dot(x_star.data(), x_star.data(), d1 * d2)), x_star);

  std::vector<double> projected(d2);  // a row of A1 X*
  for (std::size_t i = 0; i < n; ++i) {
    std::fill(projected.begin(), projected.end(), 0.0);
    for (std::size_t j = 0; j < d1; ++j)
      add_scaled(a1[i * d1 + j], &x_star[j * d2], projected.data(), d2);
    const auto row = b.subspan(i * m, m);
    for (std::size_t k = 0; k < m; ++k) row[k] = dot(projected.data(), &a2[k * d2], d2);
    to_target(options, row);
  }
}

GeneratedLayout::GeneratedLayout(const GenerateOptions& options)
    : rows(row_offsets(options)), columns(rows.size()), logits(rows.size()) {
  if (!options.matrix) {
    logits = rows;
    return;
  }
  for (std::int64_t i = 0; i < options.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t n = rows[at + 1] - rows[at], m = softreg::columns(options, i);
    columns[at + 1] = columns[at] + m;
    logits[at + 1] = logits[at] + n * m;
  }
}

template <class T>
GeneratedBatch<T> generate_batch(const GenerateOptions& options,
                                 const std::function<void(std::int64_t)>& finished, int threads) {
  GeneratedLayout layout(options);
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const std::int64_t d1 = options.d, d2 = options.d2, d = options.matrix ? d1 * d2 : d1;
  GeneratedBatch<T> batch;
  batch.a.resize(size(layout.rows.back() * d1));
  batch.a2.resize(size(layout.columns.back() * d2));
  batch.b.resize(size(layout.logits.back()));
  batch.x_star.resize(size(options.count * d));
  struct Workspace {
    std::vector<double> a, a2, b, x_star;
  };
  std::vector<Workspace> workspaces(size(worker_slots(threads)));
  std::atomic<std::int64_t> done{0};
  parallel_for(options.count, threads, [&](std::int64_t i, int slot) {
    Workspace& w = workspaces[size(slot)];
    const auto place = [&](const std::vector<std::int64_t>& offsets, std::int64_t width,
                           std::vector<double>& numbers) {
      numbers.resize(size((offsets[size(i) + 1] - offsets[size(i)]) * width));
      return offsets[size(i)] * width;
    };
    const std::int64_t a = place(layout.rows, d1, w.a), a2 = place(layout.columns, d2, w.a2);
    const std::int64_t b = place(layout.logits, 1, w.b);
    w.x_star.resize(size(d));
    if (options.matrix)
      generate_matrix_instance(options, i, w.a, w.a2, w.b, w.x_star);
    else
      generate_instance(options, i, w.a, w.b, w.x_star);
    const auto put = [](const std::vector<double>& from, std::vector<T>& to, std::int64_t first) {
      std::transform(from.begin(), from.end(), to.begin() + first,
                     [](double v) { return static_cast<T>(v); });
    };
    put(w.a, batch.a, a);
    put(w.a2, batch.a2, a2);
    put(w.b, batch.b, b);
    put(w.x_star, batch.x_star, i * d);
    ++done;
    if (finished) finished(done);
  });
  if (options.ragged()) batch.offsets = std::move(layout.rows);
  if (options.ragged() && options.matrix) batch.offsets2 = std::move(layout.columns);
  return batch;
}
template GeneratedBatch<float> generate_batch(const GenerateOptions&,
                                              const std::function<void(std::int64_t)>&, int);
template GeneratedBatch<double> generate_batch(const GenerateOptions&,
                                               const std::function<void(std::int64_t)>&, int);

}  // namespace softreg
