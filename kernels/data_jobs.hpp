// What is done to arrays that the caller has on the device: they are examined, for the host's
// screening and step sizes, and those of a chunk are brought to where its kernel reads them. A job
// is a struct of device pointers that blocks of 256 lanes run; a block or a warp takes one item
// after another.
#pragma once
#include <cstdint>

#include "gram.hpp"
#include "simt_group.hpp"
#include "softreg/model/layout.hpp"

namespace softreg {

inline constexpr int job_lanes = 256;

// A matrix of the caller's, by rows. What lies in one row, as b of a softmax does, has one.
template <class T>
struct Part {
  const T* data;
  int rows, cols;
};

// largest (count): the largest |entry| of each part; NaN if an entry is not finite.
template <class T>
struct LargestEntries {
  const Part<T>* parts;
  std::int64_t count;
  double* largest;

  static constexpr int items_per_block = 1;
  SR_HD std::int64_t items() const { return count; }
  SR_DEVICE void operator()() const {
    const SimtGroup<job_lanes> g{simt::dynamic_shared()};
    for (std::int64_t k = simt::block_index(); k < count; k += simt::grid_size()) {
      const Part<T> part = parts[k];
      const std::int64_t values = std::int64_t{part.rows} * part.cols;
      T most = T(0), lost = T(0);  // lost: 0 or NaN
      for (std::int64_t e = g.rank(); e < values; e += job_lanes) {
        const T v = part.data[e];
        most = max_(most, abs_(v));
        lost += v - v;
      }
      const T of_all = g.largest(most) + g.total(lost);
      if (g.rank() == 0) largest[k] = static_cast<double>(of_all);
    }
  }
};

// Of b of one softmax.
struct TargetSummary {
  double sum, least;  // least: NaN if an entry is not finite
};
// A warp to a part, whose lanes all add its entries one after the other, because the sum is that of
// the host.
template <class T>
struct TargetSummaries {
  const Part<T>* parts;
  std::int64_t count;
  TargetSummary* summaries;

  static constexpr int items_per_block = job_lanes / simt::warp_size;
  SR_HD std::int64_t items() const { return count; }
  SR_DEVICE void operator()() const {
    const SimtGroup<simt::warp_size> g;
    const std::int64_t step = std::int64_t{simt::grid_size()} * items_per_block;
    std::int64_t k = std::int64_t{simt::block_index()} * items_per_block +
                     simt::thread_index() / simt::warp_size;
    for (; k < count; k += step) {
      const Part<T> part = parts[k];
      double sum = 0;
      T least = infinity<T>(), lost = T(0);
      for (int first = 0; first < part.cols; first += simt::warp_size) {
        const int left = part.cols - first, lane = g.rank();
        const T mine = lane < left ? part.data[first + lane] : T(0);
        if (lane < left) {
          least = mine < least ? mine : least;
          lost += mine - mine;
        }
        for (int l = 0; l < simt::warp_size && l < left; ++l)
          sum += static_cast<double>(g.of_lane(mine, l));
      }
      const T least_of_all = -g.largest(-least), lost_of_all = g.total(lost);
      if (g.rank() == 0) summaries[k] = {sum, static_cast<double>(least_of_all + lost_of_all)};
    }
  }
};

// A part, what its entries are multiplied by, and where its Gram matrix goes in the output.
template <class T>
struct GramPart {
  Part<T> of;
  double factor;
  std::int64_t at;
};
// grams: of each part the triangle of gram_entry (j, l >= j), j after j.
template <class T>
struct Grams {
  const GramPart<T>* parts;
  std::int64_t count;
  double* grams;

  static constexpr int items_per_block = 1;
  SR_HD std::int64_t items() const { return count; }
  SR_DEVICE void operator()() const {
    for (std::int64_t p = simt::block_index(); p < count; p += simt::grid_size()) {
      const GramPart<T> part = parts[p];
      const auto a =
          tall(Matrix<const T>{part.of.data, part.of.rows, part.of.cols, part.of.cols, 1});
      double* to = grams + part.at;
      // The square below and above the diagonal, of which the lanes below have nothing to do.
      for (int e = simt::thread_index(); e < a.cols * a.cols; e += job_lanes) {
        const int j = e / a.cols, l = e % a.cols;
        if (l >= j) to[triangle_place(a.cols, j, l)] = gram_entry(a, part.factor, j, l);
      }
    }
  }
};

// The instances of a chunk, from the caller's arrays. to: where they lie afterwards. An array that
// is null is not brought. first1, first2, first_z (count): the caller's rows of A1, rows of A2 and
// logits with which each instance begins; null: those of `to`.
template <class T>
struct Gather {
  struct Array {
    const T* from = nullptr;
    T* to = nullptr;
  };
  Layout to;
  Array a1, a2, target, weights;
  const std::int64_t *first1 = nullptr, *first2 = nullptr, *first_z = nullptr;
  bool by_columns = false;  // A of a vector problem
  int slices = 1;           // warps that share an instance

  static constexpr int items_per_block = job_lanes / simt::warp_size;
  SR_HD std::int64_t items() const { return to.count * slices; }
  SR_DEVICE void operator()() const {
    const std::int64_t step = std::int64_t{simt::grid_size()} * items_per_block;
    std::int64_t item = std::int64_t{simt::block_index()} * items_per_block +
                        simt::thread_index() / simt::warp_size;
    for (; item < items(); item += step) bring(item / slices, static_cast<int>(item % slices));
  }

 private:
  SR_DEVICE void bring(std::int64_t i, int slice) const {
    const std::int64_t block = to.first_block(i), next = to.first_block(i + 1);
    const std::int64_t row1 = to.first1(block), rows1 = to.first1(next) - row1;
    const std::int64_t row2 = to.first2(block), rows2 = to.first2(next) - row2;
    const std::int64_t z = to.first_z(block), logits = to.first_z(next) - z;
    const std::int64_t from1 = first1 ? first1[i] : row1, from2 = first2 ? first2[i] : row2,
                       from_z = first_z ? first_z[i] : z;
    copy(a1, from1 * to.d1, row1 * to.d1, rows1 * to.d1, slice);
    if (by_columns)
      copy_columns(from2 * to.d2, row2 * to.d2, rows2, slice);
    else
      copy(a2, from2 * to.d2, row2 * to.d2, rows2 * to.d2, slice);
    copy(target, from_z, z, logits, slice);
    copy(weights, from_z, z, logits, slice);
  }
  SR_DEVICE static int lane() { return simt::thread_index() % simt::warp_size; }

  SR_DEVICE void copy(const Array& array, std::int64_t from, std::int64_t at, std::int64_t values,
                      int slice) const {
    if (array.to == nullptr) return;
    const std::int64_t step = std::int64_t{slices} * simt::warp_size;
    for (std::int64_t e = std::int64_t{slice} * simt::warp_size + lane(); e < values; e += step)
      array.to[at + e] = array.from[from + e];
  }
  SR_DEVICE void copy_columns(std::int64_t from, std::int64_t at, std::int64_t rows,
                              int slice) const {
    if (a2.to == nullptr) return;
    for (int j = slice; j < to.d2; j += slices)
      for (std::int64_t i = lane(); i < rows; i += simt::warp_size)
        a2.to[at + j * rows + i] = a2.from[from + i * to.d2 + j];
  }
};

template <class Job>
SR_KERNEL void run_job(Job job) {
  job();
}

}  // namespace softreg
