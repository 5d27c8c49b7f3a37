// Simulation under load: a flow that carries messages from one host to another, as both ends see
// it.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include <proa/engine/app_side.hpp>

namespace proa::sim {

struct LoadFlowOptions {
  std::uint32_t from = 1, to = 0;  // hosts
  std::uint32_t message_bytes = 256U << 10U;
  std::uint32_t outstanding = 1;  // messages submitted and not yet acknowledged
  std::uint64_t messages_max = ~0ULL;
  Instant start{};  // of the first message; the flow connects at once
};

/// What happened to one flow. Times are the world's: it sees both ends.
struct LoadFlow {
  LoadFlowOptions options;
  std::array<FlowKey, 2> key{};  // [0] the sender's, [1] the receiver's
  std::array<bool, 2> open{}, ended{};
  std::array<Reason, 2> reason{};
  bool close_called = false;
  bool stopped = false;         // submits nothing more
  std::uint64_t submitted = 0;  // messages
  std::uint64_t delivered = 0, delivered_bytes = 0;
  std::uint64_t acknowledged = 0;
  std::deque<Instant> waiting_since;  // of the messages not yet delivered
  std::vector<Duration> completions;  // from submit to delivery
  Instant connected_at = never, first_delivery_at = never, last_delivery_at{};

  [[nodiscard]] bool wants_to_submit(Instant now) const noexcept {
    return open[0] && !ended[0] && !stopped && now >= options.start &&
           submitted < options.messages_max && submitted - acknowledged < options.outstanding;
  }
  [[nodiscard]] bool all_delivered() const noexcept { return delivered == submitted; }
};

}  // namespace proa::sim
