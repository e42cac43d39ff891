// Synthetic problems with a known answer: A (n,d) with |A| = R (spectral norm), x* (d) with
// |x*| = R, b = softmax(A x*); or A1 (n,d1), A2 (m,d2) with |A1| = |A2| = R, X* (d1,d2) with
// |X*|_F = R, B = softmax of each row of A1 X* A2^T. A pure function of (options, instance): the
// same bits for every order, thread, batch size, compiler and machine; all arithmetic in f64,
// rounded to the dtype at the end.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace softreg {

// N: independent standard normal numbers; A is scaled to |A| = R after what is said here, and x* is
// normal numbers scaled to |x*| = R where nothing else is said.
enum class Family {
  plain,    // A = N
  spiked,   // A = N, one row drawn and multiplied by 50; x* along the longest row of A
  aligned,  // A = N; x* along the longest row of A, so that one logit is as large as it can be
  near_rank_one,  // A = u v^T + N / 1000, u and v normal
  offset,         // A = N + 100: all rows share one large mean, which softmax does not see
  one_hot,        // A = N; b = 1 at the argmax of A x* (the first of equals), else 0
};
// Of a matrix problem A1 and A2 are both of the family; where x* lies along the longest row of A,
// X* is the product of the longest rows of A1 and A2.

// "plain", ...; family_from_name throws Error (usage) with the list of names.
std::string_view family_name(Family family);
Family family_from_name(std::string_view name);

struct GenerateOptions {
  int n_min = 0;  // rows per instance, drawn uniformly from [n_min, n_max]
  int n_max = 0;
  int d = 0;
  std::int64_t count = 0;
  Family family = Family::plain;
  double radius = 1;  // R, in [1e-19, 1e19]: R^2 is a normal f32 number
  std::uint64_t seed = 0;
  bool matrix = false;  // then n rows of A1, d = d1, and:
  int m = 0;            // rows of A2; 0: as many as A1 has
  int d2 = 0;
  std::int64_t first = 0;  // the batch is instances first, ..., first + count - 1 of a longer one

  bool ragged() const { return n_min != n_max; }
  bool operator==(const GenerateOptions&) const = default;
};

// Throws Error (usage) with the numbers when the options make no problem.
void validate(const GenerateOptions& options);

// The rows of one instance, in [n_min, n_max]. Here and below an instance is counted from the
// batch's first.
int rows(const GenerateOptions& options, std::int64_t instance);

// The rows of A2 of one instance of a matrix problem.
int columns(const GenerateOptions& options, std::int64_t instance);

// Where each instance's rows begin, and the end: (count+1). Throws Error (usage) when all A
// together may have more than 2^56 elements.
std::vector<std::int64_t> row_offsets(const GenerateOptions& options);

// One instance, n = rows(options, instance): a (n,d) row-major, b (n), x_star (d).
// |A| and |x*| equal R within 1e-12 relative before any rounding to f32.
// Thread-safe; throws Error (usage) when a size or the instance is wrong.
void generate_instance(const GenerateOptions& options, std::int64_t instance, std::span<double> a,
                       std::span<double> b, std::span<double> x_star);

// The same of a matrix problem: a1 (n,d1), a2 (m,d2), b (n,m), x_star (d1,d2), all row-major.
void generate_matrix_instance(const GenerateOptions& options, std::int64_t instance,
                              std::span<double> a1, std::span<double> a2, std::span<double> b,
                              std::span<double> x_star);

// Where the arrays of each instance begin, and the end: (count+1) each. Throws as row_offsets does.
struct GeneratedLayout {
  explicit GeneratedLayout(const GenerateOptions& options);
  std::vector<std::int64_t> rows, columns, logits;  // rows of A or A1, of A2 (or 0), of b or B
};

// All instances, one after another: a (rows,d), b (logits), x_star (count, parameters); of a matrix
// problem also a2 (columns,d2). offsets and offsets2 are empty unless the batch is ragged.
template <class T>
struct GeneratedBatch {
  std::vector<T> a, a2;
  std::vector<T> b;
  std::vector<T> x_star;
  std::vector<std::int64_t> offsets, offsets2;
};

// T = float or double. finished(count) is called from any thread after each instance; may be empty.
// threads: 0 = all.
template <class T>
GeneratedBatch<T> generate_batch(const GenerateOptions& options,
                                 const std::function<void(std::int64_t)>& finished = {},
                                 int threads = 0);
extern template GeneratedBatch<float> generate_batch(const GenerateOptions&,
                                                     const std::function<void(std::int64_t)>&, int);
extern template GeneratedBatch<double> generate_batch(const GenerateOptions&,
                                                      const std::function<void(std::int64_t)>&,
                                                      int);

// |A| of a row-major (n,d) matrix, by Lanczos' method on the smaller of A^T A and A A^T with full
// reorthogonalisation (Golub and Van Loan, Matrix Computations, 4th ed., 10.3): all min(n,d) steps
// up to 64, beyond that until 16 more steps change |A|^2 by less than 2^-50.
double spectral_norm(std::span<const double> a, int n, int d);

}  // namespace softreg
