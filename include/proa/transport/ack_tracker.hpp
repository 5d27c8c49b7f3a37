// L2: the receiver's memory of packet numbers: what arrived, what to acknowledge, and when.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/mem/pool_box.hpp>
#include <proa/wire/frames.hpp>

namespace proa {

/// Packet numbers further than this from the largest seen are not this flow's (or are forged).
inline constexpr std::uint32_t packet_number_window = 1U << 20U;

class AckTracker {
 public:
  enum class Verdict : std::uint8_t { fresh, duplicate, too_old, out_of_window };

  explicit AckTracker(ScratchPool& pool) noexcept : seen_(pool) {}

  [[nodiscard]] bool any() const noexcept { return any_; }
  [[nodiscard]] PacketNumber largest() const noexcept { return largest_; }

  [[nodiscard]] Verdict judge(PacketNumber number) const noexcept {
    if (!any_) return Verdict::fresh;
    if (number.after(largest_))
      return number.since(largest_) <= packet_number_window ? Verdict::fresh
                                                            : Verdict::out_of_window;
    const std::uint32_t below = largest_.since(number);
    if (below == 0) return Verdict::duplicate;
    if (below > packet_number_window) return Verdict::out_of_window;
    if (below > ack_window) return Verdict::too_old;
    return test(number) ? Verdict::duplicate : Verdict::fresh;
  }

  /// Whether record() has room for this fresh packet; false: the pool is used up.
  [[nodiscard]] bool can_record(PacketNumber number) noexcept {
    return !any_ || number == largest_.plus(1) || seen_.get() != nullptr || begin_gaps();
  }
  /// Records a fresh packet; true if it left or filled a gap (then an acknowledgement is due).
  /// Without room it changes nothing: ask can_record() before.
  bool record(PacketNumber number, Instant now) noexcept {
    if (!any_) {
      // What was sent before the first packet seen is not ours to miss.
      any_ = true;
      largest_ = number;
      largest_at_ = now;
      return false;
    }
    if (number == largest_.plus(1)) [[likely]] {
      if (seen_.get() != nullptr) note_one_more_in_a_row();
      largest_ = number;
      largest_at_ = now;
      return false;
    }
    if (can_record(number)) record_out_of_order(number, now);
    return true;
  }

  /// True when some packet of the window below the largest is missing: an ack frame is needed.
  [[nodiscard]] bool has_gaps() const noexcept { return seen_.get() != nullptr; }

  /// When the largest one arrived, for the ack delay field.
  [[nodiscard]] Instant largest_at() const noexcept { return largest_at_; }

  /// Bit i: packet (largest - 1 - i) arrived.
  [[nodiscard]] std::uint64_t newest64() const noexcept { return word_below(0); }
  [[nodiscard]] AckBits bits() const noexcept {
    AckBits all;
    for (std::uint32_t i = 0; i < all.words.size(); ++i) all.words[i] = word_below(i * 64);
    all.dense = false;
    return all;
  }

 private:
  // A circle of twice the window, so that clearing what is ahead never touches the window.
  static constexpr std::uint32_t circle_bits = 2 * ack_window;
  static constexpr std::uint32_t circle_words = circle_bits / 64;
  using Circle = std::array<std::uint64_t, circle_words>;

  static constexpr std::uint32_t position(PacketNumber n) noexcept {
    return n.wire() & (circle_bits - 1);
  }
  [[nodiscard]] bool test(PacketNumber n) const noexcept {
    const Circle* const seen = seen_.get();
    return seen == nullptr || (((*seen)[position(n) / 64] >> (position(n) % 64)) & 1U) != 0;
  }
  void set(PacketNumber n) noexcept {
    (*seen_.get())[position(n) / 64] |= std::uint64_t{1} << (position(n) % 64);
  }
  void clear(PacketNumber n) noexcept {
    (*seen_.get())[position(n) / 64] &= ~(std::uint64_t{1} << (position(n) % 64));
  }
  [[gnu::noinline]] bool begin_gaps() noexcept {
    Circle* const seen = seen_.make();
    if (seen == nullptr) return false;
    seen->fill(~std::uint64_t{0});
    return true;
  }
  /// The largest becomes one of the bits.
  void note_one_more_in_a_row() noexcept {
    set(largest_);
    if (++in_a_row_ >= ack_window) seen_.drop();
  }
  /// Any but the next one.
  void record_out_of_order(PacketNumber number, Instant now) noexcept {
    const bool late = number.before(largest_);
    const std::uint32_t step = late ? 0 : number.since(largest_);
    if (late) {
      set(number);
      in_a_row_ = count_in_a_row();
    } else {
      advance(step);
      // The former largest is one of the bits now. From further below its place on the circle
      // would be another packet's: that would be acknowledged although it is lost.
      if (step <= ack_window) set(largest_);
      largest_ = number;
      largest_at_ = now;
      in_a_row_ = 0;
    }
    if (in_a_row_ >= ack_window) seen_.drop();
  }
  /// Clears the numbers largest .. largest + step - 1: not seen until recorded.
  void advance(std::uint32_t step) noexcept {
    if (step >= ack_window) {
      seen_.get()->fill(0);
      return;
    }
    for (std::uint32_t i = 0; i < step; ++i) clear(largest_.plus(i));
  }
  /// 64 packets starting `skip` below the newest bit, mirrored so that bit 0 is the newest.
  [[nodiscard]] std::uint64_t word_below(std::uint32_t skip) const noexcept {
    if (seen_.get() == nullptr) return ~std::uint64_t{0};
    const Circle& seen = *seen_.get();
    const std::uint32_t top = position(largest_.minus(1 + skip));
    const std::uint32_t shift = top % 64;
    const std::uint64_t high = seen[top / 64] << (63 - shift);
    const std::uint64_t low =
        shift == 63 ? 0 : seen[(top / 64 + circle_words - 1) % circle_words] >> (shift + 1);
    return reverse(high | low);
  }
  [[nodiscard]] std::uint16_t count_in_a_row() const noexcept {
    std::uint32_t count = 0;
    std::uint32_t ones = 64;
    for (; count < ack_window && ones == 64; count += ones)
      ones = static_cast<std::uint32_t>(std::countr_one(word_below(count)));
    return static_cast<std::uint16_t>(count);
  }
  static constexpr std::uint64_t reverse(std::uint64_t v) noexcept {
    v = ((v >> 1U) & 0x5555'5555'5555'5555U) | ((v & 0x5555'5555'5555'5555U) << 1U);
    v = ((v >> 2U) & 0x3333'3333'3333'3333U) | ((v & 0x3333'3333'3333'3333U) << 2U);
    v = ((v >> 4U) & 0x0f0f'0f0f'0f0f'0f0fU) | ((v & 0x0f0f'0f0f'0f0f'0f0fU) << 4U);
    return __builtin_bswap64(v);
  }

  // Without gaps nothing needs to be remembered but the largest.
  PoolBox<Circle> seen_;
  Instant largest_at_{};
  PacketNumber largest_;
  std::uint16_t in_a_row_ = 0;  // that arrived just below the largest, where there are gaps
  bool any_ = false;
};

}  // namespace proa
