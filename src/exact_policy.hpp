// When instances get a kernel made for their shape, and which: pure, like the choice of a policy.
#pragma once
#include <cstdint>
#include <optional>

#include "policy.hpp"
#include "softreg/model/layout.hpp"

namespace softreg {

enum class Specialise { never, when_it_pays, always };

// The catalogue's policy with no more rows and parameters than `most` needs. Lanes stay, and with
// them the bits: whether a kernel is made may depend on the batch, and on what is installed.
constexpr KernelPolicy exact_policy(KernelPolicy p, const Extent& most) {
  const std::int64_t lanes = p.lanes;
  p.max_rows = static_cast<int>((most.rows + lanes - 1) / lanes * lanes);
  p.max_parameters = static_cast<int>(most.parameters);
  return p;
}

// Multiply-adds of a step that a policy makes of an instance, padding and all.
constexpr std::int64_t multiply_adds(const KernelPolicy& p) {
  return 2 * std::int64_t{p.max_rows} * p.max_parameters;
}

// What is made for the instances of one policy; nothing: the catalogue's kernel serves. most: of
// each of them; max_steps: that each may take.
constexpr std::optional<KernelPolicy> specialised_policy(Specialise when,
                                                         const KernelPolicy& catalogue,
                                                         const Extent& most, std::int64_t instances,
                                                         int max_steps) {
  // A kernel takes seconds to make, once; a GPU makes some 1e13 multiply-adds a second.
  constexpr double worth = 3e13;
  if (when == Specialise::never || instances == 0 || catalogue.placement != Placement::registers)
    return std::nullopt;
  const KernelPolicy exact = exact_policy(catalogue, most);
  const std::int64_t saved = multiply_adds(catalogue) - multiply_adds(exact);
  if (saved == 0) return std::nullopt;
  const double all = double(saved) * double(instances) * max_steps;
  if (when == Specialise::when_it_pays && all < worth) return std::nullopt;
  return exact;
}

}  // namespace softreg
