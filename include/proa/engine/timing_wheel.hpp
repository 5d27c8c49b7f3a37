// L3: deadlines of an engine's flows, about one microsecond apart, in constant time.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <proa/base/check.hpp>
#include <proa/base/time.hpp>
#include <proa/engine/lazy_array.hpp>

namespace proa {

/// A hierarchical timing wheel (Varghese and Lauck, SOSP 1987, scheme 7): nine levels of 64 slots
/// cover every Instant. One deadline per entry; entries are the slots of the flow table.
///
/// An entry lies at the level of the highest 6-bit digit in which its deadline differs from the
/// wheel's own time, so within a level the occupied slots are always ahead of the current one and
/// every lower level is due before every higher one: no slot is ever shared by two rotations, and
/// a poller that comes late by any amount visits each occupied slot once. One call moves a bounded
/// number of entries; where thousands begin at once, the last ones come some calls late.
class TimingWheel {
 public:
  static constexpr unsigned tick_shift = 10;  // 1,024 ns per tick
  static constexpr Duration tick{1 << tick_shift};

  TimingWheel(std::uint32_t entries, Instant now) : entries_(entries), elapsed_(floor_tick(now)) {}

  /// Makes sure entry `i` expires at `deadline` or earlier; an earlier one stays where it is (the
  /// owner asks its flow again on expiry, which is cheaper than moving on every packet). Half a
  /// second or more ahead of `now` up to a 256th of that time is added: many deadlines far away
  /// (those of idle flows) come together, so that they do not wake a sleeper one by one. The
  /// wheel's own time is no measure of that: it stood still while the engine slept.
  void arm_no_later_than(std::uint32_t i, Instant deadline, Instant now) noexcept {
    if (deadline == never) return;
    Entry& entry = entries_[i];
    std::uint64_t at = ceil_tick(deadline);
    if (entry.tick != 0 && entry.tick <= at) return;
    at = rounded(at, std::max(elapsed_, floor_tick(now)));
    if (entry.tick != 0) {
      if (entry.tick <= at) return;
      unlink(i);
    }
    entry.tick = at & tick_mask;
    link(i);
  }

  void cancel(std::uint32_t i) noexcept {
    if (armed(i)) unlink(i);
  }

  [[nodiscard]] bool armed(std::uint32_t i) const noexcept { return entries_[i].tick != 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return armed_; }

  /// No entry expires before this moment; an entry may expire later (its slot must first be split).
  [[nodiscard]] Instant next_expiry() const noexcept {
    if (due_ != 0 || open_levels_ != 0) return Instant{};
    if (levels_in_use_ == 0) return never;
    const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
    return instant_of(slot_start(level, first_slot(level)));
  }

  /// Disarms the entries whose deadline is not after `now` and calls `fire(i)` for each, at most
  /// `budget` of them; returns how many. `fire` may arm and cancel any entry. What it arms for a
  /// moment not after `now` waits for the next call, so this ends. `ahead(i)` is told which entry
  /// is likely to be next.
  template <class Fire, class Ahead>
  std::uint32_t expire(Instant now, std::uint32_t budget, Fire&& fire, Ahead&& ahead) noexcept {
    const std::uint64_t target = floor_tick(now);
    if (target <= elapsed_ && due_ == 0 && open_levels_ == 0) return 0;  // mostly: within a tick
    if (armed_ == 0) {
      elapsed_ = std::max(elapsed_, target);
      return 0;
    }
    advance(target);
    std::uint32_t left = due_count_ < budget ? due_count_ : budget;
    std::uint32_t fired = 0;
    for (; left > 0 && due_ != 0; --left, ++fired) {
      const std::uint32_t i = due_ - 1;
      unlink(i);
      if (due_ != 0) ahead(due_ - 1);
      fire(i);
    }
    return fired;
  }

