// L2: what the samples of one round trip say of its delay.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// The delay of a round is that of its worst moment: the smallest of at least two samples within 25
/// us or half a round. A single sample may be a poller's jitter; the smallest of a whole round
/// would hide the queue from bursts and from long paths, and those would starve the others.
class RoundDelay {
 public:
  void note(Instant now, Duration rtt, Duration smoothed_rtt) noexcept {
    quietest_ = std::min(quietest_, rtt);
    moment_.delay = std::min(moment_.delay, rtt);
    if (moment_.samples++ == 0) moment_.since = now;
    const Duration span = std::min(moment_max, smoothed_rtt / 2);
    if (moment_.samples < samples_min || now - moment_.since < span) return;
    worst_moment_ = std::max(worst_moment_, moment_.delay);
    moment_ = {};
  }
  void begin() noexcept { *this = {}; }

  /// Zero: the round had too few samples.
  [[nodiscard]] Duration worst_moment() const noexcept { return worst_moment_; }
  /// The smallest sample of the round; Duration::max(): it had none.
  [[nodiscard]] Duration quietest() const noexcept { return quietest_; }

 private:
  static constexpr Duration moment_max{25'000};
  static constexpr std::uint32_t samples_min = 2;

  struct Moment {
    Duration delay = Duration::max();  // the smallest
    Instant since{};
    std::uint32_t samples = 0;
  };
  Moment moment_;
  Duration worst_moment_{};
  Duration quietest_ = Duration::max();
};

}  // namespace proa
