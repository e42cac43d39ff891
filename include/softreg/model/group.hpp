// A group is a set of lanes that solve one instance together. Its few loops are the whole parallel
// vocabulary of the project; each is collective and ends in a barrier, so no caller synchronises.
// The order of every reduction is fixed here: each lane goes through its rows (lane, lane + lanes,
// ...) in ascending order, then lanes combine within each warp of 32 (offsets 16, 8, 4, 2, 1), then
// warps combine (offsets W/2, ..., 1). A group of several warps can also be taken apart, each warp
// being a group that goes its own way, and what they have summed combines like their parts of one
// sum. kernels/simt_group.hpp keeps the same order on real lanes.
#pragma once
#include <concepts>

#include "softreg/model/matrix.hpp"
#include "softreg/model/sums.hpp"

namespace softreg {

inline constexpr int warp_lanes = 32;

// Stand-ins for the callables of a group; EDG does not accept lambdas in a concept.
struct AnyRow {
  SR_HD void operator()(int) const {}
  SR_HD void operator()() const {}
};
struct AnyValue {
  SR_HD double operator()(int i) const { return i; }
  SR_HD double operator()(int i, double s) const { return s + i; }
};

template <class G>
concept Group = requires(G g, int n, AnyRow row, AnyValue value) {
  { G::lanes } -> std::convertible_to<int>;
  { G::padded } -> std::convertible_to<bool>;
  g.for_each(n, row);
  g.once(row);
  { g.template sum<double>(n, value) } -> std::same_as<double>;
  { g.template max<double>(n, value) } -> std::same_as<double>;
  { g.template serial<double>(n, value) } -> std::same_as<double>;
  g.exact();                                      // the same lanes, to loop over what is not padded
  { G::part_count } -> std::convertible_to<int>;  // and each_part, over_parts, see below
  { g.stops(static_cast<const int*>(nullptr)) } -> std::same_as<bool>;
};  // and fold<S>(n, terms, term, result), see below

// How a reduced value is held while lanes are a loop: one array per component, so that the loops
// over lanes vectorise.
template <class S, int Lanes>
struct LaneValues {
  S v[Lanes];
  SR_HD S get(int l) const { return v[l]; }
  SR_HD void set(int l, const S& s) { v[l] = s; }
  SR_HD void choose(int l, bool take, const S& s) { v[l] = select(take, s, v[l]); }
  SR_HD void combine(int l, int other) { v[l] = v[l] + v[other]; }
};
template <class T, int K, int Lanes>
struct LaneValues<Sums<T, K>, Lanes> {
  T v[K][Lanes];
  SR_HD Sums<T, K> get(int l) const {
    Sums<T, K> s;
    for (int k = 0; k < K; ++k) s.v[k] = v[k][l];
    return s;
  }
  SR_HD void set(int l, const Sums<T, K>& s) {
    for (int k = 0; k < K; ++k) v[k][l] = s.v[k];
  }
  SR_HD void choose(int l, bool take, const Sums<T, K>& s) {
    for (int k = 0; k < K; ++k) v[k][l] = select(take, s.v[k], v[k][l]);
  }
  SR_HD void combine(int l, int other) {
    for (int k = 0; k < K; ++k) v[k][l] = v[k][l] + v[k][other];
  }
};

// Lanes executed as a loop by one thread. LaneGroup<1> is the reference; LaneGroup<L> gives the
// bits of a CUDA group of L lanes. Padded: rows may be read and written up to the next multiple of
// Lanes (they never count), so that a tail costs one vector pass instead of a scalar loop.
template <int Lanes, bool Padded = false>
struct LaneGroup {
  static_assert(Lanes > 0 && (Lanes & (Lanes - 1)) == 0, "lanes are a power of two");
  static constexpr int lanes = Lanes;
  static constexpr bool padded = Padded;
  // The same lanes for arrays that have no padding.
  SR_HD LaneGroup<Lanes> exact() const { return {}; }

  using Part = LaneGroup<(Lanes < warp_lanes ? Lanes : warp_lanes), Padded>;
  static constexpr int part_count = Lanes / Part::lanes;
  // A value of each part.
  template <class S>
  struct OfParts {
    S v[part_count] = {};
    SR_HD S& operator[](int k) { return v[k]; }
  };
  // f(part, k) for every part.
  template <class F>
  SR_HD void each_part(F f) const {
    for (int k = 0; k < part_count; ++k) f(Part{}, k);
  }
  template <class S>
  SR_HD S over_parts(OfParts<S> of) const {
    for (int o = part_count / 2; o > 0; o /= 2)
      for (int k = 0; k < o; ++k) of.v[k] = of.v[k] + of.v[k + o];
    return of.v[0];
  }

