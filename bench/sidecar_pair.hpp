// bench: applications on sidecars, measured once: both on one machine, or one on each of two hosts.
#pragma once
#include <cstdint>
#include <string>

#include "raw_wire.hpp"
#include "report_message.hpp"

namespace proa::bench {

struct SidecarSetup {
  std::string proad;         // the program's path
  std::uint32_t size = 64;   // bytes of a message
  std::uint32_t window = 1;  // messages outstanding
  double seconds = 0.3;      // of measuring
  bool verify = true;        // every byte that arrives
  bool wait = false;         // two hosts: the applications wait() instead of polling
  bool asleep = false;       // then everybody, sidecars too, sleeps without polling first
  int core_a = 0;            // one machine: both applications; two hosts: one's and its sidecar
  int core_b = 1;            // one machine: the engine; two hosts: the other's and its sidecar
};

/// One sidecar without a NIC, its engine on core_b; one thread on core_a polls both applications.
[[nodiscard]] Outcome measure_one_machine(const SidecarSetup& setup);

/// Two sidecars on the wire; on each host application and sidecar share a core.
[[nodiscard]] Outcome measure_two_sidecars(const Wire& wire, const SidecarSetup& setup);

}  // namespace proa::bench
