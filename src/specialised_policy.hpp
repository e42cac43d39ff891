// When instances get a kernel made for what they have in common, and which: pure, like the choice
// of a policy.
#pragma once
#include <cstdint>
#include <optional>

#include "policy.hpp"

namespace softreg {

enum class Specialise { never, when_it_pays, always };

// What the instances of one class have in common.
struct Alike {
  std::int64_t instances = 0;
  int least_rows = 0, most_rows = 0;
  int parameters = 0;
  bool plain = false;  // see KernelPolicy
  bool fast = false;   // Arithmetic::fast
  int max_steps = 0;   // that each may take
};

// A kernel that is not in the catalogue; fast: its loss is computed with Fast<T>.
struct SpecialisedPolicy {
  KernelPolicy policy;
  bool fast = false;
};

// Multiply-adds of a step that a policy makes of an instance, padding and all.
constexpr std::int64_t multiply_adds(const KernelPolicy& p) {
  return 2 * std::int64_t{p.grid.rows} * p.grid.parameters;
}

// What is made for the instances of a class; nothing: the catalogue's kernel serves. Unless it is
// fast it has the bits of its class: whether it is made may depend on the batch, and on what is
// installed.
constexpr std::optional<SpecialisedPolicy> specialised_policy(Specialise when,
                                                              const KernelPolicy& catalogue,
                                                              const Alike& all) {
  // A kernel takes seconds to make, once; a GPU makes some 1e13 multiply-adds a second.
  constexpr double worth = 3e13;
  if (all.instances == 0 || catalogue.placement != Placement::registers) return std::nullopt;
  // Where A fills the registers to the last, what is narrowed may spill in a step; fast kernels,
  // which the catalogue does not have, do not.
  if (catalogue.shared_rows > 0 && !all.fast) return std::nullopt;
  const KernelPolicy special =
      narrowed(catalogue, all.least_rows, all.most_rows, all.parameters, all.plain);
  const double saved = double(multiply_adds(catalogue) - multiply_adds(special));
  const bool pays = saved * double(all.instances) * all.max_steps >= worth;
  if (all.fast || when == Specialise::always || (when == Specialise::when_it_pays && pays))
    return SpecialisedPolicy{special, all.fast};
  return std::nullopt;
}

}  // namespace softreg
