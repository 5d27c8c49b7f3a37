// L2: when to probe because nothing comes back (RFC 9002 section 6.2), as pure arithmetic.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>
#include <proa/transport/options.hpp>
#include <proa/transport/rtt.hpp>

namespace proa {

/// Three probes in a row without an answer: persistent congestion (RFC 9002 7.6).
inline constexpr std::uint32_t persistent_probes = 3;

/// How long after the last ack-eliciting packet the probe number `sent_in_a_row` (from 0) goes.
/// The first is early, as a tail-loss probe (RFC 8985 section 7): 2 srtt.
[[nodiscard]] inline Duration probe_timeout(const RttEstimator& rtt, const FlowOptions& options,
                                            std::uint32_t sent_in_a_row) noexcept {
  const std::uint32_t doublings = std::min(sent_in_a_row, 30U);
  if (!rtt.has_sample())
    return std::min(options.probe_before_sample * (std::int64_t{1} << doublings),
                    options.probe_max);
  const Duration slack = std::max(options.probe_slack, rtt.peer_lateness());
  if (sent_in_a_row == 0) return std::min(2 * rtt.smoothed() + slack, options.probe_max);
  const Duration full =
      rtt.smoothed() + std::max(4 * rtt.variation(), options.probe_variation_min) + slack;
  if (full >= options.probe_max) return options.probe_max;
  return std::min(full * (std::int64_t{1} << (doublings - 1)), options.probe_max);
}

}  // namespace proa
