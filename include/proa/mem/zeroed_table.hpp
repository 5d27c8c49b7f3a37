// L1: a table that is all zero bytes at first and takes memory only where it is used.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <proa/base/check.hpp>
#include <proa/mem/heap_region.hpp>

namespace proa {

/// `count` values of T; all-zero bytes must be a T nobody minds. May throw std::bad_alloc.
template <class T>
class ZeroedTable {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit ZeroedTable(std::size_t count) : region_(count * sizeof(T)), count_(count) {}

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] T& operator[](std::size_t index) noexcept {
    PROA_CHECK(index < count_);
    return reinterpret_cast<T*>(region_.data())[index];
  }
  [[nodiscard]] const T& operator[](std::size_t index) const noexcept {
    PROA_CHECK(index < count_);
    return reinterpret_cast<const T*>(region_.data())[index];
  }

 private:
  HeapRegion region_;
  std::size_t count_;
};

}  // namespace proa
