// The JSON documents of --json and of the array `meta`. Numbers keep their value (shortest text
// that reads back equal); what is not finite is null.
#pragma once
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "problem_file.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"

namespace softreg {

using Json = nlohmann::ordered_json;

// {"schema_version", "version", "verb"}: how every document begins.
Json document_head(std::string_view verb);

// The whole document as text with a final newline.
std::string document_text(const Json& document);

Json plan_json(const PlanSummary& plan);
Json messages_json(const std::vector<Message>& messages);

// Of the problem's file, then of the work on it.
Json warnings_json(const ProblemFile& file, const std::vector<std::string>& warnings);

// How often each status occurs, by name.
Json status_counts(const std::vector<Status>& statuses);

// The same, where how often each code occurs is counted already.
using StatusTally = std::array<std::int64_t, 64>;  // codes are below
Json status_counts(const StatusTally& tally);

// The keys of product documents that describe the batch: device, isa, dtype, seed, loss, count, n,
// d (or n, m, d1, d2; a number, or [min, max] when ragged), softmaxes or blocks, result_bytes.
template <class T>
void describe_batch(Json& document, const ProblemArrays<T>& problem, const PlanSummary& plan,
                    const Options& options, std::uint64_t seed);

// Everything of `solve` but the arguments, the warnings and what other verbs add.
template <class T>
Json solve_document(std::string_view verb, const ProblemArrays<T>& problem, const Options& options,
                    const Result<T>& result, std::uint64_t seed);

}  // namespace softreg
