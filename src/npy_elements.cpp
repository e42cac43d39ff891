// Elements are loaded by memcpy, never through a typed pointer: np.savez puts them at any offset.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "npy.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are written in native order");

template <class T>
T swapped(T value) {
  std::array<unsigned char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  std::reverse(bytes.begin(), bytes.end());
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

template <class Source, bool swap>
struct Loader {
  static constexpr std::size_t size = sizeof(Source);
  Source operator()(const std::byte* from) const {
    Source value;
    std::memcpy(&value, from, sizeof(Source));
    return swap ? swapped(value) : value;
  }
};

// Calls body(loader) with the loader of the header's elements.
template <class T, class Body>
void with_loader(const NpyHeader& header, const Body& body) {
  const auto by_order = [&](auto source) {
    using Source = decltype(source);
    header.big_endian ? body(Loader<Source, true>()) : body(Loader<Source, false>());
  };
  if constexpr (std::is_floating_point_v<T>) {
    header.dtype == Dtype::f32 ? by_order(float()) : by_order(double());
  } else if constexpr (sizeof(T) == 8) {
    header.dtype == Dtype::i32 ? by_order(std::int32_t()) : by_order(std::int64_t());
  } else {
    by_order(std::int32_t());
  }
}

// to[i, j] = from[i + j * rows] for an (rows, columns) plane with `row_stride` elements between the
// rows of `to` and `column_stride` elements between the columns of `from`.
template <class T, class Load>
void transpose_plane(const Load& load, const std::byte* from, std::int64_t column_stride, T* to,
                     std::int64_t row_stride, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t tile = 32;  // 32 x 32 doubles are 8 KiB: source and result stay in L1
  for (std::int64_t i0 = 0; i0 < rows; i0 += tile) {
    for (std::int64_t j0 = 0; j0 < columns; j0 += tile) {
      for (std::int64_t i = i0; i < std::min(i0 + tile, rows); ++i) {
        for (std::int64_t j = j0; j < std::min(j0 + tile, columns); ++j) {
          const auto position = static_cast<std::size_t>(i + j * column_stride);
          to[i * row_stride + j] = static_cast<T>(load(from + position * Load::size));
        }
      }
    }
  }
}

// The first axis is contiguous in the file and the last one in the result: every choice of the axes
// between them is a plane to transpose.
template <class T, class Load>
void transpose_array(const Load& load, std::span<const std::int64_t> shape, const std::byte* from,
                     T* to) {
  const std::size_t last = shape.size() - 1;
  std::vector<std::int64_t> source_stride(shape.size(), 1);
  std::vector<std::int64_t> stride(shape.size(), 1);
  for (std::size_t k = 1; k <= last; ++k) {
    source_stride[k] = source_stride[k - 1] * shape[k - 1];
    stride[last - k] = stride[last - k + 1] * shape[last - k + 1];
  }
  std::vector<std::int64_t> middle(shape.size(), 0);
  std::int64_t source_offset = 0;
  std::int64_t offset = 0;
  while (true) {
    transpose_plane(load, from + static_cast<std::size_t>(source_offset) * Load::size,
                    source_stride[last], to + offset, stride[0], shape[0], shape[last]);
    std::size_t axis = last - 1;
    for (; axis > 0; --axis) {
      source_offset += source_stride[axis];
      offset += stride[axis];
      if (++middle[axis] < shape[axis]) break;
      source_offset -= source_stride[axis] * shape[axis];
      offset -= stride[axis] * shape[axis];
      middle[axis] = 0;
    }
    if (axis == 0) return;
  }
}

}  // namespace

template <class T>
void convert_elements(const NpyHeader& header, const std::byte* data, std::span<T> to) {
  with_loader<T>(header, [&](auto load) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = static_cast<T>(load(data + i * decltype(load)::size));
    }
  });
}

template <class T>
void convert_fortran_array(const NpyHeader& header, const std::byte* data, std::span<T> to) {
  if (header.shape.size() < 2) return convert_elements(header, data, to);
  if (to.empty()) return;
  with_loader<T>(header, [&](auto load) { transpose_array(load, header.shape, data, to.data()); });
}

std::vector<std::string> convert_strings(const NpyHeader& header, std::span<const std::byte> data,
                                         const std::string& what) {
  const auto count = static_cast<std::size_t>(header.elements);
  const auto item_size = static_cast<std::size_t>(header.item_size);
  std::vector<std::string> strings(count);
  std::u32string characters;
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* item = data.data() + i * item_size;
    if (header.dtype == Dtype::bytes) {
      strings[i].assign(reinterpret_cast<const char*>(item), item_size);
      strings[i].erase(strings[i].find_last_not_of('\0') + 1);
      continue;
    }
    characters.resize(item_size / 4);
    std::memcpy(characters.data(), item, item_size);
    if (header.big_endian) {
      for (char32_t& value : characters) value = swapped(value);
    }
    characters.erase(characters.find_last_not_of(U'\0') + 1);
    std::optional<std::string> text = encode_utf8(characters);
    if (!text) {
      throw Error(ErrorKind::io, fmt::format("{} holds a value that is no Unicode character in "
                                             "string {}",
                                             what, i));
    }
    strings[i] = std::move(*text);
  }
  return strings;
}

template void convert_elements(const NpyHeader&, const std::byte*, std::span<float>);
template void convert_elements(const NpyHeader&, const std::byte*, std::span<double>);
template void convert_elements(const NpyHeader&, const std::byte*, std::span<std::int32_t>);
template void convert_elements(const NpyHeader&, const std::byte*, std::span<std::int64_t>);
template void convert_fortran_array(const NpyHeader&, const std::byte*, std::span<float>);
template void convert_fortran_array(const NpyHeader&, const std::byte*, std::span<double>);
template void convert_fortran_array(const NpyHeader&, const std::byte*, std::span<std::int32_t>);
template void convert_fortran_array(const NpyHeader&, const std::byte*, std::span<std::int64_t>);

}  // namespace softreg
