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
/// reordering window that grows when a loss turns out to be none (RFC 8985 section 6.2 step 4).
class LossRule {
 public:
  /// `later_acked` counts in-flight-type packets sent after this one up to the largest
  /// acknowledged.
  [[nodiscard]] bool lost_by_count(std::uint32_t later_acked) const noexcept {
    return !reordering_seen_ && later_acked >= packet_threshold;
  }
  /// The time after which a packet is lost once a later one has been acknowledged.
  [[nodiscard]] Duration patience(const RttEstimator& rtt) const noexcept {
    const Duration round = std::max(rtt.smoothed(), rtt.latest());
    // RFC 8985 6.2 step 4: min_RTT / 4 times a multiplier, never above srtt; at least timer slack.
    const Duration window = std::min(rtt.minimum() / 4 * window_steps_, rtt.smoothed());
    return round + std::max(window, granularity);
  }
  void on_reordering() noexcept { reordering_seen_ = true; }

  /// A packet declared lost was acknowledged after all.
  void on_spurious_loss() noexcept {
    reordering_seen_ = true;
    window_steps_ = std::min(window_steps_ + 1, 16);
  }
  /// RFC 8985: the wide window decays after 16 recoveries without a spurious one.
  void on_real_loss() noexcept {
    if (window_steps_ > 1 && ++real_losses_ >= 16) {
      window_steps_ = 1;
      real_losses_ = 0;
    }
  }
  [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }

 private:
  static constexpr Duration granularity{2'000};  // two turns of a busy engine

  int window_steps_ = 1;
  int real_losses_ = 0;
  bool reordering_seen_ = false;
};

}  // namespace proa
