// Kernels made at run time, without a GPU: from a request to machine code, through memory and disk.
// What needs NVRTC is skipped where there is none.
#include "specialise.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "kernel_sources.hpp"
#include "softreg/error.hpp"
#include "softreg/model/catalog.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

KernelRequest request(int rows, int parameters, std::string_view loss = SoftmaxL2::name,
                      int value_bytes = 4, bool fast = false) {
  const KernelPolicy& p = policies[choose_policy({rows, parameters, value_bytes})];
  const Alike all{.instances = 1,
                  .least_rows = rows,
                  .most_rows = rows,
                  .parameters = parameters,
                  .plain = true,
                  .fast = fast,
                  .max_steps = 1};
  return {specialised_policy(Specialise::always, p, all).value(), loss, value_bytes};
}

class Specialisation : public testing::Test {
 protected:
  Specialisation() {
    std::string name = (fs::temp_directory_path() / "softreg-specialise-XXXXXX").string();
    folder = ::mkdtemp(name.data());
  }
  ~Specialisation() override { fs::remove_all(folder); }
  void SetUp() override {
    if (const std::string reason = specialiser().unavailable(); !reason.empty())
      GTEST_SKIP() << reason;
  }
  fs::path only_file() const { return fs::directory_iterator(folder)->path(); }

  fs::path folder;
  Specialiser fresh() const { return Specialiser(nvrtc_candidates(), KernelCache(folder)); }
};

TEST(KernelSources, NameThePolicyTheLossAndTheType) {
  const KernelSource source = kernel_source(request(120, 21, RescaledL2::name, 8));
  EXPECT_EQ(source.kernel,
            "softreg::solve_kernel<softreg::Specialised, softreg::RescaledL2, double, double>");
  EXPECT_THAT(source.text, testing::HasSubstr("\"softreg/model/losses/rescaled_l2.hpp\""));
  EXPECT_THAT(source.text,
              testing::HasSubstr("{64, 4, 128, 32}, {64, 4}, 0, false, 1, true, 64, 1"));
  EXPECT_NE(source.text, kernel_source(request(128, 32, RescaledL2::name, 8)).text);
  EXPECT_EQ(kernel_source(request(96, 21, CrossEntropy::name, 4, true)).kernel,
            "softreg::solve_kernel<softreg::Specialised, softreg::CrossEntropy, float, "
            "softreg::Fast<float>>");
}

TEST(KernelSources, AreThoseOfTheSourceTree) {
  const char* const root = std::getenv("SOFTREG_SOURCE_DIR");
  if (kernel_sources().empty()) GTEST_SKIP() << "this build has no CUDA";
  if (root == nullptr) GTEST_SKIP() << "SOFTREG_SOURCE_DIR is not set";
  bool has_kernel = false, has_loss = false;
  for (const SourceFile& source : kernel_sources()) {
    has_kernel |= source.name == "solve_kernel.hpp";
    has_loss |= source.name == "softreg/model/losses/softmax_l2.hpp";
    fs::path file = fs::path(root) / "kernels" / source.name;
    if (!fs::exists(file)) file = fs::path(root) / "include" / source.name;
    std::ifstream stream(file);
    EXPECT_EQ(source.text, std::string(std::istreambuf_iterator<char>(stream), {})) << file;
  }
  EXPECT_TRUE(has_kernel && has_loss);
}

TEST(MissingNvrtc, IsOneSentence) {
  if (kernel_sources().empty()) GTEST_SKIP() << "this build has no CUDA";
  Specialiser none({"/nowhere/libnvrtc.so.13", "/dev/null"}, KernelCache(""));
  EXPECT_THAT(none.unavailable(), testing::StartsWith("NVRTC cannot be used: /dev/null"))
      << "it is there";
  EXPECT_EQ(none.unavailable().find('\n'), std::string::npos);
  try {
    none.kernel(request(32, 4));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device_unavailable);
  }
  EXPECT_THROW(none.compiler(), Error);
  EXPECT_THAT(Specialiser({"libc.so.6"}, KernelCache("")).unavailable(),
              testing::HasSubstr("libc.so.6 is no NVRTC"));
}

TEST(MissingNvrtc, IsWhatABuildWithoutCudaHas) {
  if (!kernel_sources().empty()) GTEST_SKIP() << "this build has CUDA";
  EXPECT_EQ(specialiser().unavailable(), "this build has no CUDA");
  EXPECT_THROW(specialiser().kernel(request(32, 4)), Error);
}

