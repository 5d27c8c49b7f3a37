// L3: how much of a queue has been read by one who may never get to its end.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// Whoever finds a queue empty has read everything. Under overload that never happens, but the
/// queue is finite: what lay in it at some time has been read once as many packets as it holds were
/// read after that.
class ReadProgress {
 public:
  /// `capacity`: the most packets that can lie unread in the queue.
  ReadProgress(std::uint32_t capacity, Instant now) noexcept
      : read_until_(now), capacity_(std::max(capacity, 1U)) {}

  /// What came until then has been read. While the end is not seen it lies at most as far back as
  /// reading twice the queue's capacity has taken.
  [[nodiscard]] Instant read_until() const noexcept { return read_until_; }

  /// The reader has seen the end.
  void note_end(Instant now) noexcept {
    read_until_ = now;
    to_catch_up_ = 0;
  }
  /// It is known from elsewhere that nothing lay there before `at`.
  void note_empty_until(Instant at) noexcept { read_until_ = std::max(read_until_, at); }
  /// The reader has read `count` packets and has not seen the end.
  void note_more(std::uint32_t count, Instant now) noexcept {
    to_catch_up_ -= std::min(to_catch_up_, count);
    const bool marked = mark_ >= read_until_;
    if (marked && count < to_mark_) {
      to_mark_ -= count;
      return;
    }
    if (marked) read_until_ = mark_;
    mark_ = now;
    to_mark_ = capacity_;
  }

  /// From now on the reader catches up with what lies there.
  void begin_catching_up() noexcept { to_catch_up_ = capacity_; }
  /// Some of that may still lie there.
  [[nodiscard]] bool catching_up() const noexcept { return to_catch_up_ != 0; }

 private:
  Instant read_until_;
  std::uint32_t to_catch_up_ = 0;  // packets, until it has caught up
  std::uint32_t to_mark_ = 0;      // packets, until everything from before mark_ has been read
  Instant mark_ = Instant::min();  // before read_until_: there is none
  std::uint32_t capacity_;
};

}  // namespace proa
