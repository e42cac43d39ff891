// The formulas of all losses, for tests that evaluate any of them themselves.
#pragma once
#include "softreg/model/losses/cosh_l2.hpp"
#include "softreg/model/losses/cross_entropy.hpp"
#include "softreg/model/losses/exp_l2.hpp"
#include "softreg/model/losses/least_squares.hpp"
#include "softreg/model/losses/rescaled_l2.hpp"
#include "softreg/model/losses/sinh_l2.hpp"
#include "softreg/model/losses/softmax_l2.hpp"
