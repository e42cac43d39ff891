// One cell of a sweep: which instances are generated, and how they are solved.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "document.hpp"
#include "flags.hpp"
#include "generate.hpp"

namespace softreg {

struct CellKey {
  std::string_view name, fallback;
};

// What may vary between cells, outermost first. Cells that differ in none of the first
// `instance_keys` have the same instances.
inline constexpr std::array<CellKey, 20> cell_keys{{{"problem", "vector"},
                                                    {"n", ""},
                                                    {"d", ""},
                                                    {"m", ""},
                                                    {"d2", ""},
                                                    {"count", ""},
                                                    {"family", "plain"},
                                                    {"radius", "1"},
                                                    {"dtype", "f32"},
                                                    {"seed", "0"},
                                                    {"loss", "softmax_l2"},
                                                    {"optimizer", "gradient_descent"},
                                                    {"step_size", "auto"},
                                                    {"step_multiple", "1"},
                                                    {"max_steps", "1000"},
                                                    {"tol", "1e-6"},
                                                    {"check_every", "8"},
                                                    {"ridge", "0"},
                                                    {"logit_weight", "0"},
                                                    {"ball", ""}}};
inline constexpr std::size_t instance_keys = 10;

// The position of a key; cell_keys.size() for a name that is none.
std::size_t cell_key(std::string_view name);

// A value for each of cell_keys.
using CellSettings = std::array<Setting, cell_keys.size()>;

struct Cell {
  std::string id;  // 16 hexadecimal digits that name document_of(*this)
  GenerateOptions generate;
  bool single = true;      // float32
  Options options;         // without what the machine decides
  bool arrays = false;     // shards hold x too
  std::int64_t chunk = 0;  // instances per shard; the last shard has the rest

  std::int64_t chunks() const { return (generate.count + chunk - 1) / chunk; }
  std::int64_t first_of(std::int64_t k) const { return k * chunk; }
  std::int64_t count_of(std::int64_t k) const;

  // The instances of chunk k: the numbers that all of them together would have there.
  GenerateOptions generate_chunk(std::int64_t k) const;
};

// What all cells of a sweep keep of an instance besides its outcome.
struct Keeping {
  TraceKind trace = TraceKind::none;  // or shifts, bounds
  bool arrays = false;
};

// By name. Throws Error (usage).
TraceKind parse_trace(const Setting& setting);

// chunk: not given, about 64 MiB of arrays and at most 10,000 instances. Throws Error (usage).
Cell parse_cell(const CellSettings& settings, const Setting& chunk, const Keeping& keeping);

// Every key with its value, chunk, trace and arrays: equal for equal cells.
Json document_of(const Cell& cell);

// The settings that a document was made of.
CellSettings settings_of(const Json& document);

}  // namespace softreg
