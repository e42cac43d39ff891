#include "sweep_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>

#include "content_hash.hpp"
#include "mapped_file.hpp"
#include "output_file.hpp"
#include "softreg/error.hpp"
#include "sweep_shard.hpp"
#include "text.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view temporary_prefix = ".softreg-";

[[noreturn]] void fail(const char* what, const std::string& path, const std::error_code& error) {
  throw Error(ErrorKind::io, fmt::format("cannot {} {}: {}", what, quoted_path(path),
                                         std::generic_category().message(error.value())));
}

void make_directory(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("create the directory", path, error);
}

// f(name) for everything in the directory, and for nothing where there is none.
template <class F>
void each_name(const std::string& path, const F& f) {
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    f(at->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    fail("read the directory", path, error);
}

struct ShardName {
  std::string cell, hash;
  std::int64_t chunk = 0;
};

std::string text_of(const ShardName& name) {
  return fmt::format("{}-{:06}-{}.npz", name.cell, name.chunk, name.hash);
}

// Nothing for any name that text_of does not make.
std::optional<ShardName> parse_shard_name(const std::string& text) {
  const std::size_t first = text.find('-'), second = text.find('-', first + 1);
  if (second == std::string::npos || second - first > 12) return std::nullopt;
  ShardName name;
  name.cell = text.substr(0, first);
  name.hash = text.substr(second + 1, 32);
  for (const char digit : text.substr(first + 1, second - first - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    name.chunk = name.chunk * 10 + (digit - '0');
  }
  return text_of(name) == text ? std::optional(name) : std::nullopt;
}

// That the bytes are what was written, and for the cell that the name says.
bool is_sound(const std::string& path, const ShardName& name) {
  std::error_code absent;
  if (!fs::is_regular_file(path, absent)) return false;
  if (content_hash(MappedFile(path).bytes()) != name.hash) return false;
  const Json meta = shard_meta(path);
  return meta.value("cell", "") == name.cell && meta.value("chunk", std::int64_t{-1}) == name.chunk;
}

}  // namespace

void SweepDirectory::create(const Sweep& sweep, bool shared) const {
  make_directory(path_);
  if (write_manifest(sweep)) return make_directory(path_ + "/shards");
  const std::string there = open(true).id;
  if (there != sweep.id) {
    throw Error(ErrorKind::usage,
                fmt::format("the directory {} has another sweep, {} and not {}", quoted_path(path_),
                            there, sweep.id),
                "name another directory with -o");
  }
  if (!shared) {
    throw Error(ErrorKind::usage,
                fmt::format("the directory {} has this sweep already", quoted_path(path_)),
                fmt::format("`softreg sweep resume {}` goes on with it", printable(path_)));
  }
}

bool SweepDirectory::write_manifest(const Sweep& sweep) const {
  std::error_code ignored;
  if (fs::exists(manifest_path(), ignored)) return false;
  each_name(path_, [&](const std::string& name) {
    if (name.starts_with(temporary_prefix) || name == "manifest.json" || name == "shards") return;
    throw Error(ErrorKind::usage,
                fmt::format("the directory {} holds {} and no sweep", quoted_path(path_),
                            softreg::quoted(name)),
                "name a new directory, or an empty one, with -o");
  });
  OutputFile file(manifest_path(), false);
  file.write(manifest_text(sweep));
  return file.commit_if_first();  // another process may have been, meanwhile
}

Sweep SweepDirectory::open(bool same_version) const {
  std::error_code ignored;
  if (!fs::exists(manifest_path(), ignored)) {
    throw Error(ErrorKind::io,
                fmt::format("there is no sweep in {}: it has no manifest.json", quoted_path(path_)),
                "`softreg sweep run` begins one");
  }
  return read_manifest(manifest_path(), same_version);
}

bool SweepDirectory::holds(const std::string& file) const {
  std::error_code absent;
  const fs::path folder = fs::absolute(file, absent).parent_path();
  return fs::equivalent(file, manifest_path(), absent) ||
         fs::equivalent(folder, shard_path(""), absent);
}

void SweepDirectory::check_writable() const {
  make_directory(path_ + "/shards");
  OutputFile(shard_path("shard.npz"), true);
}

std::string SweepDirectory::write(const Cell& cell, std::int64_t chunk,
                                  std::span<const std::byte> bytes) const {
  std::string name = text_of({cell.id, content_hash(bytes), chunk});
  try {
    OutputFile file(shard_path(name), true);
    file.write(bytes);
    // Not commit(): a shard that cannot get its name is computed again, and beside it would be
    // taken for one more.
    if (!file.commit_if_first())
      throw Error(ErrorKind::io, fmt::format("cannot write {}: what stands there is not a file",
                                             quoted_path(shard_path(name))));
    return name;
  } catch (const Error& error) {
    throw Error(error.kind(), error.what(),
                fmt::format("what is done stays: when it can be written again, `softreg sweep "
                            "resume {}` goes on",
                            printable(path_)));
  }
}

void SweepDirectory::remove(const std::string& name) const {
  std::error_code error;
  fs::remove(shard_path(name), error);
  if (error) fail("remove", shard_path(name), error);
}

void SweepDirectory::remove_leftovers() const {
  const auto before = fs::file_time_type::clock::now() - std::chrono::minutes(10);
  for (const std::string& folder : {path_, path_ + "/shards"}) {
    each_name(folder, [&](const std::string& name) {
      const std::string file = fmt::format("{}/{}", folder, name);
      std::error_code error;
      if (!name.starts_with(temporary_prefix)) return;
      if (fs::last_write_time(file, error) < before && !error) fs::remove(file, error);
    });
  }
}

std::size_t Shards::present() const {
  return names.size() - static_cast<std::size_t>(std::count(names.begin(), names.end(), ""));
}

Shards list_shards(const SweepDirectory& directory, const Tasks& tasks,
                   std::pair<std::size_t, std::size_t> range, bool verify) {
  Shards shards;
  shards.names.resize(range.second - range.first);
  each_name(directory.shard_path(""), [&](const std::string& text) {
    const auto name = parse_shard_name(text);
    const std::size_t task = name ? tasks.find(name->cell, name->chunk) : tasks.size();
    if (task < range.first || task >= range.second) return;
    if (verify && !is_sound(directory.shard_path(text), *name)) {
      shards.damaged.push_back(text);
      return;
    }
    std::string& here = shards.names[task - range.first];
    // Two machines that disagree in the last bit: either is right, and the choice is always the
    // same.
    if (!here.empty()) shards.surplus.push_back(std::max(here, text));
    here = here.empty() ? text : std::min(here, text);
  });
  std::sort(shards.damaged.begin(), shards.damaged.end());
  std::sort(shards.surplus.begin(), shards.surplus.end());
  return shards;
}

std::string result_hash(const Shards& shards) {
  return content_hash(fmt::format("{}", fmt::join(shards.names, "\n")));
}

}  // namespace softreg
