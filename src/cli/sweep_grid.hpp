// A sweep: a finite list of cells, from a grid that a person writes or from a manifest.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "sweep_cell.hpp"

namespace softreg {

struct Sweep {
  Keeping keeping;
  std::vector<Cell> cells;  // those with the same instances stand together
  std::string id;           // 32 hexadecimal digits that name all of this

  std::int64_t instances() const;
  std::int64_t shards() const;
};

// The grid in a TOML file: every key of cell_keys with a value or a list of values, and trace,
// arrays, chunk. arrays: whatever the file says. Throws Error (usage) that names file, line and
// key.
Sweep read_grid(const std::string& path, bool arrays);

// {"schema_version", "kind", "version", "id", "cells": [{"id", ...}]}. Read back,
// it is an error (io) when it is not what its id says, and one (usage) when another version of
// softreg wrote it and `same_version` is asked for: its numbers may be others.
Json manifest_of(const Sweep& sweep);
Sweep read_manifest(const std::string& path, bool same_version);

}  // namespace softreg
