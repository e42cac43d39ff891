// The manifest: what a sweep is, as JSON that names itself by its contents.
#include <fmt/format.h>

#include <string_view>

#include "content_hash.hpp"
#include "mapped_file.hpp"
#include "softreg/error.hpp"
#include "softreg/version.hpp"
#include "sweep_grid.hpp"
#include "text.hpp"

namespace softreg {
namespace {

constexpr const char* kind = "softreg sweep";

[[noreturn]] void refuse_file(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::io,
              fmt::format("{} is not the manifest of a sweep: {}", quoted_path(path), why),
              "`softreg sweep run` with the same grid and another directory starts anew");
}

Json parse_json(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json manifest = Json::parse(text, nullptr, false);
  if (!manifest.is_object() || manifest.value("kind", Json()) != kind ||
      manifest.value("schema_version", Json()) != 1)
    refuse_file(path, "it is no JSON document of that kind");
  return manifest;
}

Sweep parse_manifest(const Json& manifest) {
  Sweep sweep;
  for (const Json& document : manifest.at("cells")) {
    Keeping keeping;
    keeping.trace = parse_trace({document.at("trace").get<std::string>(), "trace", true});
    keeping.arrays = document.at("arrays").get<bool>();
    const Setting chunk{document.at("chunk").dump(), "chunk", true};
    sweep.cells.push_back(parse_cell(settings_of(document), chunk, keeping));
    if (sweep.cells.back().id != document.at("id"))
      throw Error(ErrorKind::io,
                  fmt::format("cell {} is described otherwise", document.at("id").dump()));
  }
  sweep.id = sweep_id(manifest.at("version").get<std::string>(), sweep.cells);
  if (sweep.id != manifest.at("id"))
    throw Error(ErrorKind::io, "its contents are not those that its id names");
  return sweep;
}

}  // namespace

// Cells are named by what they are, and so is the list of them.
std::string sweep_id(const std::string& by_version, const std::vector<Cell>& cells) {
  std::string text = fmt::format("{} {}", kind, by_version);
  for (const Cell& cell : cells) text += "\n" + cell.id;
  return content_hash(text);
}

std::string manifest_text(const Sweep& sweep) {
  const Json head{{"schema_version", 1}, {"kind", kind}, {"version", version}, {"id", sweep.id}};
  // A cell a line: for people, and so that the document of all is never in memory.
  std::string text = head.dump();
  text.pop_back();
  text += ",\"cells\":[";
  for (const Cell& cell : sweep.cells) {
    Json document{{"id", cell.id}};
    document.update(document_of(cell));
    text += (&cell == &sweep.cells.front() ? "\n" : ",\n") + document.dump();
  }
  return text + "\n]}\n";
}

Sweep read_manifest(const std::string& path, bool same_version) {
  const Json manifest = parse_json(path);
  const Json by = manifest.value("version", Json());
  if (same_version && by != version)
    throw Error(ErrorKind::usage,
                fmt::format("the sweep was begun by softreg {} and this is {}, whose numbers may "
                            "differ",
                            by.is_string() ? by.get<std::string>() : "?", version),
                "finish it with that version, or begin it anew in another directory");
  try {
    return parse_manifest(manifest);
  } catch (const Json::exception& error) {
    refuse_file(path, error.what());
  } catch (const Error& error) {
    refuse_file(path, error.what());
  }
}

}  // namespace softreg
