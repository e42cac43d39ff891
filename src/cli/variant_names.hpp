// Losses and optimizers by name: the names are those of the catalogue.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "flags.hpp"

namespace softreg {

template <class Variant>
std::vector<std::string> names_of() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::vector<std::string>{std::string(std::variant_alternative_t<I, Variant>::name)...};
  }
  (std::make_index_sequence<std::variant_size_v<Variant>>());
}

// "gradient_descent or nesterov"
template <class Variant>
std::string any_of_names() {
  const std::vector<std::string> names = names_of<Variant>();
  std::string text;
  for (std::size_t k = 0; k < names.size(); ++k)
    text += (k == 0 ? "" : k + 1 == names.size() ? " or " : ", ") + names[k];
  return text;
}

// The member that the setting names; throws Error (usage) with the list.
template <class Variant>
Variant member_named(const Setting& setting) {
  const auto chosen = static_cast<std::size_t>(parse_choice(setting, names_of<Variant>()));
  Variant result;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((I == chosen ? static_cast<void>(result.template emplace<I>()) : void()), ...);
  }
  (std::make_index_sequence<std::variant_size_v<Variant>>());
  return result;
}

}  // namespace softreg
