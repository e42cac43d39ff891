// Whether a call is right, before any work: shapes, sizes and options. Throws Error with both
// numbers.
#pragma once
#include "softreg/model/layout.hpp"
#include "softreg/options.hpp"
#include "softreg/problem.hpp"

namespace softreg {

template <class T>
void validate(const VectorProblem<T>& problem);
template <class T>
void validate(const MatrixProblem<T>& problem);

void validate(const Options& options);

// That nothing else is asked of a solve with the fast arithmetic than what it has. value_bytes: of
// its numbers; evaluates: it is evaluate().
void check_arithmetic(const Options& options, int value_bytes, bool evaluates);

// That the loss has a softmax, of which the bounds speak.
void validate_softmax(const AnyLoss& loss);

// That ball, ridge and logit weight are still what they should be when they are numbers of T.
template <class T>
void check_rounded(const Options& options);

// What one instance holds must fit an int, which is how solvers count.
void validate(const Layout& layout);

}  // namespace softreg
