// The product of the lists in a TOML file, in the order of cell_keys.
#include "sweep_grid.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "nearest_name.hpp"
#include "softreg/error.hpp"
#include "softreg/version.hpp"
#include "text.hpp"
#include "toml_file.hpp"

namespace softreg {

namespace {

// A manifest is read and written whole, and a directory holds all shards.
constexpr std::int64_t most_cells = 100'000, most_shards = 1'000'000;
constexpr std::int64_t most_instances = std::int64_t{1} << 50;

[[noreturn]] void refuse(const std::string& sentence, const std::string& hint = "") {
  throw Error(ErrorKind::usage, sentence, hint);
}

class GridFile {
 public:
  explicit GridFile(const std::string& path) : path_(path) {
    const toml::table table = read_toml(path);
    for (const auto& [key, node] : table) take(std::string(key.str()), node);
    for (const char* name : {"n", "d", "count"})
      if (values_.count(name) == 0)
        refuse(fmt::format("{} does not say '{}'", quoted_path(path), name),
               "a sweep needs n, d and count; `softreg sweep run --help` shows an example");
  }

  // The one value of a key that does not span the grid.
  Setting single(const std::string& name, const std::string& fallback) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return {fallback, name, false};
    if (found->second.size() == 1) return found->second.front();
    refuse(fmt::format("{} has {} values but takes one", found->second.front().origin,
                       found->second.size()));
  }

  std::vector<Setting> axis(std::size_t key) const {
    const auto found = values_.find(cell_keys[key].name);
    if (found != values_.end()) return found->second;
    return {{std::string(cell_keys[key].fallback), std::string(cell_keys[key].name), false}};
  }

 private:
  void take(std::string name, const toml::node& node) {
    const std::string origin = fmt::format("{} in {}, line {},", softreg::quoted(name),
                                           quoted_path(path_), node.source().begin.line);
    std::replace(name.begin(), name.end(), '-', '_');
    std::vector<std::string> known{"trace", "arrays", "chunk"};
    for (const CellKey& key : cell_keys) known.emplace_back(key.name);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const std::string nearest = nearest_name(name, known);
      refuse(fmt::format("{} is not a key of a sweep", origin),
             nearest.empty() ? fmt::format("the keys are {}", fmt::join(known, ", "))
                             : fmt::format("did you mean '{}'?", nearest));
    }
    std::vector<Setting>& values = values_[name];
    if (!values.empty()) refuse(fmt::format("{} says the same as {}", origin, values[0].origin));
    if (const toml::array* list = node.as_array()) {
      for (const toml::node& element : *list)
        values.push_back({toml_text(element, origin), origin, true});
    } else {
      values.push_back({toml_text(node, origin), origin, true});
    }
    if (values.empty()) refuse(fmt::format("{} is an empty list; expected a value", origin));
    for (const Setting& value : values)
      if (value.text.empty()) refuse(fmt::format("{} is empty; expected a value", origin));
  }

  std::string path_;
  std::map<std::string, std::vector<Setting>, std::less<>> values_;
};

// Counts through the grid, the last key fastest.
class Odometer {
 public:
  explicit Odometer(std::vector<std::vector<Setting>> axes)
      : axes_(std::move(axes)), at_(axes_.size()) {
    std::int64_t cells = 1;
    for (const auto& axis : axes_) {
      cells *= static_cast<std::int64_t>(axis.size());
      if (cells > most_cells)
        refuse(fmt::format("the grid has more than {} cells", most_cells),
               "instances of one kind belong into one cell (`count`); or make several sweeps");
    }
  }

  // m and d2 belong to matrix problems: a vector problem is one cell for all their values, and none
  // is made at the others.
  bool is_cell() const {
    return !ignores_matrix_keys() || (at_[cell_key("m")] == 0 && at_[cell_key("d2")] == 0);
  }
  CellSettings settings() const {
    CellSettings result;
    for (std::size_t k = 0; k < axes_.size(); ++k) result[k] = axes_[k][at_[k]];
    if (ignores_matrix_keys())
      for (const char* name : {"m", "d2"}) result[cell_key(name)] = {"", name, false};
    return result;
  }
  bool advance() {
    for (std::size_t k = axes_.size(); k-- > 0;) {
      if (++at_[k] < axes_[k].size()) return true;
      at_[k] = 0;
    }
    return false;
  }

 private:
  // A sweep of vector problems alone that says m is told so by parse_cell.
  bool ignores_matrix_keys() const {
    const std::vector<Setting>& problems = axes_[cell_key("problem")];
    return problems[at_[cell_key("problem")]].text == "vector" &&
           std::any_of(problems.begin(), problems.end(),
                       [](const Setting& problem) { return problem.text == "matrix"; });
  }

  std::vector<std::vector<Setting>> axes_;
  std::vector<std::size_t> at_;
};

void check_size(const Sweep& sweep) {
  std::int64_t instances = 0, shards = 0;
  for (const Cell& cell : sweep.cells) {
    instances += std::min(cell.generate.count, most_instances + 1);
    shards += std::min(cell.chunks(), most_shards + 1);
    if (instances > most_instances)
      refuse(fmt::format("the sweep has more than {} instances", most_instances));
    if (shards > most_shards)
      refuse(fmt::format("the sweep has more than {} shards", most_shards),
             "a larger `chunk` makes fewer");
  }
}

}  // namespace

std::int64_t Sweep::instances() const {
  std::int64_t sum = 0;
  for (const Cell& cell : cells) sum += cell.generate.count;
  return sum;
}

std::int64_t Sweep::shards() const {
  std::int64_t sum = 0;
  for (const Cell& cell : cells) sum += cell.chunks();
  return sum;
}

Sweep read_grid(const std::string& path, bool arrays) {
  const GridFile file(path);
  Sweep sweep;
  Keeping keeping;
  keeping.trace = parse_trace(file.single("trace", "none"));
  const bool also = parse_choice(file.single("arrays", "false"), {"false", "true"}) == 1;
  keeping.arrays = also || arrays;
  const Setting chunk = file.single("chunk", "");
  std::vector<std::vector<Setting>> axes;
  for (std::size_t k = 0; k < cell_keys.size(); ++k) axes.push_back(file.axis(k));
  std::set<std::string> ids;
  Odometer odometer(std::move(axes));
  do {
    if (!odometer.is_cell()) continue;
    Cell cell = parse_cell(odometer.settings(), chunk, keeping);
    if (!ids.insert(cell.id).second)
      refuse(fmt::format("{} has one cell twice: {}", quoted_path(path), document_of(cell).dump()),
             "a value stands twice in a list");
    sweep.cells.push_back(std::move(cell));
  } while (odometer.advance());
  check_size(sweep);
  sweep.id = sweep_id(version, sweep.cells);
  return sweep;
}

}  // namespace softreg
