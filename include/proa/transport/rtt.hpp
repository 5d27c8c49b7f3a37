// L2: the round-trip estimate of a flow (RFC 9002 section 5, RFC 6298) at nanosecond resolution.
#pragma once
#include <algorithm>

#include <proa/base/time.hpp>

namespace proa {

class RttEstimator {
 public:
  [[nodiscard]] bool has_sample() const noexcept { return smoothed_ != Duration::zero(); }
  [[nodiscard]] Duration smoothed() const noexcept { return smoothed_; }
  [[nodiscard]] Duration variation() const noexcept { return variation_; }
  [[nodiscard]] Duration latest() const noexcept { return latest_; }
  [[nodiscard]] Duration minimum() const noexcept { return minimum_; }

  /// `sample` is send to acknowledgement, `ack_delay` the part the peer says it waited, and
  /// `uncertainty` how long the acknowledgement may have lain unread here.
  void update(Duration sample, Duration ack_delay, Duration uncertainty) noexcept {
    sample = std::max(sample, Duration{1});
    // RFC 9002 5.2: min_rtt ignores the ack delay.
    minimum_ = has_sample() ? std::min(minimum_, sample) : sample;
    // RFC 9002 5.3: never below min_rtt by the peer's word. Where the RFC then drops the whole ack
    // delay we subtract what is left above the minimum: else a path whose minimum comes from a
    // packet a little larger than the rest keeps the peer's delay in every sample.
    const Duration adjusted = std::max(sample - ack_delay, minimum_);
    latest_ = adjusted;
    if (!has_sample()) {
      smoothed_ = adjusted;
      variation_ = adjusted / 2;
      return;
    }
    // A poller that came late measured itself: such a sample says nothing of the variation.
    const bool late = uncertainty > smoothed_ / 2;
    const Duration error = adjusted > smoothed_ ? adjusted - smoothed_ : smoothed_ - adjusted;
    if (!late) variation_ = (3 * variation_ + error) / 4;
    if (!late || adjusted < smoothed_) smoothed_ = (7 * smoothed_ + adjusted) / 8;
    smoothed_ = std::max(smoothed_, Duration{1});
  }

 private:
  Duration smoothed_{};
  Duration variation_{};
  Duration latest_{};
  Duration minimum_{};
};

}  // namespace proa
