// A sweep on disk: DIR/manifest.json, written once, and DIR/shards/CELL-CHUNK-HASH.npz, each
// renamed into place when it is whole. A shard's name is the hash of its bytes, so that damage
// shows without any other file; nothing else is kept, and any program may stop at any time.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sweep_grid.hpp"
#include "sweep_tasks.hpp"

namespace softreg {

class SweepDirectory {
 public:
  explicit SweepDirectory(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  // Makes the directory and its manifest. shared: where another process has done so already, that
  // must be the same sweep; else it is an error (usage) to find one. Throws Error.
  void create(const Sweep& sweep, bool shared) const;

  // The sweep that lies here. same_version: see read_manifest. Throws Error.
  Sweep open(bool same_version) const;

  // Throws Error (io) when no shard could be written.
  void check_writable() const;

  // Puts a shard under its name, which is returned; one that is there already is replaced. Throws
  // Error (io).
  std::string write(const Cell& cell, std::int64_t chunk, std::span<const std::byte> bytes) const;

  // Whether the file is the manifest or lies among the shards.
  bool holds(const std::string& file) const;

  std::string shard_path(const std::string& name) const { return path_ + "/shards/" + name; }
  void remove(const std::string& name) const;

  // Of processes that were killed: temporary files that nobody has touched for ten minutes.
  void remove_leftovers() const;

 private:
  // False when one is there already.
  bool write_manifest(const Sweep& sweep) const;
  std::string manifest_path() const { return path_ + "/manifest.json"; }

  std::string path_;
};

// What lies in the directory, for the tasks [first, second).
struct Shards {
  std::vector<std::string> names;    // (second - first), empty where there is none
  std::vector<std::string> damaged;  // whose bytes are not what their names say
  std::vector<std::string> surplus;  // sound ones of tasks that have another

  std::size_t present() const;
  bool complete() const { return present() == names.size(); }
};

// verify: reads every shard. Throws Error (io) when something cannot be read.
Shards list_shards(const SweepDirectory& directory, const Tasks& tasks,
                   std::pair<std::size_t, std::size_t> range, bool verify);

// 32 hexadecimal digits that name the contents of all shards: of a complete list of all tasks.
std::string result_hash(const Shards& shards);

}  // namespace softreg
