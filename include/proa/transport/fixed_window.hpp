// L2: a constant window: for links that belong to one application, and as a baseline.
#pragma once
#include <cstdint>

#include <proa/transport/congestion.hpp>

namespace proa {

struct FixedWindow {
  std::uint32_t bytes = 256 * 1024;  // about the BDP of 50 Gbit/s at 40 us

  constexpr void on_ack(const AckSample&) noexcept {}
  constexpr void on_loss(const LossSample&) noexcept {}
  constexpr void on_late(std::uint64_t) noexcept {}
  constexpr void on_spurious_timeout(Instant) noexcept {}
  constexpr void on_persistent_congestion(Instant) noexcept {}
  constexpr void on_packet_size(std::uint32_t) noexcept {}
  [[nodiscard]] constexpr std::uint32_t window_bytes() const noexcept { return bytes; }
  [[nodiscard]] constexpr Duration pacing_interval(std::uint32_t) const noexcept { return {}; }
};
static_assert(CongestionController<FixedWindow>);

}  // namespace proa
