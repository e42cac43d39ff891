// What this machine can do at most, by which other figures are judged: multiply-adds of numbers in
// registers, and of numbers that come out of a cache, with one thread and with two. Compiled for
// the machine that compiles it.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int bytes = 64;
#elif defined(__AVX__)
constexpr int bytes = 32;
#else
constexpr int bytes = 16;
#endif
typedef float Register __attribute__((vector_size(bytes)));
constexpr int width = bytes / 4,
              chains = 12;  // that many, independent of one another, fill the units

float together(const Register* sum) {
  float all = 0;
  for (int k = 0; k < chains; ++k)
    for (int l = 0; l < width; ++l) all += sum[k][l];
  return all;
}

float multiply_add(float start, int rounds) {
  Register sum[chains];
  for (int k = 0; k < chains; ++k) sum[k] = start + float(k) - Register{};
  const Register factor = 0.999f - Register{}, term = 1e-3f - Register{};
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) sum[k] = sum[k] * factor + term;
  return together(sum);
}

void fma(benchmark::State& state) {
  constexpr int rounds = 100'000;
  float value = 1;
  for (auto _ : state) benchmark::DoNotOptimize(value = multiply_add(value, rounds));
  state.counters["FLOP/s"] = benchmark::Counter(
      2.0 * width * chains * rounds * double(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(fma)->ThreadRange(1, 2)->UseRealTime();

float multiply_read(const std::vector<Register>& from, int times) {
  Register sum[chains] = {};
  const Register factor = 0.5f - Register{};
  for (int t = 0; t < times; ++t)
    for (std::size_t i = 0; i < from.size(); i += chains)
#pragma GCC unroll 12
      for (std::size_t k = 0; k < chains; ++k) sum[k] = from[i + k] * factor + sum[k];
  return together(sum);
}

// An array of so many KiB, again and again.
void read(benchmark::State& state) {
  constexpr int times = 100;
  const auto registers = std::size_t(state.range(0)) * 1024 / bytes / chains * chains;
  const std::vector<Register> numbers(registers);
  for (auto _ : state) benchmark::DoNotOptimize(multiply_read(numbers, times));
  state.SetBytesProcessed(state.iterations() * times * std::int64_t(registers) * bytes);
}
BENCHMARK(read)->Arg(16)->Arg(64)->Arg(256)->Arg(1024)->ThreadRange(1, 2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