  // Whether the caller of the solve has cancelled it; null: cannot.
  static bool stops(const int* cancelled) {
    return cancelled != nullptr && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0;
  }

  template <class F>
  SR_HD void for_each(int n, F f) const {
    int i = 0;
    for (; i + Lanes <= n; i += Lanes)
      for (int l = 0; l < Lanes; ++l) f(i + l);
    if constexpr (Padded) {
      if (i < n)
        for (int l = 0; l < Lanes; ++l) f(i + l);
    } else {
      for (; i < n; ++i) f(i);
    }
  }
  template <class F>
  SR_HD void once(F f) const {
    f();
  }
  // f(i, s) returns s with row i's contribution added; S{} is zero.
  template <class S, class F>
  SR_HD S sum(int n, F f) const {
    LaneValues<S, Lanes> lane;  // zeroed by a loop: g++ 12 makes of {} a slow string instruction
    for (int l = 0; l < Lanes; ++l) lane.set(l, S{});
    int i = 0;
    for (; i + Lanes <= n; i += Lanes)
      for (int l = 0; l < Lanes; ++l) lane.set(l, f(i + l, lane.get(l)));
    if constexpr (Padded) {
      if (i < n)
        for (int l = 0; l < Lanes; ++l) lane.choose(l, i + l < n, f(i + l, lane.get(l)));
    } else {
      for (int l = 0; i + l < n; ++l) lane.set(l, f(i + l, lane.get(l)));
    }
    constexpr int warp = Lanes < warp_lanes ? Lanes : warp_lanes;
    for (int o = warp / 2; o > 0; o /= 2)
      for (int w = 0; w < Lanes; w += warp)
        for (int l = 0; l < o; ++l) lane.combine(w + l, w + l + o);
    for (int o = Lanes / 2; o >= warp; o /= 2)
      for (int l = 0; l < o; l += warp) lane.combine(l, l + o);
    return lane.get(0);
  }
  // Apart, as g++ 12 keeps `lane` in registers only where there is nothing else.
  template <class T, class F>
  SR_APART T max(int n, F f) const {
    T lane[Lanes];
    for (int l = 0; l < Lanes; ++l) lane[l] = -infinity<T>();
    int i = 0;
    for (; i + Lanes <= n; i += Lanes)
      for (int l = 0; l < Lanes; ++l) lane[l] = max_(lane[l], f(i + l));
    for (int l = 0; i + l < n; ++l) lane[l] = max_(lane[l], f(i + l));
    for (int o = Lanes / 2; o > 0; o /= 2)
      for (int l = 0; l < o; ++l) lane[l] = max_(lane[l], lane[l + o]);
    return lane[0];
  }
  // The same of column j, for groups that go through rows in another order there.
  template <class S, class F>
  SR_HD S sum_down(int n, int, F f) const {
    return sum<S>(n, f);
  }
  // done(i, s) for every row i, where s starts at zero and becomes f(i, j, s) for j = 0, 1, ... in
  // order.
  template <class T, class F, class Done>
  SR_HD void fold(int n, int terms, F f, Done done) const {
    int i = 0;
    for (; Padded ? i < n : i + Lanes <= n; i += Lanes) {
      T s[Lanes] = {};
      for (int j = 0; j < terms; ++j)
        for (int l = 0; l < Lanes; ++l) s[l] = f(i + l, j, s[l]);
      for (int l = 0; l < Lanes; ++l) done(i + l, s[l]);
    }
    for (; i < n; ++i) {
      T s = T(0);
      for (int j = 0; j < terms; ++j) s = f(i, j, s);
      done(i, s);
    }
  }
  // done(i, c, s) for every row i and column c, where s is the sum over terms j = 0, 1, ..., in
  // order, of left's of item i times right's of item c.
  template <class T, int L, int R, class Done>
  SR_HD void multiply(int rows, int columns, int terms, const Factor<T, L>& left,
                      const Factor<T, R>& right, Done done) const {
    for (int i = 0; i < rows; ++i)
      for (int c = 0; c < columns; ++c) {
        T s = T(0);
        for (int j = 0; j < terms; ++j)
          s = fma_(left.item(i)[j * left.term_stride()], right.item(c)[j * right.term_stride()], s);
        done(i, c, s);
      }
  }
  // The plain loop on every lane: all lanes hold the same result, whatever the group.
  template <class S, class F>
  SR_HD S serial(int n, F f) const {
    S s{};
    for (int i = 0; i < n; ++i) s = f(i, s);
    return s;
  }
};
static_assert(Group<LaneGroup<1>> && Group<LaneGroup<32, true>>);

}  // namespace softreg
