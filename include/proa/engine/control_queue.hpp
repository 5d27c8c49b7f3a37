// L3: whole frames an interface wants to send on its own account, in a bounded queue; rate limits.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <proa/base/time.hpp>

namespace proa {

/// First in, first out, of frames up to a fixed size; memory taken once.
class ControlQueue {
 public:
  ControlQueue(std::size_t frames_max, std::size_t frame_bytes_max)
      : frame_bytes_max_(frame_bytes_max),
        lengths_(frames_max),
        bytes_(frames_max * frame_bytes_max) {}

  /// Room for one frame of exactly `bytes` bytes, to be filled by the caller; empty when that would
  /// leave fewer than `keep_free` places, or the frame is too long.
  [[nodiscard]] std::span<std::byte> push(std::size_t bytes, std::size_t keep_free = 0) noexcept {
    if (count_ + keep_free >= lengths_.size() || bytes > frame_bytes_max_) return {};
    const std::size_t slot = (head_ + count_) % lengths_.size();
    ++count_;
    lengths_[slot] = bytes;
    return {bytes_.data() + slot * frame_bytes_max_, bytes};
  }

  /// Copies the oldest frame out; 0 when there is none. A frame that does not fit is lost.
  std::size_t pop(std::span<std::byte> out) noexcept {
    while (count_ > 0) {
      const std::size_t slot = head_;
      head_ = (head_ + 1) % lengths_.size();
      --count_;
      if (lengths_[slot] > out.size()) continue;
      std::copy_n(bytes_.data() + slot * frame_bytes_max_, lengths_[slot], out.data());
      return lengths_[slot];
    }
    return 0;
  }

  [[nodiscard]] std::size_t frames_max() const noexcept { return lengths_.size(); }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

 private:
  std::size_t frame_bytes_max_;
  std::vector<std::size_t> lengths_;
  std::vector<std::byte> bytes_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

/// At most `per_second` on average, `burst` at once (the generic cell rate algorithm, ITU-T I.371).
class RateLimit {
 public:
  RateLimit(std::uint32_t per_second, std::uint32_t burst) noexcept
      : interval_(Duration{std::chrono::seconds{1}} / std::max(per_second, 1U)),
        tolerance_(interval_ * (std::max(burst, 1U) - 1)) {}

  [[nodiscard]] bool allow(Instant now) noexcept {
    if (next_ > now + tolerance_) return false;
    next_ = std::max(next_, now) + interval_;
    return true;
  }

 private:
  Duration interval_;
  Duration tolerance_;
  Instant next_{};
};

}  // namespace proa
