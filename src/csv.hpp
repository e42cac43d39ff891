// Tables in long form, one row per product and market: RFC 4180 with UTF-8, LF or CRLF and an
// optional byte order mark. Rows are gathered by group; the values are float64.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aligned.hpp"

namespace softreg {

struct CsvTable {
  std::vector<std::string> labels;    // (count) of the groups, in order of first appearance
  std::vector<std::int64_t> offsets;  // (count + 1) group i owns rows offsets[i] to offsets[i+1]
  AlignedVector<double> features;     // (N, d)
  AlignedVector<double> target;       // (N)
};

// A row belongs to the group that `group_column` names; within a group the rows keep their order.
// Numbers may stand between spaces; nan and inf are numbers, an empty cell is not. Empty lines are
// skipped. Throws Error: io when the file cannot be read, invalid_input with line and column for
// everything else.
CsvTable read_csv(const std::string& path, const std::string& group_column,
                  const std::string& target_column,
                  const std::vector<std::string>& feature_columns);

// The same for text in memory; `name` stands for the path.
CsvTable parse_csv(std::string_view text, const std::string& name, const std::string& group_column,
                   const std::string& target_column,
                   const std::vector<std::string>& feature_columns);

}  // namespace softreg
