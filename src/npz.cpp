// Every byte of a member passes the CRC-32 on its way into the result, chunk by chunk.
#include "npz.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "softreg/error.hpp"
#include "text.hpp"
#include "zip_reader.hpp"
#include "zip_writer.hpp"

namespace softreg {
namespace {

// Read twice, for the checksum and for the copy: the second time from the L2 cache.
constexpr std::size_t chunk_size = std::size_t{1} << 20;

constexpr std::string_view suffix = ".npy";

template <class Make>
auto allocate(const std::string& what, std::uint64_t bytes, const Make& make) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  throw Error(ErrorKind::out_of_memory, fmt::format("{} needs {} bytes of memory", what, bytes));
}

template <class T>
constexpr std::string_view accepted_dtypes() {
  if constexpr (std::is_floating_point_v<T>) return "float32 or float64";
  return sizeof(T) == 8 ? "int32 or int64" : "int32";
}

}  // namespace

NpzFile NpzFile::open(const std::string& path) {
  auto file = std::make_unique<MappedFile>(path);
  const auto bytes = file->bytes();
  return NpzFile(std::move(file), bytes, path);
}

NpzFile NpzFile::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
  return NpzFile(nullptr, bytes, name);
}

NpzFile::NpzFile(std::unique_ptr<MappedFile> file, std::span<const std::byte> bytes,
                 std::string path)
    : file_(std::move(file)), bytes_(bytes), path_(std::move(path)) {
  for (ZipMember& zip : read_zip_directory(bytes_, path_)) {
    // Other members (a README, say) are none of our business, as they are not NumPy's.
    if (!zip.name.ends_with(suffix)) continue;
    names_.push_back(zip.name.substr(0, zip.name.size() - suffix.size()));
    members_[names_.back()].zip = std::move(zip);
  }
}

const NpyHeader& NpzFile::header(const std::string& name) {
  Member& entry = member(name);
  if (!entry.header) parse_header(name, entry);
  return *entry.header;
}

template <class T>
AlignedVector<T> NpzFile::read(const std::string& name) {
  Member& entry = member(name);
  const NpyHeader& head = header(name);
  if (!readable_as<T>(head.dtype)) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has dtype {}; expected {}", what(name), softreg::name(head.dtype),
                            accepted_dtypes<T>()));
  }
  const auto count = static_cast<std::size_t>(head.elements);
  AlignedVector<T> values =
      allocate(what(name), count * sizeof(T), [&] { return AlignedVector<T>(count); });
  const auto bytes = contents(name, entry);
  const auto item_size = static_cast<std::size_t>(head.item_size);
  const bool in_order = !head.fortran_order || head.shape.size() < 2;
  std::span<T> rest(values);
  verify(name, entry, bytes, [&](std::span<const std::byte> chunk) {
    if (!in_order) return;
    const std::size_t converted = chunk.size() / item_size;
    convert_elements(head, chunk.data(), rest.first(converted));
    rest = rest.subspan(converted);
  });
  if (!in_order) {
    const auto data = bytes.subspan(static_cast<std::size_t>(head.data_offset));
    convert_fortran_array(head, data.data(), std::span<T>(values));
  }
  entry.inflated = {};
  return values;
}

template AlignedVector<float> NpzFile::read(const std::string&);
template AlignedVector<double> NpzFile::read(const std::string&);
template AlignedVector<std::int32_t> NpzFile::read(const std::string&);
template AlignedVector<std::int64_t> NpzFile::read(const std::string&);

std::vector<std::string> NpzFile::read_strings(const std::string& name) {
  Member& entry = member(name);
  const NpyHeader& head = header(name);
  if ((head.dtype != Dtype::unicode && head.dtype != Dtype::bytes) || head.shape.size() > 1) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has dtype {} and shape {}; expected strings of shape () or (n,)",
                            what(name), softreg::name(head.dtype), shape_text(head.shape)));
  }
  const auto bytes = contents(name, entry);
  verify(name, entry, bytes, [](std::span<const std::byte>) {});
  const auto data = bytes.subspan(static_cast<std::size_t>(head.data_offset));
  const auto count = static_cast<std::uint64_t>(head.elements);
  auto strings = allocate(what(name), data.size() + count * sizeof(std::string),
                          [&] { return convert_strings(head, data, what(name)); });
  entry.inflated = {};
  return strings;
}

NpzFile::Member& NpzFile::member(const std::string& name) {
  const auto found = members_.find(name);
  if (found == members_.end()) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has no array {}", quoted_path(path_), quoted(name)));
  }
  return found->second;
}

std::string NpzFile::what(const std::string& name) const {
  return fmt::format("{}: array {}", quoted_path(path_), quoted(name));
}

std::span<const std::byte> NpzFile::contents(const std::string& name, Member& member) {
  if (file_) file_->check_length();
  if (!member.zip.deflated) return bytes_.subspan(member.zip.data_offset, member.zip.size);
  if (member.inflated.size() != member.zip.size || member.inflated.empty()) {
    member.inflated = inflate_member(bytes_, member.zip, what(name));
  }
  return member.inflated;
}

void NpzFile::parse_header(const std::string& name, Member& member) {
  member.header = parse_npy_header(contents(name, member), member.zip.size, what(name));
}

