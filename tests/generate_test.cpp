// The generator: what each family promises, the same bits whatever the batch, and a golden file
// that every compiler and every optimisation level must reproduce. Norms come from Eigen, softmax
// from a long double oracle.
#include "generate.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>

#include "model/spectrum.hpp"
#include "philox.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Family all_families[] = {Family::plain,         Family::spiked, Family::aligned,
                                   Family::near_rank_one, Family::offset, Family::one_hot};

struct Instance {
  int n, d;
  std::vector<double> a, b, x_star;
  Eigen::Map<const Matrix> matrix() const { return {a.data(), n, d}; }
  Eigen::Map<const Eigen::VectorXd> x() const { return {x_star.data(), d}; }
};

Instance make(const GenerateOptions& options, std::int64_t i) {
  Instance one{rows(options, i), options.d, {}, {}, {}};
  one.b.resize(static_cast<std::size_t>(one.n));
  one.x_star.resize(static_cast<std::size_t>(one.d));
  one.a.resize(one.b.size() * one.x_star.size());
  generate_instance(options, i, one.a, one.b, one.x_star);
  return one;
}

template <class T>
bool same_bits(const T* x, const T* y, std::size_t count) {
  return std::memcmp(x, y, count * sizeof(T)) == 0;
}

template <class F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "accepted";
}

// Shapes on both sides of every branch: n = 1, d = 1, d > n, beyond 64 Lanczos steps.
constexpr int shapes[][2] = {{1, 1},   {1, 5},   {5, 1},    {2, 2},    {3, 16},
                             {64, 16}, {16, 64}, {100, 65}, {65, 100}, {120, 90}};

TEST(Generate, NormsAreTheRadius) {
  int instances = 0;
  double worst_a = 0, worst_x = 0;
  for (const Family family : all_families)
    for (const auto [n, d] : shapes)
      for (const double radius : {1e-19, 0.5, 4.0, 1e19})
        for (std::int64_t i = 0; i < (n * d < 2000 ? 10 : 1); ++i, ++instances) {
          const GenerateOptions options{n, n, d, 10, family, radius, 11};
          const Instance one = make(options, i);
          // At radius 1e-19 the squares inside the norms are still normal numbers.
          worst_a = std::max(worst_a, std::abs(spectral(one.matrix()) / radius - 1));
          worst_x = std::max(worst_x, std::abs(one.x().norm() / radius - 1));
        }
  std::printf("[count] |A| = R and |x*| = R: %d instances, worst %.1e and %.1e\n", instances,
              worst_a, worst_x);
  EXPECT_LT(worst_a, 1e-12);
  EXPECT_LT(worst_x, 1e-12);
}

// |z| <= R^2; an f64 dot product of d terms is off by at most d 2^-53 |a_i| |x| <= d 2^-53 R^2, and
// so is z_max: a relative error of twice that in exp, 4 ulp for exp itself and n + 2 roundings for
// the sum and the division.
TEST(Generate, TargetIsTheSoftmaxOfTheHiddenParameters) {
  int instances = 0;
  for (const Family family : all_families) {
    if (family == Family::one_hot) continue;
    for (const auto [n, d] : shapes)
      for (const double radius : {0.1, 1.0, 6.0})
        for (std::int64_t i = 0; i < 5; ++i, ++instances) {
          const Instance one = make({n, n, d, 5, family, radius, 3}, i);
          std::vector<long double> u(one.b.size());
          for (int r = 0; r < n; ++r) {
            long double z = 0;
            for (int c = 0; c < d; ++c)
              z += static_cast<long double>(one.matrix()(r, c)) * one.x()(c);
            u[static_cast<std::size_t>(r)] = std::exp(z);
          }
          const long double mass = std::accumulate(u.begin(), u.end(), 0.0L);
          const double tolerance = 0x1p-53 * (4 * d * radius * radius + 8 + n + 2);
          double sum = 0;
          for (std::size_t r = 0; r < u.size(); ++r) {
            const auto f = static_cast<double>(u[r] / mass);
            ASSERT_NEAR(one.b[r], f, tolerance * f) << family_name(family) << " " << n << " " << d;
            sum += one.b[r];
          }
          ASSERT_NEAR(sum, 1, 0x1p-53 * (2 * n + 2));
        }
  }
  std::printf("[count] b against the long double softmax: %d\n", instances);
}

