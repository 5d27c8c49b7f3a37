// L2: pacing: when the next packet may go, with a little credit for a poller that comes late.
#pragma once
#include <algorithm>

#include <proa/base/time.hpp>

namespace proa {

/// A leaky bucket in time: each packet moves the moment of the next one on by its interval. A
/// poller takes turns of microseconds and timers tick in microseconds, so what was missed is made
/// up for, up to `burst_packets` and a quarter of a round. An interval of zero costs one store.
class Pacer {
 public:
  static constexpr int burst_packets = 16;       // half a usual NIC burst
  static constexpr Duration burst_floor{2'000};  // two turns of a busy engine

  [[nodiscard]] bool may_send(Instant now) const noexcept { return now >= next_; }
  [[nodiscard]] Instant next() const noexcept { return next_; }

  void on_sent(Instant now, Duration interval, Duration smoothed_rtt) noexcept {
    if (interval == Duration::zero()) {
      next_ = Instant::min();
      return;
    }
    const Duration credit =
        std::min(std::max(burst_packets * interval, burst_floor), smoothed_rtt / 4);
    next_ = later(std::max(next_, now - credit), interval);
  }

 private:
  Instant next_ = Instant::min();
};

}  // namespace proa
