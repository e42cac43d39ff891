// The shards of a sweep in the order in which they are made: for each set of instances, chunk by
// chunk, every cell that solves it, so that a chunk is generated once.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sweep_grid.hpp"

namespace softreg {

struct Task {
  std::size_t cell = 0;
  std::int64_t chunk = 0;
};

// Part i of N of a sweep, i from 1.
struct Part {
  int index = 1, of = 1;
};

// "2/8". Throws Error (usage).
Part parse_part(const Setting& setting);

class Tasks {
 public:
  explicit Tasks(const Sweep& sweep);

  std::size_t size() const { return tasks_.size(); }
  const Task& operator[](std::size_t at) const { return tasks_[at]; }

  // Where the task stands; size() if there is none.
  std::size_t find(const std::string& cell_id, std::int64_t chunk) const;

  // The tasks [first, second) of a part: consecutive, so that it seldom generates what another
  // does, and about as much arithmetic as any other part has. The same on every machine.
  std::pair<std::size_t, std::size_t> part(const Part& part) const;

  // Cells that solve the same instances have the same number.
  std::size_t group_of(std::size_t cell) const { return group_of_[cell]; }

 private:
  struct Group {
    std::size_t first_task, first_cell, cells;
  };

  const Sweep* sweep_;
  std::vector<Group> groups_;
  std::vector<std::size_t> group_of_;                     // (cells)
  std::vector<std::pair<std::string, std::size_t>> ids_;  // of the cells, sorted
  std::vector<Task> tasks_;
};

}  // namespace softreg
