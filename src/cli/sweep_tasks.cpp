#include "sweep_tasks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

bool same_instances(const Cell& one, const Cell& other) {
  return one.generate == other.generate && one.single == other.single && one.chunk == other.chunk;
}

// Operations of an instance, about: every step, and a norm by Lanczos' method when it is generated.
// Only for shares of equal size.
double work_of(const Cell& cell) {
  const GenerateOptions& g = cell.generate;
  const double n = (g.n_min + g.n_max) / 2.0, d = g.d;
  const double m = g.m == 0 ? n : g.m, d2 = g.d2;
  const double step = g.matrix ? n * d * d2 + n * m * d2 : n * d;
  return step * (cell.options.stop.max_steps + std::min({n, d, 64.0}));
}

}  // namespace

Part parse_part(const Setting& setting) {
  if (!setting.given) return {};
  constexpr std::int64_t most = 1'000'000;
  const std::size_t slash = setting.text.find('/');
  if (slash == std::string::npos) {
    throw Error(ErrorKind::usage,
                fmt::format("{} is {}; expected a part and how many there are, such as 2/8",
                            setting.origin, softreg::quoted(setting.text)));
  }
  Setting index = setting, of = setting;
  index.text = setting.text.substr(0, slash);
  of.text = setting.text.substr(slash + 1);
  const std::int64_t parts = parse_whole(of, 1, most);
  return {static_cast<int>(parse_whole(index, 1, parts)), static_cast<int>(parts)};
}

Tasks::Tasks(const Sweep& sweep) : sweep_(&sweep) {
  for (std::size_t c = 0; c < sweep.cells.size(); ++c) {
    if (c == 0 || !same_instances(sweep.cells[c - 1], sweep.cells[c])) groups_.push_back({0, c, 0});
    ++groups_.back().cells;
    group_of_.push_back(groups_.size() - 1);
    ids_.emplace_back(sweep.cells[c].id, c);
  }
  std::sort(ids_.begin(), ids_.end());
  for (Group& group : groups_) {
    group.first_task = tasks_.size();
    for (std::int64_t k = 0; k < sweep.cells[group.first_cell].chunks(); ++k)
      for (std::size_t c = 0; c < group.cells; ++c) tasks_.push_back({group.first_cell + c, k});
  }
}

std::size_t Tasks::find(const std::string& cell_id, std::int64_t chunk) const {
  const auto at = std::lower_bound(ids_.begin(), ids_.end(), std::pair(cell_id, std::size_t{0}));
  if (at == ids_.end() || at->first != cell_id) return size();
  const std::size_t cell = at->second;
  if (chunk < 0 || chunk >= sweep_->cells[cell].chunks()) return size();
  const Group& group = groups_[group_of_[cell]];
  return group.first_task + static_cast<std::size_t>(chunk) * group.cells +
         (cell - group.first_cell);
}

std::pair<std::size_t, std::size_t> Tasks::part(const Part& part) const {
  const auto work = [this](const Task& task) {
    const Cell& cell = sweep_->cells[task.cell];
    return work_of(cell) * static_cast<double>(cell.count_of(task.chunk));
  };
  double total = 0, before = 0;
  for (const Task& task : tasks_) total += work(task);
  std::pair<std::size_t, std::size_t> range{tasks_.size(), tasks_.size()};
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    const double here = work(tasks_[t]);
    // The part in which the middle of the task falls.
    const int owner =
        std::min(part.of, 1 + static_cast<int>((before + here / 2) / total * part.of));
    before += here;
    if (owner >= part.index && range.first == tasks_.size()) range.first = t;
    if (owner > part.index) {
      range.second = t;
      break;
    }
  }
  range.first = std::min(range.first, range.second);
  return range;
}

}  // namespace softreg
