// What `sweep run` and `sweep resume` do alike: every task of a part that has no sound shard.
#pragma once
#include <string>

#include "flags.hpp"
#include "sweep_directory.hpp"
#include "sweep_tasks.hpp"
#include "verb.hpp"

namespace softreg {

struct SweepJob {
  std::string verb;
  std::string directory;
  Options machine;  // device, threads and memory_limit of it
  Part part;
  const Flags* flags = nullptr;  // for the document
  bool json = false;
};

// Before anything is written: throws Error when a chunk is too large for this machine, or the
// device that was asked for cannot be used.
void check_machine(const Sweep& sweep, const Options& machine);

// The directory has the sweep's manifest already, and a signal is known to be resumable. Returns
// the exit code; throws Error.
int run_sweep(const SweepJob& job, const Sweep& sweep, Session& session);

// What it would do: reads the shards that are there, writes nothing.
int show_sweep(const SweepJob& job, const Sweep& sweep, Session& session);

}  // namespace softreg
