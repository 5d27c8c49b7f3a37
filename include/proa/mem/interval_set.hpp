// L1: a set of 64-bit positions kept as disjoint, non-adjacent, ascending ranges.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/mem/grow_ring.hpp>

namespace proa {

/// The positions begin, begin + 1 ... end - 1.
struct Interval {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  friend constexpr bool operator==(const Interval&, const Interval&) = default;
};

/// Adding merges what touches; removing splits what it cuts. Both can need one more range than
/// there is room for: then they change nothing and return false.
class IntervalSet {
 public:
  IntervalSet(ScratchPool& pool, std::uint32_t ranges_max) noexcept : ranges_(pool, ranges_max) {}

  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }
  [[nodiscard]] std::uint32_t count() const noexcept { return ranges_.size(); }
  [[nodiscard]] const Interval& front() const noexcept { return ranges_.front(); }
  [[nodiscard]] const Interval& operator[](std::uint32_t i) const noexcept { return ranges_[i]; }

  [[nodiscard]] bool contains(Interval range) const noexcept {
    if (empty() || ranges_.back().end <= range.begin) return false;  // the common case: in order
    const std::uint32_t i = first_ending_after(range.begin);
    return i < ranges_.size() && ranges_[i].begin <= range.begin && range.end <= ranges_[i].end;
  }

  [[nodiscard]] bool add(Interval range) noexcept {
    if (range.begin >= range.end) return true;
    if (!ranges_.empty() && ranges_.back().end == range.begin) {  // the common case: in order
      ranges_.back().end = range.end;
      return true;
    }
    const std::uint32_t first = first_ending_at_or_after(range.begin);
    std::uint32_t last = first;
    while (last < ranges_.size() && ranges_[last].begin <= range.end) ++last;
    if (first == last) return ranges_.insert(first, range);
    ranges_[first].begin = std::min(ranges_[first].begin, range.begin);
    ranges_[first].end = std::max(ranges_[last - 1].end, range.end);
    ranges_.erase(first + 1, last);
    return true;
  }

  [[nodiscard]] bool remove(Interval range) noexcept {
    if (range.begin >= range.end) return true;
    std::uint32_t i = first_ending_after(range.begin);
    if (i < ranges_.size() && ranges_[i].begin < range.begin && ranges_[i].end > range.end) {
      const Interval tail{range.end, ranges_[i].end};
      if (!ranges_.insert(i + 1, tail)) return false;
      ranges_[i].end = range.begin;
      return true;
    }
    if (i < ranges_.size() && ranges_[i].begin < range.begin) ranges_[i++].end = range.begin;
    std::uint32_t last = i;
    while (last < ranges_.size() && ranges_[last].end <= range.end) ++last;
    if (last < ranges_.size() && ranges_[last].begin < range.end) ranges_[last].begin = range.end;
    if (i != last) ranges_.erase(i, last);
    return true;
  }

  /// Forgets every position below `limit`.
  void drop_below(std::uint64_t limit) noexcept {
    while (!ranges_.empty() && ranges_.front().end <= limit) ranges_.pop_front();
    if (!ranges_.empty() && ranges_.front().begin < limit) ranges_.front().begin = limit;
  }
  void clear() noexcept { ranges_.clear(); }
  void trim() noexcept { ranges_.trim(); }

  [[nodiscard]] const char* broken_invariant() const noexcept {
    for (std::uint32_t i = 0; i < ranges_.size(); ++i) {
      if (ranges_[i].begin >= ranges_[i].end) return "an empty range in an interval set";
      if (i > 0 && ranges_[i - 1].end >= ranges_[i].begin) return "touching ranges not merged";
    }
    return nullptr;
  }

 private:
  [[nodiscard]] std::uint32_t first_ending_at_or_after(std::uint64_t position) const noexcept {
    std::uint32_t low = 0;
    std::uint32_t high = ranges_.size();
    while (low < high) {
      const std::uint32_t middle = (low + high) / 2;
      if (ranges_[middle].end < position)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
  [[nodiscard]] std::uint32_t first_ending_after(std::uint64_t position) const noexcept {
    return first_ending_at_or_after(position + 1);
  }

  GrowRing<Interval> ranges_;
};

}  // namespace proa
