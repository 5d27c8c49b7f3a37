// L2: what can be set per flow, each with its unit and where the number comes from.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/transport/congestion.hpp>

namespace proa {

using namespace std::chrono_literals;

class PathSizes;

// What may be set. A shorter idle limit would only ask all the time.
inline constexpr Duration keepalive_least = 10ms, keepalive_most = std::chrono::hours{1};
inline constexpr Duration idle_limit_least = 100ms, idle_limit_most = std::chrono::hours{24};

/// Where message numbers and credit begin, at both ends alike: on the wire at 0. Tests of the wrap
/// have a policy that says otherwise.
struct StreamStart {
  MessageNumber message;
  CreditLimit credit;
};

struct FlowOptions {
  std::uint32_t message_bytes_max = 8U << 20U;        // configurable up to 64 MiB
  std::uint32_t packet_bytes_max = 1472;              // Proa packet: IP MTU 1500 - 20 - 8
  PathSizes* path_sizes = nullptr;                    // the engine's; null: nothing is remembered
  std::uint32_t send_queue_bytes_max = 32U << 20U;    // four of the largest messages
  std::uint32_t send_queue_messages_max = 16384;      // 16384 x 40 B of scratch per busy flow
  std::uint32_t packets_in_flight_max = 16384;        // 16 MiB BDP at 1280 B (TEST-MATRIX A15)
  std::uint32_t credit_window_first = 64U << 10U;     // grows by doubling while it is used up
  std::uint32_t credit_window_max = 4U << 20U;        // BDP of 25 Gbit/s at 1.3 ms
  CongestionKind congestion = CongestionKind::swift;  // where the policy leaves the choice
  bool ecn = false;  // RFC 3168: packets say they understand CE; for networks known to mark it
  Duration ack_delay_max = 25us;  // a quarter of the usual cloud RTT of 100 us
  Duration ack_delay_min = 5us;   // an application behind a channel needs 1 to 4 us to answer
  std::uint32_t ack_every_packets = 8;
  Duration probe_slack = 25us;          // the peer's largest ack delay
  Duration probe_variation_min = 20us;  // scheduler jitter of a poller
  Duration probe_max = 1s;
  Duration probe_before_sample = 1ms;
  Duration linger_min = 100ms;    // an ended flow answers or resets: ten doublings of 100 us
  Duration keepalive = 10s;       // at most a third of the idle limit: two may be lost
  Duration idle_limit = 30s;      // the smaller one of both ends counts
  Duration accept_limit = 5s;     // a half-open flow is dropped after this
  std::uint32_t incarnation = 0;  // random per start of the stack

  /// What both ends agree on. A peer that has no limit says 0; one that cannot wait ends by itself.
  [[nodiscard]] constexpr Duration agreed_idle_limit(std::uint32_t peer_ms) const noexcept {
    if (peer_ms == 0) return idle_limit;
    return std::min(idle_limit, std::max<Duration>(peer_ms * 1ms, idle_limit_least));
  }
  [[nodiscard]] constexpr Duration keepalive_within(Duration agreed_limit) const noexcept {
    return std::min(keepalive, agreed_limit / 3);
  }
  /// A longer ack delay is no measurement but the most that the peer's late poller can say.
  [[nodiscard]] constexpr Duration late_ack_delay() const noexcept { return 2 * probe_slack; }
};

}  // namespace proa