  /// Null, or which invariant is broken. O(entries).
  [[nodiscard]] const char* broken_invariant() const noexcept {
    std::uint32_t counted = 0;
    for (std::uint32_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = entries_[i];
      if (entry.tick == 0) continue;
      ++counted;
      if (entry.prev == 0 ? !is_head(i) : entries_[entry.prev - 1].next != i + 1)
        return "an entry lies in no list, or in that of another time";
    }
    return counted == armed_ ? nullptr : "the count of armed entries is wrong";
  }

 private:
  static constexpr unsigned digit_bits = 6;
  static constexpr unsigned slots = 1U << digit_bits;
  static constexpr unsigned levels = 9;  // 9 * 6 bits + 10 = 64: all of time
  static constexpr std::uint64_t far_ticks = 1U << 19U;
  // All of time is 2^53 ticks; the mask only tells the compiler.
  static constexpr std::uint64_t tick_mask = ~std::uint64_t{0} >> 1U;
  static constexpr unsigned moves_per_call = 64;
  static constexpr std::uint16_t due_bucket = 1;
  static constexpr std::uint16_t first_bucket = 2;

  // Its slot follows from its tick and the wheel's time, unless that is open. All zero: unarmed.
  struct Entry {
    std::uint64_t tick : 63;
    std::uint64_t due : 1;     // in the due list
    std::uint32_t next, prev;  // entry + 1; 0 ends the list
  };

  static std::uint64_t floor_tick(Instant at) noexcept {
    const auto ns = at.time_since_epoch().count();
    return ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) >> tick_shift;
  }
  // Rounded up: a timer never fires early, so an expiry always finds its flow due.
  static std::uint64_t ceil_tick(Instant at) noexcept {
    const auto ns = at.time_since_epoch().count();
    return ns <= 0 ? 1 : ((static_cast<std::uint64_t>(ns) - 1) >> tick_shift) + 1;
  }
  [[nodiscard]] static std::uint64_t rounded(std::uint64_t at, std::uint64_t now) noexcept {
    if (at < now + far_ticks) [[likely]]
      return at;
    const std::uint64_t grid = std::bit_floor(at - now) >> 8U;
    return (at + grid - 1) & ~(grid - 1);
  }
  static Instant instant_of(std::uint64_t at) noexcept {
    return Instant{Duration{static_cast<Duration::rep>(at << tick_shift)}};
  }

  [[nodiscard]] std::uint64_t slot_start(unsigned level, unsigned slot) const noexcept {
    const unsigned shift = level * digit_bits;
    const std::uint64_t above = (elapsed_ >> shift) >> digit_bits;
    return ((above << digit_bits) | slot) << shift;
  }
  [[nodiscard]] unsigned first_slot(unsigned level) const noexcept {
    return static_cast<unsigned>(std::countr_zero(occupied_[level]));
  }
  [[nodiscard]] std::uint16_t bucket_of(std::uint64_t at) const noexcept {
    if (at <= elapsed_) return due_bucket;
    const unsigned level = (static_cast<unsigned>(std::bit_width(at ^ elapsed_)) - 1) / digit_bits;
    const auto slot = static_cast<unsigned>((at >> (level * digit_bits)) & (slots - 1));
    return static_cast<std::uint16_t>(first_bucket + level * slots + slot);
  }
  std::uint32_t& head_of(std::uint16_t bucket) noexcept {
    return bucket == due_bucket ? due_ : heads_[bucket - first_bucket];
  }
  [[nodiscard]] bool is_head(std::uint32_t i) const noexcept {
    const std::uint16_t bucket = bucket_of(entries_[i].tick);
    const std::uint32_t head = bucket == due_bucket ? due_ : heads_[bucket - first_bucket];
    return head == i + 1 || std::find(open_.begin(), open_.end(), i + 1) != open_.end();
  }

