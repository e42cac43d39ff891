// One pass over the text: fields are views into it unless a quoted one holds doubled quotes.
#include "csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <list>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "mapped_file.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

// In the result all labels take the width of the longest.
constexpr std::size_t longest_label = 1000;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

struct Field {
  std::string_view text;
  std::int64_t line = 0;  // where it begins, from 1
  bool quoted = false;
};

// Splits the text into records. The fields of a record are valid until the next one is read.
class CsvRecords {
 public:
  CsvRecords(std::string_view text, const std::string& file) : rest_(text), file_(file) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
    if (const std::size_t zero = rest_.find('\0'); zero != std::string_view::npos) {
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} is not a UTF-8 text file: byte {} is zero", file_,
                              zero + (text.size() - rest_.size())));
    }
  }

  // False at the end of the text.
  bool next(std::vector<Field>& fields) {
    fields.clear();
    unescaped_.clear();
    while (skip_line_end()) {
    }
    if (rest_.empty() || rest_ == "\r") return false;
    while (true) {
      fields.push_back(rest_.starts_with('"') ? quoted_field() : plain_field());
      if (rest_.empty() || skip_line_end()) break;
      rest_.remove_prefix(1);  // the comma
    }
    return true;
  }

  [[noreturn]] void fail(std::int64_t line, const std::string& sentence) const {
    throw Error(ErrorKind::invalid_input, fmt::format("{}: line {}{}", file_, line, sentence));
  }

 private:
  bool at_line_end() const { return rest_.starts_with('\n') || rest_.starts_with("\r\n"); }

  bool skip_line_end() {
    if (!at_line_end()) return false;
    rest_.remove_prefix(rest_.front() == '\r' ? 2 : 1);
    ++line_;
    return true;
  }

  Field plain_field() {
    std::string_view text = rest_.substr(0, rest_.find_first_of(",\n"));
    rest_.remove_prefix(text.size());
    if (text.ends_with('\r') && !rest_.starts_with(',')) {
      text.remove_suffix(1);
      // Hands the whole CRLF to skip_line_end().
      if (!rest_.empty()) rest_ = std::string_view(text.data() + text.size(), rest_.size() + 1);
    }
    if (text.find('"') != std::string_view::npos) {
      fail(line_, fmt::format(": {} has a quote inside a field without quotes", quoted(text)));
    }
    return {text, line_, false};
  }

  Field quoted_field() {
    Field field{{}, line_, true};
    rest_.remove_prefix(1);
    std::string text;
    bool doubled = false;
    while (true) {
      const std::size_t end = rest_.find('"');
      if (end == std::string_view::npos) fail(field.line, ": a quoted field is never closed");
      const std::string_view part = rest_.substr(0, end);
      line_ += std::count(part.begin(), part.end(), '\n');
      rest_.remove_prefix(end + 1);
      if (rest_.starts_with('"')) {
        doubled = true;
        text.append(part).push_back('"');
        rest_.remove_prefix(1);
        continue;
      }
      field.text = part;
      if (doubled) field.text = unescaped_.emplace_back(text.append(part));
      break;
    }
    if (rest_ == "\r") rest_ = {};
    if (!rest_.empty() && !rest_.starts_with(',') && !at_line_end()) {
      fail(line_,
           fmt::format(": a comma is missing after the quoted field {}", quoted(field.text)));
    }
    return field;
  }

  std::string_view rest_;
  const std::string& file_;
  std::int64_t line_ = 1;
  std::list<std::string> unescaped_;
};

struct Columns {
  std::vector<std::string> names;
  std::size_t group = 0;
  std::size_t target = 0;
  std::vector<std::size_t> features;
};