// Logits up to R^2 = 1e38: exp never sees them without their maximum.
TEST(Generate, HugeLogitsStayFinite) {
  for (const Family family : all_families)
    for (const double radius : {30.0, 1e4, 1e19})
      for (std::int64_t i = 0; i < 5; ++i) {
        const Instance one = make({9, 9, 4, 5, family, radius, 13}, i);
        const double sum = std::accumulate(one.b.begin(), one.b.end(), 0.0);
        ASSERT_NEAR(sum, 1, 0x1p-53 * 20) << family_name(family) << " " << radius;
      }
}

TEST(Generate, OneHotIsTheArgmax) {
  for (const auto [n, d] : shapes)
    for (std::int64_t i = 0; i < 20; ++i) {
      const Instance one = make({n, n, d, 20, Family::one_hot, 2.0, 9}, i);
      const Eigen::VectorXd z = one.matrix() * one.x();
      Eigen::Index top;
      z.maxCoeff(&top);
      for (std::size_t r = 0; r < one.b.size(); ++r)
        ASSERT_EQ(one.b[r], static_cast<Eigen::Index>(r) == top ? 1.0 : 0.0);
    }
}

// The families by what defines them, at (64, 16), where chance does not blur them.
struct Traits {
  double row_ratio;   // longest row / second longest
  double second;      // second singular value / first
  double top_logit;   // max z / R^2
  double mean_share;  // |mean row| sqrt(n) / |A|_F
  double target_top;  // max b
};

Traits traits(const Instance& one, double radius) {
  Eigen::VectorXd lengths = one.matrix().rowwise().norm();
  std::sort(lengths.begin(), lengths.end());
  const Eigen::VectorXd sigma = singular_values(one.matrix());
  return {lengths(one.n - 1) / lengths(one.n - 2), sigma(1) / sigma(0),
          (one.matrix() * one.x()).maxCoeff() / (radius * radius),
          one.matrix().colwise().mean().norm() * std::sqrt(one.n) / one.matrix().norm(),
          *std::max_element(one.b.begin(), one.b.end())};
}

TEST(Generate, EachFamilyHasItsDefiningProperty) {
  const double radius = 3;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<Traits> t;
    for (const Family family : all_families)
      t.push_back(traits(make({64, 64, 16, 200, family, radius, 21}, i), radius));
    const auto& [plain, spiked, aligned, rank_one, offset, one_hot] =
        std::tie(t[0], t[1], t[2], t[3], t[4], t[5]);
    // 64 chi-16 lengths: the longest row is never half again the next; the spike is 50 / 2 at
    // least.
    EXPECT_LT(plain.row_ratio, 1.5);
    EXPECT_GT(spiked.row_ratio, 10);
    // x* along the longest row: that logit is |row| R, and it is the largest.
    EXPECT_GT(spiked.top_logit, 0.99);
    EXPECT_GT(aligned.top_logit, plain.top_logit);
    EXPECT_LT(aligned.row_ratio, 1.5);
    EXPECT_LT(rank_one.second, 0.02);
    EXPECT_GT(plain.second, 0.5);
    EXPECT_GT(offset.mean_share, 0.9999);  // 1 / sqrt(1 + 100^-2)
    EXPECT_LT(plain.mean_share, 0.4);
    EXPECT_LT(rank_one.mean_share, 0.6);
    EXPECT_EQ(one_hot.target_top, 1);
    EXPECT_LT(plain.target_top, 1);
  }
}

