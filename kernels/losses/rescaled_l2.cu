#include "launcher.cuh"
template struct softreg::Launcher<softreg::RescaledL2>;
