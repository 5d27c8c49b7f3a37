// Simulation: when a sender may probe: ARCHITECTURE, "Loss", written down a second time.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>
#include <proa/transport/identity.hpp>

namespace proa::sim {

using namespace std::chrono_literals;

/// How long after the last packet a sender waits before its probe number `n`, from 0.
inline Duration expected_probe_wait(const FlowInfo& info, std::uint32_t n) {
  if (n == 0) return 2 * info.smoothed_rtt + 25us;
  Duration wait = info.smoothed_rtt + std::max(4 * info.rtt_variation, Duration{20us}) + 25us;
  for (std::uint32_t i = 1; i < n && wait < 1s; ++i) wait *= 2;
  return std::min(wait, Duration{1s});
}

/// How many probes a silence of that length may bring about: one per backed-off timeout.
inline std::uint64_t probes_within(const FlowInfo& info, Duration silence) {
  std::uint32_t n = 0;
  for (Duration at = expected_probe_wait(info, n); at <= silence;
       at += expected_probe_wait(info, n))
    ++n;
  return n;
}

}  // namespace proa::sim
