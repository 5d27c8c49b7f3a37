// L2: the round-trip estimate of a flow (RFC 9002 section 5, RFC 6298) at nanosecond resolution.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

class RttEstimator {
 public:
  [[nodiscard]] bool has_sample() const noexcept { return smoothed_ != Duration::zero(); }
  [[nodiscard]] Duration smoothed() const noexcept { return smoothed_; }
  [[nodiscard]] Duration variation() const noexcept { return Duration{variation_ns_}; }
  [[nodiscard]] Duration latest() const noexcept { return latest_; }
  /// Since the last restart_minimum(); the newest sample if there was none.
  [[nodiscard]] Duration minimum() const noexcept { return std::min(minimum_, latest_); }

  /// Whether a sample of which so much may be a poller's own lateness says something of the path.
  /// The smoothed round trip alone is no measure: after a few late samples of a starved poller any
  /// lateness is small beside it, and a pause passes for a queue.
  [[nodiscard]] bool trusts(Duration uncertainty) const noexcept {
    return uncertainty <= std::min(smoothed_ / 2, std::max(minimum() / 2, usual_turn));
  }

  /// How late the peer's poller was of late, for who waits for its answer; zero mostly.
  [[nodiscard]] Duration peer_lateness() const noexcept { return Duration{peer_lateness_ns_}; }

  /// `sample` is send to acknowledgement, `ack_delay` the part the peer says it waited, and
  /// `uncertainty` how long packet or acknowledgement may have lain unread at either end.
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
      // Of what a starved poller measured only the certain part is the path's. With more a paced
      // flow would send a few packets per pause until a better sample comes.
      smoothed_ = std::max(adjusted - uncertainty, std::min(adjusted, usual_turn));
      variation_ns_ = packed(smoothed_ / 2);
      return;
    }
    // A poller that came late measured itself: such a sample says nothing of the variation, and of
    // the round trip that it is no shorter than the certain part. A path that becomes longer below
    // a busy engine gives no others.
    const bool late = uncertainty > smoothed_ / 2;
    const Duration error = adjusted > smoothed_ ? adjusted - smoothed_ : smoothed_ - adjusted;
    if (!late) variation_ns_ = packed((3 * variation() + error) / 4);
    if (!late || adjusted < smoothed_)
      smoothed_ = (7 * smoothed_ + adjusted) / 8;
    else
      smoothed_ = (7 * smoothed_ + std::max(adjusted - uncertainty, smoothed_)) / 8;
    smoothed_ = std::max(smoothed_, Duration{1});
  }
  /// RFC 9002 5.2: where the path may have changed unseen, the next sample is the minimum. Not
  /// after persistent congestion, as the RFC would have it: three probes in a row are common where
  /// 30 % is lost at random, and the larger minimum then costs a quarter of the goodput.
  void restart_minimum() noexcept { minimum_ = Duration::max(); }
  /// Rises quickly, falls slowly: an oversubscribed peer is not probed at each of its pauses.
  void note_peer_lateness(Duration lateness) noexcept {
    const Duration former = peer_lateness();
    peer_lateness_ns_ =
        packed(lateness > former ? (former + lateness) / 2 : (7 * former + lateness) / 8);
  }

 private:
  static constexpr Duration usual_turn{50'000};  // of an engine that moves bulk data: a few bursts

  /// An idle flow is small. Saturates at four seconds: no probe waits that long.
  static constexpr std::uint32_t packed(Duration d) noexcept {
    return static_cast<std::uint32_t>(std::min<std::int64_t>(d.count(), 0xffff'ffff));
  }

  Duration smoothed_{};
  Duration latest_{};
  Duration minimum_{};
  std::uint32_t variation_ns_ = 0;
  std::uint32_t peer_lateness_ns_ = 0;
};

}  // namespace proa
