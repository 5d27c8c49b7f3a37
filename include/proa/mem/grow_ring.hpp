// L1: a ring that grows by doubling out of a pool, so that idle flows hold nothing.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <proa/base/check.hpp>
#include <proa/mem/scratch_pool.hpp>

namespace proa {

inline constexpr std::uint32_t ring_capacity_max = 1U << 16U;

/// A double-ended queue of trivially copyable values with random access. Storage is one contiguous
/// power of two from the pool, which must outlive the ring, of ring_capacity_max at most. Growing
/// is the only thing that can fail, and says so. Not copyable: it owns its storage.
template <class T>
class GrowRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  GrowRing(ScratchPool& pool, std::uint32_t capacity_max) noexcept
      : pool_(&pool), limit_log2_(log2(std::min(capacity_max, ring_capacity_max)) & 0xffU) {}
  GrowRing(const GrowRing&) = delete;
  GrowRing& operator=(const GrowRing&) = delete;
  ~GrowRing() { release_storage(); }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == limit(); }
  /// The most elements there can be.
  [[nodiscard]] std::uint32_t limit() const noexcept { return 1U << limit_log2_; }

  [[nodiscard]] T& operator[](std::uint32_t i) noexcept { return data_[(head_ + i) & mask_]; }
  [[nodiscard]] const T& operator[](std::uint32_t i) const noexcept {
    return data_[(head_ + i) & mask_];
  }
  [[nodiscard]] T& front() noexcept { return data_[head_]; }
  [[nodiscard]] const T& front() const noexcept { return data_[head_]; }
  [[nodiscard]] T& back() noexcept { return (*this)[size_ - 1]; }
  [[nodiscard]] const T& back() const noexcept { return (*this)[size_ - 1]; }

  /// False: at its limit or the pool is used up; nothing changed.
  [[nodiscard]] bool push_back(const T& value) noexcept {
    if (size_ == capacity() && !grow()) return false;
    data_[(head_ + size_++) & mask_] = value;
    return true;
  }
  /// Like push_back(), but hands out the place: it holds whatever was there before.
  [[nodiscard]] T* append() noexcept {
    if (size_ == capacity() && !grow()) return nullptr;
    return &data_[(head_ + size_++) & mask_];
  }
  void pop_front() noexcept {
    move_head(1);
    --size_;
  }
  void pop_back() noexcept { --size_; }

  /// Room for one more, so that the next push_back cannot fail.
  [[nodiscard]] bool make_room() noexcept { return size_ < capacity() || grow(); }

  [[nodiscard]] bool insert(std::uint32_t at, const T& value) noexcept {
    if (!make_room()) return false;
    ++size_;
    for (std::uint32_t i = size_ - 1; i > at; --i) (*this)[i] = (*this)[i - 1];
    (*this)[at] = value;
    return true;
  }
  /// Removes the elements [from, to).
  void erase(std::uint32_t from, std::uint32_t to) noexcept {
    if (from == 0) {
      move_head(to);
    } else {
      for (std::uint32_t i = to; i < size_; ++i) (*this)[from + i - to] = (*this)[i];
    }
    size_ = (size_ - (to - from)) & 0xff'ffffU;
  }
  void clear() noexcept {
    head_ = 0;
    size_ = 0;
  }

  /// Gives the storage of an empty ring back to the pool.
  void trim() noexcept {
    if (size_ == 0) release_storage();
  }
  [[nodiscard]] std::uint32_t storage_bytes() const noexcept {
    return capacity() * static_cast<std::uint32_t>(sizeof(T));
  }

 private:
  static constexpr std::uint32_t first_capacity =
      std::bit_floor(sizeof(T) >= 512 ? 1U : static_cast<std::uint32_t>(512 / sizeof(T)));

  static constexpr unsigned log2(std::uint32_t capacity) noexcept {
    return static_cast<unsigned>(std::bit_width(std::bit_ceil(capacity))) - 1;
  }
  [[nodiscard]] std::uint32_t capacity() const noexcept {
    return data_ == nullptr ? 0 : mask_ + 1U;
  }
  void move_head(std::uint32_t by) noexcept {
    head_ = static_cast<std::uint16_t>((head_ + by) & mask_);
  }

  [[gnu::noinline]] bool grow() noexcept {
    const std::uint32_t before = capacity();
    if (before >= limit()) return false;
    const std::uint32_t wanted = std::min(before == 0 ? first_capacity : before * 2, limit());
    std::byte* fresh = pool_->allocate(wanted * sizeof(T));
    if (fresh == nullptr) return false;
    T* to = reinterpret_cast<T*>(fresh);
    const std::uint32_t until_wrap = size_ < before - head_ ? size_ : before - head_;
    if (size_ != 0) {
      std::memcpy(to, data_ + head_, until_wrap * sizeof(T));
      std::memcpy(to + until_wrap, data_, (size_ - until_wrap) * sizeof(T));
    }
    if (data_ != nullptr) pool_->release(reinterpret_cast<std::byte*>(data_));
    data_ = to;
    mask_ = static_cast<std::uint16_t>(wanted - 1);
    head_ = 0;
    return true;
  }
  void release_storage() noexcept {
    if (data_ != nullptr) pool_->release(reinterpret_cast<std::byte*>(data_));
    data_ = nullptr;
    mask_ = head_ = 0;
    size_ = 0;
  }

  ScratchPool* pool_;
  T* data_ = nullptr;
  // Six of these lie in every idle flow: narrow.
  std::uint16_t mask_ = 0;  // capacity - 1, once there is storage
  std::uint16_t head_ = 0;
  std::uint32_t size_ : 24 = 0;
  std::uint32_t limit_log2_ : 8;
};

}  // namespace proa
