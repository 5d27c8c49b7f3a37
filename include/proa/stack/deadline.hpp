// L4: until when a call may take: a moment, or a time from now.
#pragma once
#include <proa/base/time.hpp>

namespace proa {

/// `net.wait(5ms)` and `net.wait(instant)` both read well. `never` waits for ever.
class Deadline {
 public:
  constexpr Deadline(Instant at) noexcept : at_(at) {}  // NOLINT: meant to convert
  template <class Rep, class Period>
  constexpr Deadline(std::chrono::duration<Rep, Period> in) noexcept  // NOLINT: meant to convert
      : in_(in), relative_(true) {}

  [[nodiscard]] constexpr Instant from(Instant now) const noexcept {
    return relative_ ? later(now, in_) : at_;
  }

 private:
  Instant at_{};
  Duration in_{};
  bool relative_ = false;
};

}  // namespace proa