TEST(Generate, AlignedIsTheLongestRow) {
  for (const Family family : {Family::aligned, Family::spiked})
    for (std::int64_t i = 0; i < 50; ++i) {
      const Instance one = make({30, 30, 7, 50, family, 2.0, 5}, i);
      Eigen::Index longest;
      one.matrix().rowwise().norm().maxCoeff(&longest);
      const Eigen::VectorXd row = one.matrix().row(longest).transpose();
      EXPECT_LT((one.x() - row * (2.0 / row.norm())).norm(), 1e-14);
    }
}

TEST(Generate, TheSpikeIsDrawnAmongAllRows) {
  std::vector<int> hit(8);
  for (std::int64_t i = 0; i < 400; ++i) {
    Eigen::Index longest;
    make({8, 8, 16, 400, Family::spiked, 1.0, 5}, i).matrix().rowwise().norm().maxCoeff(&longest);
    ++hit[static_cast<std::size_t>(longest)];
  }
  // 400 draws over 8 rows: 50 each with standard deviation 6.6; 4 of them.
  for (const int h : hit) EXPECT_NEAR(h, 50, 27);
}

// Bits of an instance do not depend on count, order, neighbours or the path they were asked for.
TEST(Generate, InstanceIsIndependentOfTheBatch) {
  std::int64_t compared = 0;
  for (const Family family : all_families)
    for (const int n_max : {5, 17}) {
      GenerateOptions options{5, n_max, 6, 60, family, 2.0, 0x123456789abcdef0};
      const auto batch = generate_batch<double>(options);
      const auto rounded = generate_batch<float>(options);
      const auto offsets = row_offsets(options);
      ASSERT_EQ(batch.offsets, options.ragged() ? offsets : std::vector<std::int64_t>{});
      ASSERT_EQ(batch.b.size(), static_cast<std::size_t>(offsets.back()));
      ASSERT_EQ(batch.a.size(), batch.b.size() * 6);
      options.count = 1'000'000'000'000;
      for (std::int64_t k = 0; k < 60; ++k) {
        const std::int64_t i = (k * 37 + 11) % 60;
        const Instance one = make(options, i);
        const auto at = static_cast<std::size_t>(i);
        const auto first = static_cast<std::size_t>(offsets[at]);
        ASSERT_EQ(offsets[at + 1] - offsets[at], one.n);
        ASSERT_TRUE(same_bits(&batch.a[first * 6], one.a.data(), one.a.size()));
        ASSERT_TRUE(same_bits(&batch.b[first], one.b.data(), one.b.size()));
        ASSERT_TRUE(same_bits(&batch.x_star[at * 6], one.x_star.data(), one.x_star.size()));
        for (std::size_t e = 0; e < one.a.size(); ++e)
          ASSERT_EQ(rounded.a[first * 6 + e], static_cast<float>(one.a[e]));
        for (std::size_t e = 0; e < one.b.size(); ++e)
          ASSERT_EQ(rounded.b[first + e], static_cast<float>(one.b[e]));
        for (std::size_t e = 0; e < 6; ++e)
          ASSERT_EQ(rounded.x_star[at * 6 + e], static_cast<float>(one.x_star[e]));
        compared += static_cast<std::int64_t>(2 * (one.a.size() + one.b.size() + 6));
      }
    }
  std::printf("[count] bitwise comparisons with the batch: %lld\n",
              static_cast<long long>(compared));
}

// A batch that begins later has the instances of the longer one.
TEST(Generate, PartsMakeTheWhole) {
  for (const Family family : all_families)
    for (const bool matrix : {false, true})
      for (const int n_max : {3, 8}) {
        GenerateOptions options{3, n_max, 4, 11, family, 2.0, 5};
        options.matrix = matrix;
        options.d2 = matrix ? 3 : 0;
        const auto whole = generate_batch<float>(options);
        GeneratedBatch<float> joined;
        const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
          to.insert(to.end(), from.begin(), from.end());
        };
        for (options.first = 0; options.first < 11; options.first += options.count) {
          options.count = std::min<std::int64_t>(4, 11 - options.first);
          const auto part = generate_batch<float>(options, {}, 1);
          append(joined.a, part.a);
          append(joined.a2, part.a2);
          append(joined.b, part.b);
          append(joined.x_star, part.x_star);
        }
        EXPECT_EQ(joined.a, whole.a);
        EXPECT_EQ(joined.a2, whole.a2);
        EXPECT_EQ(joined.b, whole.b);
        EXPECT_EQ(joined.x_star, whole.x_star);
      }
  GenerateOptions beyond{3, 3, 4, 11, Family::plain, 2.0, 5};
  for (const std::int64_t first :
       {std::int64_t{-1}, std::numeric_limits<std::int64_t>::max() - 10}) {
    beyond.first = first;
    EXPECT_THROW(validate(beyond), Error);
  }
}

