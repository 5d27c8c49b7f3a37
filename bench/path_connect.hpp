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
  int core_a = 0, core_b = 1;
};

/// Starts both hosts, connects every engine to every engine and ends them. rtt_* of a set-up,
/// packets sent and received until it was there; probes (both hosts) per flow; handed_over, packets
/// that came to the wrong engine (both hosts) per flow. The wire's NIC must have `engines` queue
/// pairs.
[[nodiscard]] Outcome measure_path_connects(const Wire& wire, const PathSetup& setup);

}  // namespace proa::bench