// Passes the data (whole elements at a time) to consume(chunk) and throws at the end when a stored
// member is not what its checksum promises; inflate_member() has verified a deflated one.
template <class Consume>
void NpzFile::verify(const std::string& name, const Member& member,
                     std::span<const std::byte> contents, const Consume& consume) {
  const auto header_size = static_cast<std::size_t>(member.header->data_offset);
  const auto item_size = static_cast<std::size_t>(member.header->item_size);
  const std::size_t step = std::max(chunk_size / item_size, std::size_t{1}) * item_size;
  std::uint32_t crc = crc32(0, contents.first(header_size));
  for (auto rest = contents.subspan(header_size); !rest.empty();) {
    if (file_) file_->check_length();
    const auto chunk = rest.first(std::min(step, rest.size()));
    if (!member.zip.deflated) crc = crc32(crc, chunk);
    consume(chunk);
    if (file_ && !member.zip.deflated) file_->forget(chunk);
    rest = rest.subspan(chunk.size());
  }
  if (!member.zip.deflated && crc != member.zip.crc) {
    throw Error(ErrorKind::io, fmt::format("{} is corrupt: its checksum is {:08x} but the file "
                                           "promises {:08x}",
                                           what(name), crc, member.zip.crc));
  }
}

NpzWriter::NpzWriter(const std::string& path, bool force, std::uint64_t zip64_from)
    : zip64_from_(zip64_from) {
  file_.emplace(path, force);
}

NpzWriter::NpzWriter(std::vector<std::byte>& bytes) : memory_(&bytes), zip64_from_(zip64_limit) {}

std::uint64_t NpzWriter::written() const { return file_ ? file_->size() : memory_->size(); }

void NpzWriter::write(std::span<const std::byte> bytes) {
  if (file_)
    file_->write(bytes);
  else
    memory_->insert(memory_->end(), bytes.begin(), bytes.end());
}

void NpzWriter::write(const std::string& text) {
  write(std::as_bytes(std::span<const char>(text)));
}

template <class T>
void NpzWriter::add(const std::string& name, std::span<const T> values,
                    const std::vector<std::int64_t>& shape) {
  std::uint64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= static_cast<std::uint64_t>(extent);
  if (elements != values.size()) {
    throw Error(ErrorKind::internal, fmt::format("array {} has shape {} but {} values",
                                                 quoted(name), shape_text(shape), values.size()));
  }
  add_bytes(name, npy_descr<T>(), shape, std::as_bytes(values));
}

template void NpzWriter::add(const std::string&, std::span<const float>,
                             const std::vector<std::int64_t>&);
template void NpzWriter::add(const std::string&, std::span<const double>,
                             const std::vector<std::int64_t>&);
template void NpzWriter::add(const std::string&, std::span<const std::int32_t>,
                             const std::vector<std::int64_t>&);
template void NpzWriter::add(const std::string&, std::span<const std::int64_t>,
                             const std::vector<std::int64_t>&);

void NpzWriter::add_strings(const std::string& name, const std::vector<std::string>& values) {
  const std::vector<std::string_view> views(values.begin(), values.end());
  const std::int64_t count[] = {static_cast<std::int64_t>(values.size())};
  add_unicode(name, views, count);
}

void NpzWriter::add_text(const std::string& name, std::string_view text) {
  add_unicode(name, {&text, 1}, {});
}

void NpzWriter::finish() {
  write(zip_directory(members_, written(), zip64_from_));
  if (file_) file_->commit();
}

void NpzWriter::add_bytes(const std::string& name, std::string_view descr,
                          std::span<const std::int64_t> shape, std::span<const std::byte> data) {
  ZipMember member;
  member.name = name + std::string(suffix);
  for (const ZipMember& other : members_) {
    if (other.name == member.name) {
      throw Error(ErrorKind::internal, fmt::format("array {} is written twice", quoted(name)));
    }
  }
  member.header_offset = written();
  // Whether zip64 is needed decides where the .npy header begins, hence its padding and its size.
  constexpr std::uint64_t largest_npy_header = 0xffff + 10;
  const bool zip64 = data.size() + largest_npy_header >= zip64_from_;
  member.data_offset = member.header_offset + zip_local_header(member, zip64).size();
  const std::string header = npy_header(descr, shape, member.data_offset);
  member.size = member.stored_size = header.size() + data.size();
  member.crc = crc32(crc32(0, std::as_bytes(std::span<const char>(header))), data);
  write(zip_local_header(member, zip64));
  write(header);
  write(data);
  members_.push_back(std::move(member));
}

void NpzWriter::add_unicode(const std::string& name, std::span<const std::string_view> values,
                            std::span<const std::int64_t> shape) {
  std::vector<std::u32string> decoded;
  std::size_t width = 1;  // NumPy has no strings of length 0
  for (const std::string_view value : values) {
    auto text = decode_utf8(value);
    if (!text) {
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} in array {} is not UTF-8", quoted(value), quoted(name)));
    }
    width = std::max(width, text->size());
    decoded.push_back(std::move(*text));
  }
  std::u32string characters;
  characters.reserve(width * decoded.size());
  for (std::u32string& text : decoded) {
    text.resize(width);
    characters += text;
  }
  add_bytes(name, fmt::format("<U{}", width), shape,
            std::as_bytes(std::span<const char32_t>(characters)));
}

}  // namespace softreg
