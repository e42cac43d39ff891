// What is generated, as texts from flags or files, and described in documents.
#pragma once
#include <cstdint>

#include "document.hpp"
#include "flags.hpp"
#include "generate.hpp"

namespace softreg {

struct GenerateSettings {
  const Setting& problem;  // "vector", "matrix"
  const Setting& n;        // "64", "10:200"
  const Setting& d;
  const Setting& m;   // of a matrix problem; not given: n
  const Setting& d2;  // likewise: d
  const Setting& count;
  const Setting& family;
  const Setting& radius;
  const Setting& seed;
};

// Throws Error (usage).
GenerateOptions parse_generate(const GenerateSettings& settings);

// The keys dtype, seed, family, radius, count, n, d (or n, m, d1, d2).
void describe_generated(Json& document, const GenerateOptions& options, bool single);

// Of the arrays of all instances.
std::int64_t generated_bytes(const GenerateOptions& options, bool single);

}  // namespace softreg
