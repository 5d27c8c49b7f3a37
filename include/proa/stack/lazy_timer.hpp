// L4: a timer for sleepers that is seldom set.
#pragma once
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include <proa/base/time.hpp>

namespace proa {

/// A descriptor that becomes readable when a time has come. Each setting of a near timer costs a
/// virtual machine microseconds, twice per sleep with a timeout; so a timer that goes off too early
/// is left alone: its sleeper wakes once for nothing and then sets it anew.
class LazyTimer {
 public:
  LazyTimer() noexcept
      : descriptor_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {}
  LazyTimer(LazyTimer&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), at_(other.at_) {}
  LazyTimer& operator=(LazyTimer&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(at_, other.at_);
    return *this;
  }
  LazyTimer(const LazyTimer&) = delete;
  LazyTimer& operator=(const LazyTimer&) = delete;
  ~LazyTimer() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// -1 when the system had none.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// Readable at `at` or before, but not yet: a wake-up for nothing is never repeated.
  void set(Instant now, Instant at) noexcept {
    if (at_ > now && at_ <= at) return;
    itimerspec spec{};  // zero: disarmed
    if (at != never) {
      const auto ns = std::max<Duration::rep>(at.time_since_epoch().count(), 1);
      spec.it_value = {static_cast<time_t>(ns / 1'000'000'000),
                       static_cast<long>(ns % 1'000'000'000)};
    }
    ::timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &spec, nullptr);
    at_ = at;
  }
  /// It was found readable. Our clock may be a little behind the system's, and not know it yet.
  void went_off() noexcept { at_ = Instant::min(); }

 private:
  int descriptor_;
  Instant at_ = never;
};

}  // namespace proa
