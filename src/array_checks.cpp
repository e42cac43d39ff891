#include "array_checks.hpp"

#include <limits>

namespace softreg {

void refuse_input(const std::string& sentence, const std::string& hint) {
  throw Error(ErrorKind::invalid_input, sentence, hint);
}

void refuse_shape(const std::string& name, const ArrayShape& shape, const std::string& but,
                  const std::string& expected, const std::string& hint) {
  refuse_input(fmt::format("argument '{}' has shape {} but {}; expected {}", name,
                           shape_text(shape), but, expected),
               hint.empty() ? "array shapes are listed by `softreg solve --help`" : hint);
}

void check_numbers(NpzFile& file, std::span<const char* const> names) {
  for (const std::string array : names) {
    if (!file.has(array)) continue;
    const Dtype dtype = file.header(array).dtype;
    if (readable_as<double>(dtype)) continue;
    refuse_input(
        fmt::format("argument '{}' is {}; expected float32 or float64", array, name(dtype)),
        fmt::format("in NumPy: {}.astype('f8')", array));
  }
}

void check_same_dtype(NpzFile& file, const std::string& like, std::span<const char* const> same) {
  const Dtype expected = file.header(like).dtype;
  for (const std::string array : same) {
    if (!file.has(array) || file.header(array).dtype == expected) continue;
    refuse_input(fmt::format("argument '{}' is {} but {} is {}; expected {}", array,
                             name(file.header(array).dtype), like, name(expected), name(expected)),
                 "convert one of them; --dtype only converts them together");
  }
}

AlignedVector<std::int64_t> read_positions(NpzFile& file, const std::string& array,
                                           const std::string& between, std::int64_t end,
                                           const std::string& of) {
  const NpyHeader header = file.header(array);
  if (!readable_as<std::int64_t>(header.dtype))
    refuse_input(
        fmt::format("argument '{}' is {}; expected int32 or int64", array, name(header.dtype)));
  if (header.shape.size() != 1 || header.shape[0] < 2)
    refuse_input(
        fmt::format("argument '{}' has shape {}; expected (count + 1,) with a count of at least 1",
                    array, shape_text(header.shape)));
  AlignedVector<std::int64_t> at = file.read<std::int64_t>(array);
  if (at.front() != 0) refuse_input(fmt::format("{}[0] is {}; expected 0", array, at.front()));
  for (std::size_t i = 1; i < at.size(); ++i) {
    // Both numbers are compared before they are subtracted: a difference of two may not exist.
    if (at[i] <= at[i - 1])
      refuse_input(fmt::format("{}[{}] is {} but {}[{}] is {}; every {}", array, i, at[i], array,
                               i - 1, at[i - 1], between));
  }
  if (at.back() != end)
    refuse_input(
        fmt::format("{}[{}] is {} but {}; expected {}", array, at.size() - 1, at.back(), of, end));
  return at;
}

void warn_of_overflow(const std::string& what, std::span<const double> from,
                      std::vector<std::string>& warnings) {
  const auto overflows = [](double v) {
    return std::isfinite(v) && !std::isfinite(static_cast<float>(v));
  };
  const auto first = std::find_if(from.begin(), from.end(), overflows);
  if (first == from.end()) return;
  warnings.push_back(fmt::format("{} has {} numbers that overflow float32, the first is {}", what,
                                 std::count_if(first, from.end(), overflows), *first));
}

void check_extent(const char* what, std::int64_t extent) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (extent < 1 || extent > most)
    refuse_input(fmt::format("the problem has {} {}; expected 1 to {}", extent, what, most));
}

void check_count(std::int64_t count) {
  if (count < 1)
    refuse_input(fmt::format("the problem has {} instances; expected 1 or more", count));
}

void check_starts_and_steps(NpzFile& file, const std::string& start, std::int64_t count,
                            const ArrayShape& one, const std::string& parameters) {
  const std::string problem =
      fmt::format("the problem has {} instances of {} parameters", count, parameters);
  ArrayShape all = one;
  all.insert(all.begin(), count);
  if (file.has(start)) {
    const ArrayShape& actual = file.header(start).shape;
    if (actual != one && actual != all) refuse_shape(start, actual, problem, shape_text(all));
  }
  if (file.has("step_size")) {
    const ArrayShape& actual = file.header("step_size").shape;
    if (actual != ArrayShape{count})
      refuse_shape("step_size", actual, problem, shape_text(ArrayShape{count}));
  }
}

template <class T>
AlignedVector<T> read_rounded(NpzFile& file, const std::string& name,
                              std::vector<std::string>& warnings) {
  AlignedVector<T> values = file.read<T>(name);
  if (sizeof(T) == 4 && file.header(name).dtype == Dtype::f64 &&
      !std::all_of(values.begin(), values.end(), [](T v) { return std::isfinite(v); })) {
    const AlignedVector<double> exact = file.read<double>(name);
    warn_of_overflow(fmt::format("array '{}' of {}", name, quoted_path(file.path())), exact,
                     warnings);
  }
  return values;
}

template AlignedVector<float> read_rounded(NpzFile&, const std::string&, std::vector<std::string>&);
template AlignedVector<double> read_rounded(NpzFile&, const std::string&,
                                            std::vector<std::string>&);

}  // namespace softreg
