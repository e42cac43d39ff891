// A user's program: two instances of softmax regression through the installed headers and library.
#include <cstdio>
#include <softreg/softreg.hpp>
#include <vector>

int main() {
  const std::vector<double> a{1, 0, 0, 1, -1, -1};            // (3, 2), shared
  const std::vector<double> b{0.5, 0.3, 0.2, 0.2, 0.2, 0.6};  // (2, 3)
  const softreg::VectorProblem<double> problem{.count = 2, .n = 3, .d = 2, .a = a, .b = b};
  const auto result = softreg::solve(problem, {.stop = {.max_steps = 2000, .gradient_norm = 1e-9}});
  for (const softreg::Status status : result.status)
    std::printf("%s\n", std::string(softreg::status_name(status)).c_str());
}
