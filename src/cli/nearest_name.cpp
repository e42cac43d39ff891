#include "nearest_name.hpp"

#include <algorithm>

namespace softreg {
namespace {

// The number of insertions, deletions and replacements between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view word, const std::vector<std::string>& names) {
  std::string nearest;
  std::size_t distance = 3;  // further apart than two letters: no resemblance
  for (const std::string& name : names) {
    const std::size_t apart = edit_distance(word, name);
    if (apart < distance) {
      distance = apart;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace softreg