TEST(Generate, SeedAndInstanceChangeEverything) {
  const Instance base = make({4, 4, 3, 10, Family::plain, 1.0, 7}, 2);
  const Instance seed = make({4, 4, 3, 10, Family::plain, 1.0, 8}, 2);
  const Instance next = make({4, 4, 3, 10, Family::plain, 1.0, 7}, 3);
  for (std::size_t e = 0; e < base.a.size(); ++e) {
    EXPECT_NE(base.a[e], seed.a[e]);
    EXPECT_NE(base.a[e], next.a[e]);
  }
  for (std::size_t e = 0; e < 3; ++e) EXPECT_NE(base.x_star[e], base.a[e]);
}

TEST(Generate, RaggedRowsCoverTheRange) {
  const GenerateOptions options{3, 12, 2, 10000, Family::plain, 1.0, 1};
  std::vector<int> seen(13);
  const auto offsets = row_offsets(options);
  for (std::size_t i = 0; i < 10000; ++i) {
    const std::int64_t n = offsets[i + 1] - offsets[i];
    ASSERT_TRUE(n >= 3 && n <= 12);
    ++seen[static_cast<std::size_t>(n)];
  }
  // 1000 each, standard deviation 30; 5 of them.
  for (std::size_t n = 3; n <= 12; ++n) EXPECT_NEAR(seen[n], 1000, 150);
  const GenerateOptions widest{1, 2147483647, 1, 100, Family::plain, 1.0, 1};
  int least = 2147483647, most = 0;
  for (std::int64_t i = 0; i < 100; ++i) {
    least = std::min(least, rows(widest, i));
    most = std::max(most, rows(widest, i));
  }
  EXPECT_TRUE(least >= 1 && least < (1 << 28) && most > (1 << 30));
}

// Matrices on which Lanczos' method could go wrong: an invariant subspace at once, equal or close
// leading values, zeros.
TEST(SpectralNorm, HardMatrices) {
  const auto mine = [](const Matrix& a) {
    return spectral_norm({a.data(), static_cast<std::size_t>(a.size())}, static_cast<int>(a.rows()),
                         static_cast<int>(a.cols()));
  };
  EXPECT_EQ(mine(Matrix::Zero(5, 3)), 0);
  EXPECT_NEAR(mine(Matrix::Identity(200, 200)), 1, 1e-12);
  EXPECT_NEAR(mine(Matrix::Constant(90, 120, 2.0)), 2 * std::sqrt(90.0 * 120), 1e-9);
  Matrix close = Matrix::Zero(150, 140);
  for (int i = 0; i < 140; ++i) close(i, i) = 1 - i * 1e-9;
  EXPECT_NEAR(mine(close), 1, 1e-12);
  Matrix decaying = Matrix::Zero(100, 100);
  for (int i = 0; i < 100; ++i) decaying(i, 99 - i) = std::pow(0.5, i);
  EXPECT_NEAR(mine(decaying), 1, 1e-12);
  std::srand(1);
  for (const auto [n, d] : shapes) {
    const Matrix a = Matrix::Random(n, d);
    EXPECT_NEAR(mine(a) / spectral(a), 1, 1e-12);
  }
}

