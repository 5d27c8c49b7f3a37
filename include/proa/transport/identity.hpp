// L2: who a flow is and what can be seen of it from outside.
#pragma once
#include <cstdint>

#include <proa/base/endpoint.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/time.hpp>
#include <proa/transport/state.hpp>

namespace proa {

enum class Role : std::uint8_t { client, server };

struct FlowIdentity {
  Endpoint local;
  Endpoint peer;
  std::uint32_t local_id = 0;          // what the peer puts into "destination flow id"
  std::uint32_t peer_id = 0;           // 0 until the SYN-ACK tells
  std::uint32_t peer_incarnation = 0;  // random per start of the peer's stack
};

/// A flow as `flow_info` and the operator's tool show it. Counts are since the flow's start.
struct FlowInfo {
  Endpoint local;
  Endpoint peer;
  FlowState state = FlowState::finished;
  Reason reason = Reason::none;  // why it ended
  Duration smoothed_rtt{};
  Duration minimum_rtt{};
  Duration rtt_variation{};
  std::uint32_t window_bytes = 0;
  std::uint32_t in_flight_bytes = 0;
  std::uint32_t credit_left_bytes = 0;  // what the peer still allows us
  std::uint32_t queued_messages = 0;    // not yet acknowledged
  std::uint64_t queued_bytes = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t messages_sent = 0;      // handed in by the application
  std::uint64_t messages_received = 0;  // handed to the application
  std::uint64_t packets_lost = 0;
  std::uint64_t spurious_losses = 0;
  std::uint64_t probes = 0;
  std::uint64_t resent_bytes = 0;
  std::uint32_t packet_bytes = 0;  // how large Proa packets may be on this path
};

[[nodiscard]] constexpr std::uint32_t to_ms(Duration d) noexcept {
  return static_cast<std::uint32_t>(d.count() / 1'000'000);
}

}  // namespace proa
