// sidecar: `proad --probe-nic`.
#pragma once
#include "log.hpp"
#include "nic_report.hpp"

namespace proa::sidecar {

/// Looks at this machine without taking any device from the kernel. Starts DPDK, so it is for a
/// process that does nothing else. DPDK's own messages go to `log`.
[[nodiscard]] NicReport probe_nics(const Log& log);

}  // namespace proa::sidecar
