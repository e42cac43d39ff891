#include "sweep_text.hpp"

#include <fmt/format.h>

#include "progress.hpp"
#include "summary.hpp"
#include "text.hpp"

namespace softreg {
namespace {

std::string count_of(const Json& value) { return count_text(value.get<std::int64_t>()); }

// "24 cells, 240,000 instances, 24 shards"
std::string size_line(const Json& document) {
  return fmt::format("{} cells, {} instances, {} shards\n", count_of(document["cells"]),
                     count_of(document["instances"]), count_of(document["shards"]["sweep"]));
}

std::string directory_line(const Json& document) {
  return labelled("directory", printable(document["directory"].get<std::string>()));
}

std::string damage_line(const Json& damaged) {
  return damaged.empty() ? ""
                         : labelled("damaged", fmt::format("{} shard{}", damaged.size(),
                                                           damaged.size() == 1 ? "" : "s"));
}

}  // namespace

std::string sweep_plan_text(const Json& document) {
  const Json& shards = document["shards"];
  return size_line(document) + directory_line(document) +
         labelled("part", fmt::format("{}: {} shards, of which {} are there",
                                      document["part"].get<std::string>(), count_of(shards["part"]),
                                      count_of(shards["found"]))) +
         damage_line(shards["damaged"]) +
         labelled("to do", fmt::format("{} instances, at most {} steps",
                                       count_of(document["instances_to_do"]),
                                       count_of(document["updates_at_most"]))) +
         labelled("shards", fmt::format("about {} bytes in all", count_of(document["bytes"]))) +
         labelled("memory", fmt::format("{} bytes for the instances of the largest chunk",
                                        count_of(document["chunk_bytes"])));
}

std::string sweep_run_text(const Json& document) {
  const Json& shards = document["shards"];
  const double seconds = document["seconds"].get<double>();
  const std::int64_t steps = document["steps_total"].get<std::int64_t>();
  std::string text = size_line(document) + status_lines(document, "");
  if (steps > 0)
    text += labelled("steps",
                     fmt::format("{} in {:.3g} s on {}: {} instance-steps/s", count_text(steps),
                                 seconds, document["device"].get<std::string>(),
                                 amount_text(static_cast<double>(steps) / seconds)));
  text += labelled("shards", fmt::format("{} made, {} found", count_of(shards["made"]),
                                         count_of(shards["found"]))) +
          damage_line(shards["damaged"]);
  if (document["result_hash"].is_string())
    text += labelled("result", document["result_hash"].get<std::string>());
  else if (shards.contains("present"))
    text += labelled("missing", fmt::format("{} shards of other parts",
                                            count_text(shards["sweep"].get<std::int64_t>() -
                                                       shards["present"].get<std::int64_t>())));
  return text + directory_line(document);
}

std::string sweep_status_text(const Json& document) {
  const Json& shards = document["shards"];
  const auto of = [](const Json& done, const Json& all) {
    return fmt::format("{} of {}", count_of(done), count_of(all));
  };
  std::string text =
      size_line(document) + labelled("cells done", of(document["cells_done"], document["cells"])) +
      labelled("shards there", of(shards["present"], shards["sweep"])) +
      damage_line(shards["damaged"]) +
      labelled("instances done", of(document["instances_done"], document["instances"]));
  if (document["result_hash"].is_string())
    text += labelled("result", document["result_hash"].get<std::string>());
  return text + directory_line(document);
}

}  // namespace softreg
