// The short tables that a person sees on stdout when --json was not asked for.
#pragma once
#include <string>
#include <vector>

#include "document.hpp"
#include "terminal.hpp"

namespace softreg {

// Rows of cells as aligned columns: the first column to the left, the others to the right.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// "  steps           1,000\n"
std::string labelled(const std::string& name, const std::string& text);

// How many instances have each status, but one, a line each.
std::string status_lines(const Json& document, const std::string& left_out);

// "10,000 instances, n = 64, d = 16, softmax_l2, float32"
std::string batch_line(const Json& document);

// "cpu (x86-64-v3, 2 threads)"
std::string place_text(const PlanSummary& plan);

// What is planned: for --dry-run.
std::string plan_table(const Json& document, const PlanSummary& plan);

// Statuses, losses, steps and speed of a solve; `saved` is the output's path or empty.
template <class T>
std::string solve_table(const Json& document, const Result<T>& result, const std::string& saved);

// Statuses and losses of an evaluation.
template <class T>
std::string evaluation_table(const Json& document, const Result<T>& at, const std::string& saved);

// Sizes of a generated problem.
std::string generation_table(const Json& document, const std::string& saved);

// Warnings about the call and messages about instances, on stderr; all of them only when verbose.
void show_warnings(Terminal& terminal, const std::vector<std::string>& warnings,
                   const std::vector<Message>& messages);

}  // namespace softreg