std::size_t find_column(const std::vector<std::string>& names, const std::string& wanted,
                        const std::string& file) {
  const auto found = std::find(names.begin(), names.end(), wanted);
  if (found == names.end()) {
    std::vector<std::string> shown;
    for (const std::string& name : names) shown.push_back(quoted(name));
    throw Error(ErrorKind::invalid_input, fmt::format("{} has no column {}", file, quoted(wanted)),
                fmt::format("its {} columns are {}", names.size(), fmt::join(shown, ", ")));
  }
  if (std::find(found + 1, names.end(), wanted) != names.end()) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has more than one column {}", file, quoted(wanted)));
  }
  return static_cast<std::size_t>(found - names.begin());
}

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& file) : records_(text, file), file_(file) {}

  void read_header(const std::string& group, const std::string& target,
                   const std::vector<std::string>& features) {
    std::vector<Field> fields;
    if (!records_.next(fields)) {
      throw Error(ErrorKind::invalid_input, fmt::format("{} has no header line", file_));
    }
    for (const Field& field : fields) {
      columns_.names.emplace_back(field.quoted ? field.text : trimmed(field.text));
    }
    columns_.group = find_column(columns_.names, group, file_);
    columns_.target = find_column(columns_.names, target, file_);
    for (auto name = features.begin(); name != features.end(); ++name) {
      if (std::find(features.begin(), name, *name) != name) {
        throw Error(ErrorKind::invalid_input,
                    fmt::format("feature {} is named twice", quoted(*name)));
      }
      columns_.features.push_back(find_column(columns_.names, *name, file_));
    }
  }

  CsvTable read_rows() {
    std::vector<Field> fields;
    while (records_.next(fields)) {
      if (fields.size() != columns_.names.size()) {
        records_.fail(fields.front().line, fmt::format(" has {} fields but the header has {}",
                                                       fields.size(), columns_.names.size()));
      }
      group_of_row_.push_back(group_of(fields[columns_.group]));
      target_.push_back(number(fields, columns_.target));
      for (const std::size_t column : columns_.features) {
        features_.push_back(number(fields, column));
      }
    }
    if (target_.empty()) {
      throw Error(ErrorKind::invalid_input, fmt::format("{} has a header but no rows", file_));
    }
    return gathered();
  }

 private:
  [[noreturn]] void fail(const Field& field, std::size_t column, const std::string& text) const {
    records_.fail(field.line, fmt::format(", column {}: {}", quoted(columns_.names[column]), text));
  }

  std::size_t group_of(const Field& field) {
    if (field.text.size() > longest_label) {
      fail(field, columns_.group,
           fmt::format("the label has {} bytes; at most {} are allowed", field.text.size(),
                       longest_label));
    }
    const auto [entry, is_new] = groups_.try_emplace(std::string(field.text), groups_.size());
    if (is_new) {
      if (trimmed(field.text).empty()) fail(field, columns_.group, "the label is empty");
      if (!decode_utf8(field.text)) {
        fail(field, columns_.group, fmt::format("{} is not UTF-8", quoted(field.text)));
      }
      labels_.push_back(entry->first);
    }
    return entry->second;
  }

  double number(const std::vector<Field>& fields, std::size_t column) const {
    const Field& field = fields[column];
    std::string_view text = trimmed(field.text);
    if (text.empty()) fail(field, column, "the cell is empty");
    // from_chars knows no plus sign.
    if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range) {
      fail(field, column, fmt::format("{} is outside of float64", quoted(field.text)));
    }
    if (error != std::errc() || end != text.data() + text.size()) {
      fail(field, column, fmt::format("{} is not a number", quoted(field.text)));
    }
    return value;
  }

  // Brings the rows into the order of the groups: a counting sort, which keeps their order within.
  CsvTable gathered() {
    CsvTable table;
    const std::size_t rows = target_.size();
    const std::size_t width = columns_.features.size();
    table.offsets.assign(labels_.size() + 1, 0);
    for (const std::size_t group : group_of_row_) ++table.offsets[group + 1];
    for (std::size_t i = 1; i < table.offsets.size(); ++i) table.offsets[i] += table.offsets[i - 1];
    std::vector<std::int64_t> next(table.offsets.begin(), table.offsets.end() - 1);
    table.target.resize(rows);
    table.features.resize(rows * width);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto place = static_cast<std::size_t>(next[group_of_row_[row]]++);
      table.target[place] = target_[row];
      std::copy_n(features_.data() + row * width, width, table.features.data() + place * width);
    }
    table.labels = std::move(labels_);
    return table;
  }

  CsvRecords records_;
  const std::string& file_;
  Columns columns_;
  std::unordered_map<std::string, std::size_t> groups_;
  std::vector<std::string> labels_;
  std::vector<std::size_t> group_of_row_;
  std::vector<double> target_;
  std::vector<double> features_;
};

}  // namespace

CsvTable read_csv(const std::string& path, const std::string& group_column,
                  const std::string& target_column,
                  const std::vector<std::string>& feature_columns) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, group_column,
                   target_column, feature_columns);
}

CsvTable parse_csv(std::string_view text, const std::string& name, const std::string& group_column,
                   const std::string& target_column,
                   const std::vector<std::string>& feature_columns) {
  const std::string shown = quoted_path(name);
  CsvReader reader(text, shown);
  reader.read_header(group_column, target_column, feature_columns);
  return reader.read_rows();
}

}  // namespace softreg
