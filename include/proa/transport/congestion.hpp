// L2: what a congestion controller is told and asked. A controller is a plain copyable value.
#pragma once
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <proa/base/time.hpp>

namespace proa {

/// What a flow may choose at run time among the controllers compiled in.
enum class CongestionKind : std::uint8_t { swift, cubic, fixed_window };

/// One acknowledgement that newly acknowledged in-flight packets.
struct AckSample {
  Instant now{};
  Duration rtt{};  // newest packet's sample less the peer's ack delay; 0: none
  Duration smoothed_rtt{};
  Duration minimum_rtt{};
  Duration uncertainty{};             // how much of `rtt` may be the poller's own lateness
  bool rtt_reliable = true;           // false: so uncertain that it says nothing (rtt.hpp)
  bool window_limited = false;        // the sender was held back by the window, not by its data
  std::uint32_t acked_bytes = 0;      // newly acknowledged
  std::uint32_t in_flight_bytes = 0;  // before this acknowledgement
  std::uint32_t ce_marked = 0;        // packets the peer newly reports as CE-marked
  std::uint32_t acked_packets = 0;
  std::uint64_t delivered = 0;    // index of the newest acknowledged packet, counts from 0
  std::uint64_t next_number = 0;  // index the next packet will get: rounds are counted by it
};

/// Packets declared lost by one pass of loss detection.
struct LossSample {
  Instant now{};
  Duration smoothed_rtt{};
  std::uint32_t lost_bytes = 0;
  std::uint32_t lost_packets = 0;
  std::uint32_t in_flight_bytes = 0;  // before the loss
  std::uint64_t newest_lost = 0;      // index of the newest lost packet
  std::uint64_t next_number = 0;
};

template <class C>
concept CongestionController = std::is_trivially_copyable_v<C> &&
    requires(C& c, const C& view, const AckSample& ack, const LossSample& loss, std::uint64_t index,
             Instant now, std::uint32_t packet_bytes) {
  { c.on_ack(ack) }
  noexcept->std::same_as<void>;
  { c.on_loss(loss) }
  noexcept->std::same_as<void>;
  // The packet of that index, told as lost, has arrived: undo the last on_loss once all are here.
  { c.on_late(index) }
  noexcept->std::same_as<void>;
  { c.on_spurious_timeout(now) }
  noexcept->std::same_as<void>;  // undo the last on_persistent_congestion: the path paused
  { c.on_persistent_congestion(now) }
  noexcept->std::same_as<void>;  // three probes in a row
  { c.on_packet_size(packet_bytes) }
  noexcept->std::same_as<void>;  // the path's packet size
  { view.window_bytes() }
  noexcept->std::same_as<std::uint32_t>;
  // Time between the starts of two packets of that size; zero: not paced.
  { view.pacing_interval(packet_bytes) }
  noexcept->std::same_as<Duration>;
};

}  // namespace proa
