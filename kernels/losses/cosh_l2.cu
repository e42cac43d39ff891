#include "launcher.cuh"
template struct softreg::Launcher<softreg::CoshL2>;
