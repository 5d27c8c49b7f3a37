// L1: one value in a block of a pool: state that most flows do not need most of the time.
#pragma once
#include <new>
#include <type_traits>

#include <proa/mem/scratch_pool.hpp>

namespace proa {

/// Empty until make(). The pool must outlive it. Not copyable: it owns the block.
template <class T>
class PoolBox {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  static_assert(alignof(T) <= 64, "blocks of the pool are aligned to 64 bytes");

 public:
  explicit PoolBox(ScratchPool& pool) noexcept : pool_(&pool) {}
  PoolBox(const PoolBox&) = delete;
  PoolBox& operator=(const PoolBox&) = delete;
  ~PoolBox() { drop(); }

  /// The value, or null.
  [[nodiscard]] T* get() noexcept { return value_; }
  [[nodiscard]] const T* get() const noexcept { return value_; }
  /// The value that is there, or a new T{}; null: the pool is used up.
  [[nodiscard]] T* make() noexcept {
    if (value_ != nullptr) return value_;
    std::byte* const block = pool_->allocate(sizeof(T));
    if (block == nullptr) return nullptr;
    return value_ = ::new (static_cast<void*>(block)) T{};
  }
  void drop() noexcept {
    pool_->release(reinterpret_cast<std::byte*>(value_));
    value_ = nullptr;
  }

 private:
  ScratchPool* pool_;
  T* value_ = nullptr;
};

}  // namespace proa
