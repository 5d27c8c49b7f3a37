// L3: an array sized once whose pages the system provides only when they are first touched.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace proa::detail {

struct FreeDeleter {
  void operator()(void* p) const noexcept { std::free(p); }
};

/// `size` times T, all bytes zero, beginning on a cache line: limits for 100,000 flows cost nothing
/// before the flows exist. T is what an all-zero representation makes it. Throws std::bad_alloc.
template <class T>
requires std::is_trivially_destructible_v<T>
class LazyArray {
 public:
  explicit LazyArray(std::size_t size)
      : memory_(std::calloc(1, size * sizeof(T) + alignment)), size_(size) {
    static_assert(alignof(T) <= alignment);
    if (!memory_) throw std::bad_alloc{};
    std::size_t space = size * sizeof(T) + alignment;
    void* begin = memory_.get();
    data_ = static_cast<T*>(std::align(alignment, size * sizeof(T), begin, space));
  }

  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t alignment = 64;

  std::unique_ptr<void, FreeDeleter> memory_;
  T* data_ = nullptr;
  std::size_t size_;
};

}  // namespace proa::detail
