// Where the arrays of one instance lie in a vector problem: uniform, shared or ragged. Shapes must
// have been validated.
#pragma once
#include <cstdint>
#include <span>

#include "softreg/problem.hpp"

namespace softreg {

template <class T>
class InstanceView {
 public:
  explicit InstanceView(const VectorProblem<T>& problem)
      : a_shared(shared(problem, problem.a.size(), problem.n * problem.d)), p_(problem) {}

  const bool a_shared;

  std::int64_t rows(std::int64_t i) const {
    return p_.offsets.empty() ? p_.n : p_.offsets[at(i) + 1] - p_.offsets[at(i)];
  }
  std::span<const T> a(std::int64_t i) const {  // (rows, d)
    return p_.a.subspan(a_shared ? 0 : at(first_row(i) * p_.d), at(rows(i) * p_.d));
  }
  std::span<const T> b(std::int64_t i) const { return like_rows(p_.b, i); }  // (rows)
  std::span<const T> w(std::int64_t i) const { return like_rows(p_.w, i); }  // (rows) or empty
  std::span<const T> x0(std::int64_t i) const {                              // (d) or empty
    if (p_.x0.empty()) return {};
    return p_.x0.subspan(p_.x0.size() == at(p_.d) ? 0 : at(i * p_.d), at(p_.d));
  }

 private:
  static std::size_t at(std::int64_t n) { return static_cast<std::size_t>(n); }
  static bool shared(const VectorProblem<T>& p, std::size_t has, std::int64_t per_instance) {
    return p.offsets.empty() && p.count != 1 && has == at(per_instance);
  }
  std::int64_t first_row(std::int64_t i) const {
    return p_.offsets.empty() ? i * p_.n : p_.offsets[at(i)];
  }
  std::span<const T> like_rows(std::span<const T> v, std::int64_t i) const {
    if (v.empty()) return {};
    return v.subspan(shared(p_, v.size(), p_.n) ? 0 : at(first_row(i)), at(rows(i)));
  }

  const VectorProblem<T>& p_;
};

}  // namespace softreg
