// A sweep: a finite list of cells, from a grid that a person writes or from a manifest.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "sweep_cell.hpp"

namespace softreg {

struct Sweep {
  std::vector<Cell> cells;  // those with the same instances stand together
  std::string id;           // see sweep_id

  std::int64_t instances() const;
  std::int64_t shards() const;
};

// The grid in a TOML file: every key of cell_keys with a value or a list of values, and trace,
// arrays, chunk. arrays: whatever the file says. Throws Error (usage) that names file, line and
// key.
Sweep read_grid(const std::string& path, bool arrays);

// 32 hexadecimal digits that name the cells of a sweep, and the softreg that solves them.
std::string sweep_id(const std::string& by_version, const std::vector<Cell>& cells);

// {"schema_version", "kind", "version", "id", "cells": [{"id", ...}]}. Read back, it is an error
// (io) when it is not what its ids say, and one (usage) when another version of softreg wrote it
// and `same_version` is asked for: its numbers may be others.
std::string manifest_text(const Sweep& sweep);
Sweep read_manifest(const std::string& path, bool same_version);

}  // namespace softreg
