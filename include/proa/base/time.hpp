// L0: time as a value. Nothing here reads a clock; whoever drives the stack passes `now` in.
#pragma once
#include <chrono>
#include <cstdint>

namespace proa {

using Duration = std::chrono::nanoseconds;

/// A clock without `now()`: it only names the type of instants, so that no pure layer can read
/// time.
struct StackClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<StackClock, Duration>;
  static constexpr bool is_steady = true;
};

/// A moment on the driver's monotonic clock, in nanoseconds since an arbitrary start.
using Instant = StackClock::time_point;

/// Later than every real moment: the deadline of what has none.
inline constexpr Instant never = Instant::max();

/// `at + after`, staying at `never` where the sum would pass it.
[[nodiscard]] constexpr Instant later(Instant at, Duration after) noexcept {
  if (at.time_since_epoch() > Duration::zero() && after > never - at) return never;
  return at + after;
}

}  // namespace proa
