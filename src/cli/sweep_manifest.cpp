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

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::io,
              fmt::format("{} is not the manifest of a sweep: {}", quoted_path(path), why),
              "`softreg sweep run` with the same grid and another directory starts anew");
}

// Of everything but the id itself.
std::string id_of(Json manifest) {
  manifest.erase("id");
  return content_hash(manifest.dump());
}

Json parse_json(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json manifest = Json::parse(text, nullptr, false);
  if (!manifest.is_object() || manifest.value("kind", Json()) != kind)
    refuse(path, "it is no JSON document of that kind");
  return manifest;
}

Sweep parse_manifest(const Json& manifest) {
  Sweep sweep;
  for (const Json& document : manifest.at("cells")) {
    sweep.keeping.trace = document.at("trace") == "shifts" ? TraceKind::shifts : TraceKind::none;
    sweep.keeping.arrays = document.at("arrays").get<bool>();
    const Setting chunk{document.at("chunk").dump(), "chunk", true};
    sweep.cells.push_back(parse_cell(settings_of(document), chunk, sweep.keeping));
    if (sweep.cells.back().id != document.at("id"))
      throw Error(ErrorKind::io,
                  fmt::format("cell {} is described otherwise", document.at("id").dump()));
  }
  sweep.id = manifest.at("id").get<std::string>();
  return sweep;
}

}  // namespace

Json manifest_of(const Sweep& sweep) {
  Json cells = Json::array();
  for (const Cell& cell : sweep.cells) {
    Json document{{"id", cell.id}};
    document.update(cell.document);
    cells.push_back(std::move(document));
  }
  Json manifest{{"schema_version", 1},
                {"kind", kind},
                {"version", version},
                {"id", ""},
                {"cells", std::move(cells)}};
  manifest["id"] = id_of(manifest);
  return manifest;
}

Sweep read_manifest(const std::string& path, bool same_version) {
  const Json manifest = parse_json(path);
  if (manifest.value("id", Json()) != id_of(manifest))
    refuse(path, "its contents are not those that its id names");
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
    refuse(path, error.what());
  } catch (const Error& error) {
    refuse(path, error.what());
  }
}

}  // namespace softreg
