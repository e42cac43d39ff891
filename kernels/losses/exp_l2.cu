#include "launcher.cuh"
template struct softreg::Launcher<softreg::ExpL2>;
