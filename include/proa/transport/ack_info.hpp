// L2: what an acknowledgement says to a sender, and what comes of it for the flow.
#pragma once
#include <chrono>
#include <cstdint>

#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/wire/frames.hpp>
#include <proa/wire/header.hpp>

namespace proa {

/// An acknowledgement as a packet carries it.
struct AckInfo {
  PacketNumber largest;
  Duration delay{};
  const AckBits& bits;          // packets below the largest
  std::uint32_t ce_marked = 0;  // packets newly reported as CE-marked

  /// Of a packet that is not after `largest`, and not before what the bits speak of.
  [[nodiscard]] bool names(PacketNumber number) const noexcept {
    const std::uint32_t below = largest.since(number);
    return below == 0 || bits.arrived(below - 1);
  }
  /// How long the packet may have waited for a late poller of the peer; the field saturates.
  [[nodiscard]] Duration lateness(Duration usual_max) const noexcept {
    if (delay <= usual_max) return {};
    return delay < ack_delay_saturated ? delay : std::chrono::hours{1};
  }
};

/// What an acknowledgement or a timer brought to light about control frames.
struct Resolved {
  bool acks_unsent = false;        // the peer acknowledged what was never sent
  bool out_of_memory = false;      // no room left to remember what is acknowledged
  bool progress = false;           // something was newly acknowledged
  std::uint8_t content_acked = 0;  // PacketContent bits
  std::uint8_t content_lost = 0;
  std::uint16_t size_probe_acked = 0;  // its bytes
  std::uint16_t size_probe_lost = 0;
  bool black_hole = false;  // packets of the present size do not arrive any more
};

}  // namespace proa
