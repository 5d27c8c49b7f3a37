// L4: a poller's manners: notices that it shares its core and yields only then.
#pragma once
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// Two pollers on one core cost milliseconds per round trip unless they yield; a poller alone on
/// its core loses a third of its rate by yielding. So it yields while the kernel reports that
/// others ran in between: involuntary switches of this thread, which on Linux include effective
/// yields. Who sleeps often is never switched against its will, however long others wait while it
/// polls: one that finds nothing for a while yields to try.
class GiveWay {
 public:
  /// Call after a turn that did nothing; the last one that did something was at `worked_at`. About
  /// 1 ns, or one sched_yield() when oversubscribed or to try.
  void idle(Instant now, Instant worked_at) noexcept {
    if (yielding_ || now - std::max(worked_at, tried_at_) >= try_after) give_way(now);
    if (++idle_turns_ % turns_per_look == 0) look(now);
  }
  [[nodiscard]] bool oversubscribed() const noexcept { return yielding_; }

 private:
  static constexpr std::uint32_t turns_per_look = 256;
  static constexpr Duration window = std::chrono::milliseconds{20};
  static constexpr Duration try_after = std::chrono::microseconds{20};
  // Alone, a core's housekeeping switches a few times per second; a time slice is 3 to 8 ms.
  static constexpr std::int64_t switches_per_second = 60;

  void give_way(Instant now) noexcept {
    ::sched_yield();
    tried_at_ = now;
  }
  void look(Instant now) noexcept {
    if (now - looked_at_ < window) return;
    rusage usage{};
    if (::getrusage(RUSAGE_THREAD, &usage) != 0) return;
    const std::int64_t switches = usage.ru_nivcsw - switches_;
    const std::int64_t window_ns = (now - looked_at_).count();
    const bool first = looked_at_ == Instant{};
    yielding_ = !first && switches * 1'000'000'000 > switches_per_second * window_ns;
    switches_ = usage.ru_nivcsw;
    looked_at_ = now;
  }

  bool yielding_ = false;
  std::uint32_t idle_turns_ = 0;
  Instant looked_at_{};
  Instant tried_at_{};
  std::int64_t switches_ = 0;
};

}  // namespace proa
