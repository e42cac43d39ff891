// What this machine's fused multiply-adds gain from a second thread: the scale by which the gain of
// any other work from threads is judged. Twelve independent chains fill the units.
#include <benchmark/benchmark.h>
#include <immintrin.h>

namespace {

constexpr int chains = 12, rounds = 100'000;

__attribute__((target("avx2,fma"))) float multiply_add(float start) {
  __m256 sum[chains];
  for (int k = 0; k < chains; ++k) sum[k] = _mm256_set1_ps(start + float(k));
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(1e-3f);
  for (int i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) sum[k] = _mm256_fmadd_ps(sum[k], factor, term);
  }
  for (int k = 1; k < chains; ++k) sum[0] = _mm256_add_ps(sum[0], sum[k]);
  return _mm256_cvtss_f32(sum[0]);
}

void fma(benchmark::State& state) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    state.SkipWithError("this processor has no AVX2 or no FMA");
    return;
  }
  float value = 1;
  for (auto _ : state) benchmark::DoNotOptimize(value = multiply_add(value));
  state.counters["FLOP/s"] = benchmark::Counter(
      2.0 * 8 * chains * rounds * double(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(fma)->ThreadRange(1, 2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
