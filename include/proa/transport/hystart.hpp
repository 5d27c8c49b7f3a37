// L2: HyStart++ (RFC 9406): leaving slow start when the delay rises, before packets are lost.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

class HyStart {
 public:
  enum class Phase : std::uint8_t { slow_start, conservative, done };

  // RFC 9406 4.3. L (the limit on growth per acknowledgement) is infinite, as for paced senders.
  static constexpr Duration rtt_threshold_min{4'000'000};
  static constexpr Duration rtt_threshold_max{16'000'000};
  static constexpr int rtt_divisor = 8;
  static constexpr std::uint32_t samples_min = 8;
  static constexpr std::uint32_t conservative_rounds = 5;
  static constexpr std::uint32_t growth_divisor = 4;  // in the conservative phase

  /// One acknowledgement: `rtt` zero if it brought no sample worth believing. `delivered` is the
  /// index of the newest acknowledged packet, `next_number` that of the next one sent.
  Phase on_ack(Duration rtt, std::uint64_t delivered, std::uint64_t next_number) noexcept {
    if (rtt != Duration::zero()) {
      current_min_ = std::min(current_min_, rtt);
      ++samples_;
    }
    // RFC 9406 4.2: in rounds with at least N_RTT_SAMPLE samples.
    if (samples_ >= samples_min) judge();
    if (delivered >= round_end_) end_round(next_number);
    return phase_;
  }
  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  void finish() noexcept { phase_ = Phase::done; }

  /// RFC 9406 4.2: RttThresh = max(MIN, min(lastRoundMinRTT / 8, MAX)). Named deviation: MIN is 4
  /// ms from 8 ms on; below, half the round trip but at least 25 us, or no data centre would ever
  /// see it.
  [[nodiscard]] static constexpr Duration threshold(Duration last_min) noexcept {
    const Duration floor = std::min(rtt_threshold_min, std::max(Duration{25'000}, last_min / 2));
    return std::max(floor, std::min(last_min / rtt_divisor, rtt_threshold_max));
  }

 private:
  static constexpr Duration infinite = Duration::max();

  void judge() noexcept {
    if (phase_ == Phase::slow_start && last_min_ != infinite &&
        current_min_ >= last_min_ + threshold(last_min_)) {
      phase_ = Phase::conservative;
      baseline_min_ = current_min_;
      rounds_left_ = conservative_rounds;
    } else if (phase_ == Phase::conservative && current_min_ < baseline_min_) {
      phase_ = Phase::slow_start;  // it was not the queue
      baseline_min_ = infinite;
    }
  }
  void end_round(std::uint64_t next_number) noexcept {
    round_end_ = next_number;
    last_min_ = current_min_;
    current_min_ = infinite;
    samples_ = 0;
    // A round the conservative phase began in counts as one of its rounds.
    if (phase_ == Phase::conservative && --rounds_left_ == 0) phase_ = Phase::done;
  }

  Duration last_min_ = infinite;
  Duration current_min_ = infinite;
  Duration baseline_min_ = infinite;
  std::uint64_t round_end_ = 0;
  std::uint32_t samples_ = 0;
  std::uint32_t rounds_left_ = 0;
  Phase phase_ = Phase::slow_start;
};

}  // namespace proa