  void link(std::uint32_t i) noexcept {
    Entry& entry = entries_[i];
    const std::uint16_t bucket = bucket_of(entry.tick);
    std::uint32_t& head = head_of(bucket);
    entry.prev = 0;
    entry.next = head;
    if (head != 0) entries_[head - 1].prev = i + 1;
    head = i + 1;
    ++armed_;
    entry.due = bucket == due_bucket;
    if (entry.due) {
      ++due_count_;
      return;
    }
    const unsigned at = bucket - unsigned{first_bucket};
    occupied_[at / slots] |= std::uint64_t{1} << (at % slots);
    levels_in_use_ |= 1U << (at / slots);
  }

  void unlink(std::uint32_t i) noexcept {
    Entry& entry = entries_[i];
    if (entry.prev != 0)
      entries_[entry.prev - 1].next = entry.next;
    else
      unlink_head(i, entry);
    if (entry.next != 0) entries_[entry.next - 1].prev = entry.prev;
    if (entry.due) --due_count_;
    entry.tick = 0;
    entry.due = 0;
    --armed_;
  }
  void unlink_head(std::uint32_t i, const Entry& entry) noexcept {
    const std::uint16_t bucket = bucket_of(entry.tick);
    std::uint32_t& head = head_of(bucket);
    if (head != i + 1) [[unlikely]]
      return unlink_open(i, entry);
    head = entry.next;
    if (head == 0 && bucket != due_bucket) mark_empty(bucket - unsigned{first_bucket});
  }
  void unlink_open(std::uint32_t i, const Entry& entry) noexcept {
    const auto at = std::find(open_.begin(), open_.end(), i + 1);
    PROA_CHECK(at != open_.end());
    *at = entry.next;
    if (*at == 0) open_levels_ &= ~(1U << static_cast<unsigned>(at - open_.begin()));
  }

  void mark_empty(unsigned at) noexcept {
    occupied_[at / slots] &= ~(std::uint64_t{1} << (at % slots));
    if (occupied_[at / slots] == 0) levels_in_use_ &= ~(1U << (at / slots));
  }

  // Moves the wheel's time towards `target`: a slot whose start it reaches is open, and its entries
  // move to lower levels and to the due list. So many come together at the start of a long slot
  // (with 100,000 idle flows half of them) that only a few move per call: all at once took 13 ms.
  void advance(std::uint64_t target) noexcept {
    unsigned moves = moves_per_call;
    while (true) {
      while (open_levels_ != 0 && moves != 0) {
        --moves;
        move_down(static_cast<unsigned>(std::countr_zero(open_levels_)));
      }
      if (levels_in_use_ == 0) break;
      const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
      const unsigned slot = first_slot(level);
      const std::uint64_t start = slot_start(level, slot);
      if (start > target) break;
      if ((open_levels_ >> level & 1U) != 0) return;  // time waits for it
      elapsed_ = start;
      open(level, level * slots + slot);
    }
    if (target > elapsed_) elapsed_ = target;
  }

  void open(unsigned level, unsigned at) noexcept {
    open_[level] = std::exchange(heads_[at], 0);
    open_levels_ |= 1U << level;
    mark_empty(at);
  }
  void move_down(unsigned level) noexcept {
    const std::uint32_t i = open_[level] - 1;
    open_[level] = entries_[i].next;
    if (open_[level] == 0)
      open_levels_ &= ~(1U << level);
    else
      entries_[open_[level] - 1].prev = 0;
    --armed_;
    link(i);
  }

  detail::LazyArray<Entry> entries_;
  std::array<std::uint32_t, levels * slots> heads_{};
  std::array<std::uint64_t, levels> occupied_{};
  std::uint32_t levels_in_use_ = 0;
  std::array<std::uint32_t, levels> open_{};  // per level: what is left of a slot that has begun
  std::uint32_t open_levels_ = 0;
  std::uint32_t due_ = 0;
  std::uint32_t due_count_ = 0;
  std::uint32_t armed_ = 0;
  std::uint64_t elapsed_;
};

}  // namespace proa