TEST(NvrtcCandidates, FollowTheEnvironment) {
  ::setenv("SOFTREG_NVRTC", "/one/libnvrtc.so.13", 1);
  EXPECT_EQ(nvrtc_candidates(), std::vector<std::string>{"/one/libnvrtc.so.13"});
  ::unsetenv("SOFTREG_NVRTC");
  EXPECT_EQ(nvrtc_candidates().at(0), "libnvrtc.so.13");

  std::string name = (fs::temp_directory_path() / "softreg-venv-XXXXXX").string();
  const fs::path venv = ::mkdtemp(name.data());
  for (const char* const package : {"cu13/lib", "cuda_nvrtc/lib"}) {
    const fs::path library = venv / "lib/python3.11/site-packages/nvidia" / package;
    fs::create_directories(library);
    std::ofstream(library / "libnvrtc.so.13") << "";
  }
  fs::create_directories(venv / "bin");
  std::ofstream(venv / "bin/python3") << "";
  const std::string path = std::getenv("PATH");
  const char* const active = std::getenv("VIRTUAL_ENV");
  const std::string before = active == nullptr ? "" : active;
  const auto below_venv = [&] {
    std::int64_t found = 0;
    for (const std::string& file : nvrtc_candidates()) found += file.starts_with(venv.string());
    return found;
  };
  ::unsetenv("VIRTUAL_ENV");
  EXPECT_EQ(below_venv(), 0);
  ::setenv("VIRTUAL_ENV", venv.c_str(), 1);
  EXPECT_EQ(below_venv(), 2);
  ::unsetenv("VIRTUAL_ENV");
  ::setenv("PATH", ((venv / "bin").string() + ":" + path).c_str(), 1);
  EXPECT_EQ(below_venv(), 2);
  ::setenv("PATH", path.c_str(), 1);
  if (!before.empty()) ::setenv("VIRTUAL_ENV", before.c_str(), 1);
  fs::remove_all(venv);
}

TEST(SpecialiseSetting, IsOneOfThreeWords) {
  ::unsetenv("SOFTREG_SPECIALISE");
  EXPECT_EQ(specialise_setting(), Specialise::never);
  ::setenv("SOFTREG_SPECIALISE", "auto", 1);
  EXPECT_EQ(specialise_setting(), Specialise::when_it_pays);
  ::setenv("SOFTREG_SPECIALISE", "always", 1);
  EXPECT_EQ(specialise_setting(), Specialise::always);
  ::setenv("SOFTREG_SPECIALISE", "sometimes", 1);
  EXPECT_THROW(specialise_setting(), Error);
  ::unsetenv("SOFTREG_SPECIALISE");
}

TEST_F(Specialisation, MakesMachineCode) {
  EXPECT_TRUE(fs::exists(specialiser().compiler().path())) << specialiser().compiler().path();
  Specialiser maker = fresh();
  const KernelImage& image = maker.kernel(request(96, 21));
  EXPECT_EQ(image.code.substr(0, 4), "\177ELF");
  EXPECT_NE(image.code.find(image.symbol), std::string::npos);
  EXPECT_THAT(image.symbol, testing::HasSubstr("solve_kernel"));
}

TEST_F(Specialisation, CostsNothingASecondTime) {
  std::optional<Specialiser> maker(std::in_place, nvrtc_candidates(), KernelCache(folder));
  Clock::time_point start = Clock::now();
  const KernelImage* const made = &maker->kernel(request(32, 4));
  const double compiled = milliseconds_since(start);
  const KernelImage copy = *made;
  start = Clock::now();
  EXPECT_EQ(&maker->kernel(request(32, 4)), made);
  const double remembered = milliseconds_since(start);

  maker.emplace(nvrtc_candidates(), KernelCache(folder));
  start = Clock::now();
  const KernelImage& found = maker->kernel(request(32, 4));
  const double read = milliseconds_since(start);
  EXPECT_EQ(found.code, copy.code);
  EXPECT_EQ(found.symbol, copy.symbol);
  EXPECT_LT(read, compiled / 4);
  std::printf(
      "[time] 32x4: compiled in %.0f ms, from the disk in %.2f ms, from memory in %.4f ms\n",
      compiled, read, remembered);
}

TEST_F(Specialisation, ReplacesADamagedFile) {
  const std::string code = fresh().kernel(request(32, 3)).code;
  const fs::path file = only_file();
  const auto size = fs::file_size(file);
  fs::resize_file(file, size / 2);
  EXPECT_EQ(fresh().kernel(request(32, 3)).code, code);
  EXPECT_EQ(only_file(), file);
  EXPECT_EQ(fs::file_size(file), size);
}

TEST_F(Specialisation, IsOneKernelForThreadsAndProcessesAtOnce) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Specialiser maker = fresh();
    ::_exit(maker.kernel(request(32, 2)).code.empty() ? 1 : 0);
  }
  Specialiser maker = fresh();
  const KernelImage* images[3] = {};
  std::vector<std::thread> threads;
  for (const KernelImage*& image : images)
    threads.emplace_back([&] { image = &maker.kernel(request(32, 2)); });
  for (std::thread& t : threads) t.join();
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(images[0], images[1]);
  EXPECT_EQ(images[0], images[2]);
  EXPECT_EQ(fresh().kernel(request(32, 2)).code, images[0]->code);
}

TEST_F(Specialisation, ThatDoesNotCompileSaysWhyAndIsForgotten) {
  Specialiser maker = fresh();
  for (int k = 0; k < 2; ++k) try {
      maker.kernel(request(32, 2, "no_such_loss"));
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::internal);
      EXPECT_THAT(error.what(), testing::HasSubstr("no_such_loss.hpp"));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  EXPECT_TRUE(fs::is_empty(folder));
}

}  // namespace
}  // namespace softreg
