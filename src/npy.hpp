// The .npy format of NumPy (its versions 1 to 3) inside a buffer: the header read without trust and
// written, elements converted, byte-swapped and brought into C order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace softreg {

// The element types that are read; any other (objects, that is pickles, among them) is refused.
enum class Dtype { f32, f64, i32, i64, unicode, bytes };

std::string_view name(Dtype dtype);  // as NumPy says it: "float32"

struct NpyHeader {
  Dtype dtype = Dtype::f64;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;  // () for a scalar; the product of its nonzero entries times
                                    // item_size is below 2^63
  std::int64_t elements = 0;
  std::int64_t item_size = 0;    // bytes
  std::int64_t data_offset = 0;  // bytes from the start of the member

  bool operator==(const NpyHeader&) const = default;
};

// "(1000, 32)", as Python prints a tuple.
std::string shape_text(std::span<const std::int64_t> shape);

// `member` starts with the header and may end before the data do; `member_size` is the length of
// the whole, which must be exactly header plus elements. `what` opens the messages. Throws Error:
// io when the bytes contradict the format, invalid_input for contents outside of Dtype.
NpyHeader parse_npy_header(std::span<const std::byte> member, std::uint64_t member_size,
                           const std::string& what);

// The header (version 1) of an array in C order, padded with spaces so that the data begin at a
// multiple of 64 when the header itself begins at `start`.
std::string npy_header(std::string_view descr, std::span<const std::int64_t> shape,
                       std::uint64_t start);

// The descr of T in the file: "<f4" for float.
template <class T>
constexpr std::string_view npy_descr() {
  if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? "<f4" : "<f8";
  return sizeof(T) == 4 ? "<i4" : "<i8";
}

// Whether elements of `dtype` may be read as T: float and double from f32 and f64, int64_t from i32
// and i64, int32_t from i32.
template <class T>
constexpr bool readable_as(Dtype dtype) {
  if constexpr (std::is_floating_point_v<T>) return dtype == Dtype::f32 || dtype == Dtype::f64;
  return dtype == Dtype::i32 || (sizeof(T) == 8 && dtype == Dtype::i64);
}

// Converts the `to.size()` elements that begin at `data`, in the order of the file; `data` may have
// any alignment. Requires readable_as<T>(header.dtype).
template <class T>
void convert_elements(const NpyHeader& header, const std::byte* data, std::span<T> to);

// The same for a whole array in Fortran order, written in C order.
template <class T>
void convert_fortran_array(const NpyHeader& header, const std::byte* data, std::span<T> to);

// The strings of an array of dtype unicode or bytes without their trailing NULs, as UTF-8. Throws
// Error (io) when a value is no Unicode scalar value.
std::vector<std::string> convert_strings(const NpyHeader& header, std::span<const std::byte> data,
                                         const std::string& what);

}  // namespace softreg
