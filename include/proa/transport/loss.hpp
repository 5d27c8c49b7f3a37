// L2: which packets are lost (RFC 9002 section 6.1, RFC 8985), as pure arithmetic.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>
#include <proa/transport/rtt.hpp>

namespace proa {

/// RFC 9002 6.1.1: kPacketThreshold.
inline constexpr std::uint32_t packet_threshold = 3;

/// Decides by packet threshold until the flow has seen reordering, then by time alone, with a
/// reordering window that grows when a loss turns out to be none (RFC 8985 section 6.2). Packets
/// are named by their index, from 0: the next one's index is what TCP calls SND.NXT.
class LossRule {
 public:
  /// `later_acked` counts in-flight-type packets sent after this one up to the largest
  /// acknowledged.
  [[nodiscard]] bool lost_by_count(std::uint32_t later_acked) const noexcept {
    return reordering_seen_ == 0 && later_acked >= packet_threshold;
  }
  /// The time after which a packet is lost once a later one has been acknowledged.
  [[nodiscard]] Duration patience(const RttEstimator& rtt) const noexcept {
    const Duration round = std::max(rtt.smoothed(), rtt.latest());
    // RFC 8985 6.2 step 4: min_RTT / 4 times a multiplier, never above srtt; at least timer slack.
    const Duration window =
        std::min(rtt.minimum() / 4 * static_cast<std::int64_t>(window_steps_), rtt.smoothed());
    return round + std::max(window, granularity);
  }

  /// RFC 8985 6.2 step 3: a packet arrived that one sent after it had overtaken.
  void on_reordering() noexcept { reordering_seen_ = 1; }

  /// A packet declared lost was acknowledged after all; `newest_acked` is the newest of that
  /// acknowledgement. RFC 8985 6.2 step 4: the window widens once per round trip and stays wide for
  /// another 16 recoveries.
  void on_spurious_loss(std::uint64_t newest_acked, std::uint64_t next_index) noexcept {
    reordering_seen_ = 1;
    recoveries_left_ = recoveries_wide;
    if (newest_acked < widened_at_) return;
    widened_at_ = next_index & index_mask;
    window_steps_ = std::min<std::uint64_t>(window_steps_ + 1, window_steps_max) & 0xffU;
  }

  /// Packets were declared lost, `newest_lost` the newest of them. A recovery lasts until what was
  /// sent after it began is lost in turn.
  void on_loss(std::uint64_t newest_lost, std::uint64_t next_index) noexcept {
    if (newest_lost < recovery_until_) return;
    recovery_until_ = next_index & index_mask;
    if (recoveries_left_ == 0) return;
    recoveries_left_ = (recoveries_left_ - 1U) & 0xffU;
    if (recoveries_left_ == 0) window_steps_ = 1;
  }
  [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_ != 0; }

 private:
  static constexpr std::uint64_t index_mask = (std::uint64_t{1} << 55U) - 1;
  static constexpr Duration granularity{2'000};  // two turns of a busy engine
  static constexpr std::uint64_t window_steps_max =
      16;  // four round trips: srtt is the limit before
  static constexpr std::uint64_t recoveries_wide = 16;

  // Packed: an idle flow is small. 2^55 packets last for centuries.
  std::uint64_t widened_at_ : 56 = 0;   // index of the first packet sent after the window widened
  std::uint64_t window_steps_ : 8 = 1;  // reordering window in quarters of the minimum
  std::uint64_t recovery_until_ : 55 = 0;  // index of the first packet sent after the last recovery
  std::uint64_t recoveries_left_ : 8 = 0;  // until the window narrows
  std::uint64_t reordering_seen_ : 1 = 0;
};

}  // namespace proa