// Beyond 64 steps the method stops by a test of convergence: Gaussian matrices have the smallest
// gaps there are here.
TEST(SpectralNorm, LargeShapesConverge) {
  double worst = 0;
  for (const auto& [n, d] : {std::pair{300, 200}, {200, 300}, {250, 250}})
    for (const Family family : all_families) {
      const Instance one = make({n, n, d, 1, family, 4.0, 77}, 0);
      worst = std::max(worst, std::abs(spectral(one.matrix()) / 4 - 1));
    }
  std::printf("[count] large shapes: 18, worst %.1e\n", worst);
  EXPECT_LT(worst, 1e-12);
}

TEST(Generate, RandomOptionsKeepTheContract) {
  const bool held = rc::check("norms, distribution, finiteness", [] {
    const int n = *rc::gen::inRange(1, 40), d = *rc::gen::inRange(1, 40);
    const int n_max = n + *rc::gen::inRange(0, 20);
    const Family family = all_families[*rc::gen::inRange(0, 6)];
    const double radius = std::exp(*rc::gen::inRange(-30, 3));
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const auto count = *rc::gen::inRange<std::int64_t>(1, std::int64_t{1} << 60);
    const auto i = *rc::gen::inRange<std::int64_t>(0, count);
    const Instance one = make({n, n_max, d, count, family, radius, seed}, i);
    RC_ASSERT(one.n >= n && one.n <= n_max);
    RC_ASSERT(std::abs(spectral(one.matrix()) / radius - 1) < 1e-12);
    RC_ASSERT(std::abs(one.x().norm() / radius - 1) < 1e-12);
    double sum = 0;
    for (const double b : one.b) {
      RC_ASSERT(b >= 0 && b <= 1);
      sum += b;
    }
    RC_ASSERT(std::abs(sum - 1) <= 0x1p-53 * (2 * one.n + 2));
  });
  EXPECT_TRUE(held);
}

TEST(Generate, FamilyNames) {
  for (const Family family : all_families) EXPECT_EQ(family_from_name(family_name(family)), family);
  EXPECT_EQ(
      refusal([] { family_from_name("spike"); }),
      "unknown family 'spike'; expected one of plain, spiked, aligned, near_rank_one, offset, "
      "one_hot");
  EXPECT_EQ(refusal([] { family_from_name(""); }).substr(0, 19), "unknown family ''; ");
}

TEST(Generate, WrongOptionsAreRefusedWithTheirNumbers) {
  const GenerateOptions good{2, 3, 4, 5, Family::plain, 1.0, 0};
  EXPECT_EQ(refusal([&] { validate(good); }), "accepted");
  const auto with = [&](auto change) {
    GenerateOptions options = good;
    change(options);
    return refusal([&] { row_offsets(options); });
  };
  EXPECT_EQ(with([](auto& o) { o.n_min = 0; }), "n is 0:3 rows; at least 1 is needed");
  EXPECT_EQ(with([](auto& o) { o.n_max = 1; }), "n is 2:1; the end must not be below the start");
  EXPECT_EQ(with([](auto& o) { o.d = -4; }), "d is -4; at least 1 is needed");
  EXPECT_EQ(with([](auto& o) { o.count = 0; }), "count is 0; at least 1 is needed");
  const std::string range = "; it must lie in [1e-19, 1e19]";
  EXPECT_EQ(with([](auto& o) { o.radius = 0; }), "radius is 0" + range);
  EXPECT_EQ(with([](auto& o) { o.radius = -1; }), "radius is -1" + range);
  EXPECT_EQ(with([](auto& o) { o.radius = std::nan(""); }), "radius is nan" + range);
  EXPECT_EQ(with([](auto& o) { o.radius = HUGE_VAL; }), "radius is inf" + range);
  EXPECT_EQ(with([](auto& o) { o.radius = 1e300; }), "radius is 1e+300" + range);
  EXPECT_EQ(with([](auto& o) { o.family = static_cast<Family>(17); }),
            "there is no family number 17");
  EXPECT_EQ(with([](auto& o) { o.n_max = o.d = 2147483647; }),
            "n 2147483647 times d 2147483647 is more than 72057594037927936 elements");
  EXPECT_EQ(
      with([](auto& o) { o.count = INT64_MAX; }),
      "count 9223372036854775807 times n 3 times d 4 is more than 72057594037927936 elements");
}

