// bench: what doing nothing costs: processor shares of sidecars and applications that only wait.
#pragma once
#include <string>

#include "raw_wire.hpp"
#include "report_message.hpp"

namespace proa::bench {

struct IdleSetup {
  std::string proad{};  // the program's path
  double seconds = 2;   // of measuring
  int core_a = 0, core_b = 1;
};

/// Two applications with an open flow between them, asleep in wait(): cpu_process, the busier one's
/// share of a core.
[[nodiscard]] Outcome measure_idle_in_process(const Wire& wire, const IdleSetup& setup);

/// The same on a sidecar each (one for both where there is no wire): cpu_proad and cpu_application,
/// the busier ones'. Sidecars wait as they do by default.
[[nodiscard]] Outcome measure_idle_sidecars(const Wire* wire, const IdleSetup& setup);

}  // namespace proa::bench
