// L0: a first-in first-out queue whose room is allocated once.
#pragma once
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

#include <proa/base/check.hpp>

namespace proa {

/// Holds at least `capacity` values of T (rounded up to a power of two) and never allocates again.
/// Threading: none; belongs to one thread.
template <class T>
class FixedRing {
 public:
  explicit FixedRing(std::size_t capacity)
      : slots_(std::make_unique<T[]>(std::bit_ceil(capacity < 1 ? std::size_t{1} : capacity))),
        mask_(std::bit_ceil(capacity < 1 ? std::size_t{1} : capacity) - 1) {}

  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }
  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] bool full() const noexcept { return size() == capacity(); }

  /// False when full: the value stays the caller's.
  [[nodiscard]] bool push(T&& value) noexcept {
    if (full()) return false;
    slots_[tail_++ & mask_] = std::move(value);
    return true;
  }
  [[nodiscard]] bool push(const T& value) noexcept { return push(T{value}); }

  /// The oldest value; the ring is not empty.
  [[nodiscard]] T& front() noexcept {
    PROA_CHECK(!empty());
    return slots_[head_ & mask_];
  }
  /// The newest value; the ring is not empty.
  [[nodiscard]] T& back() noexcept {
    PROA_CHECK(!empty());
    return slots_[(tail_ - 1) & mask_];
  }
  /// The value `index` places after the oldest.
  [[nodiscard]] T& operator[](std::size_t index) noexcept {
    PROA_CHECK(index < size());
    return slots_[(head_ + index) & mask_];
  }
  /// Removes and returns the oldest value; the ring is not empty.
  T pop() noexcept {
    PROA_CHECK(!empty());
    return std::exchange(slots_[head_++ & mask_], T{});
  }
  void clear() noexcept {
    while (!empty()) static_cast<void>(pop());
  }

 private:
  std::unique_ptr<T[]> slots_;
  std::size_t mask_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace proa