TEST(Generate, WrongCallsAreRefusedWithTheirNumbers) {
  const GenerateOptions options{2, 2, 3, 5, Family::plain, 1.0, 0};
  EXPECT_EQ(refusal([&] { rows(options, 5); }), "instance 5 is not in [0, 5)");
  EXPECT_EQ(refusal([&] { rows(options, -1); }), "instance -1 is not in [0, 5)");
  std::vector<double> a(6), b(2), x(3), wrong(4);
  const auto call = [&](auto& a_, auto& b_, auto& x_) {
    return refusal([&] { generate_instance(options, 0, a_, b_, x_); });
  };
  EXPECT_EQ(call(a, b, x), "accepted");
  EXPECT_EQ(call(wrong, b, x), "array 'A' has 4 elements but the instance needs 6");
  EXPECT_EQ(call(a, wrong, x), "array 'b' has 4 elements but the instance needs 2");
  EXPECT_EQ(call(a, b, wrong), "array 'x_star' has 4 elements but the instance needs 3");
}

// One line per number in hex, and FNV-1a over the bits of larger batches: far tails of the normal
// distribution, more than 64 Lanczos steps, ragged batches.
std::uint64_t fingerprint(std::uint64_t hash, const std::vector<double>& x) {
  for (const double v : x)
    for (int byte = 0; byte < 8; ++byte)
      hash = (hash ^ (std::bit_cast<std::uint64_t>(v) >> (8 * byte) & 0xff)) * 0x100000001b3;
  return hash;
}

std::string hex(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", x);
  return text;
}

std::string golden_text() {
  std::ostringstream out;
  out << "# Made by: SOFTREG_WRITE_GOLDEN=1 generate_test --gtest_filter=Generate.GoldenFile\n";
  for (const Family family : all_families) {
    const Instance one = make({3, 3, 2, 9, family, 2.0, 20240229}, 8);
    out << family_name(family) << " n=3 d=2 R=2 seed=20240229 instance=8\n";
    for (const auto& [name, array] :
         {std::pair{"A", &one.a}, std::pair{"b", &one.b}, std::pair{"x_star", &one.x_star}}) {
      out << name;
      for (const double v : *array) out << ' ' << hex(v);
      out << '\n';
    }
    for (const auto& options : {GenerateOptions{64, 64, 16, 100, family, 4.0, 1},
                                GenerateOptions{1, 40, 9, 200, family, 1.0, 2},
                                GenerateOptions{130, 130, 150, 1, family, 0.1, 3}}) {
      const auto batch = generate_batch<double>(options);
      std::uint64_t hash = 0xcbf29ce484222325;
      for (const auto* array : {&batch.a, &batch.b, &batch.x_star})
        hash = fingerprint(hash, *array);
      char text[20];
      std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
      out << "fnv1a n=" << options.n_min << ':' << options.n_max << " d=" << options.d
          << " count=" << options.count << ' ' << text << '\n';
    }
  }
  return out.str();
}

TEST(Generate, GoldenFile) {
  const char* source = std::getenv("SOFTREG_SOURCE_DIR");
  const std::filesystem::path tests = source ? std::filesystem::path(source) / "tests"
                                             : std::filesystem::path(__FILE__).parent_path();
  const auto path = tests / "golden" / "generate.txt";
  const std::string text = golden_text();
  if (std::getenv("SOFTREG_WRITE_GOLDEN")) std::ofstream(path) << text;
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  std::istringstream now(text);
  std::string expected, line;
  for (int number = 1; std::getline(now, line); ++number) {
    ASSERT_TRUE(std::getline(file, expected)) << "line " << number << " is missing";
    EXPECT_EQ(line, expected) << "line " << number;
  }
  EXPECT_FALSE(std::getline(file, expected)) << "surplus line: " << expected;
}

}  // namespace
}  // namespace softreg
