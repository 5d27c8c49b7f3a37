// bench: flows between hosts of several engines, behind a hash nobody can read: what setting one up
// costs before and after a path is known.
#pragma once
#include <cstdint>

#include "raw_wire.hpp"
#include "report_message.hpp"

namespace proa::bench {

struct PathSetup {
  std::uint32_t engines = 4;  // on each host, one queue pair each
  bool remembered = false;    // measure set-ups after the paths were found, not the first ones
  double seconds = 0.3;       // of measuring remembered ones
  bool ipv6 = false;
  int core_a = 0, core_b = 1;
};

/// Starts both hosts, connects every engine to every engine, exchanges messages and ends them; what
/// one set-up after the other takes: rtt_* until it is there, packets sent and received until then.
/// By both hosts, per flow: probes, searches (each of one direction), handed_over (packets that
/// came to the wrong engine) and rolled_over (those of them that the kernel sent there because the
/// right queue was nearly full). The first flows divide among themselves what all searches took:
/// one that misses teaches the route to another engine. The wire's NIC must have `engines` queue
/// pairs.
[[nodiscard]] Outcome measure_path_connects(const Wire& wire, const PathSetup& setup);

}  // namespace proa::bench
