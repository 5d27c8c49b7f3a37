// L2: the smallest sample of the last five to ten seconds, in two buckets.
#pragma once
#include <algorithm>

#include <proa/base/time.hpp>

namespace proa {

class WindowedMinimum {
 public:
  static constexpr Duration bucket = std::chrono::seconds{5};

  /// Zero before the first sample.
  [[nodiscard]] constexpr Duration value() const noexcept { return std::min(current_, former_); }
  [[nodiscard]] constexpr bool empty() const noexcept { return current_ == none; }

  constexpr void update(Instant now, Duration sample) noexcept {
    if (now - since_ >= bucket) {
      former_ = now - since_ >= 2 * bucket ? none : current_;
      current_ = none;
      since_ = now;
    }
    current_ = std::min(current_, sample);
  }

 private:
  static constexpr Duration none = Duration::max();

  Instant since_{};
  Duration current_ = none;
  Duration former_ = none;
};

}  // namespace proa
