#include "launcher.cuh"
template struct softreg::Launcher<softreg::SinhL2>;
