// L1: blocks of private memory for tables that come and go (per-flow state), without the system's
// allocator.
#pragma once
#include <cstddef>
#include <cstdint>

#include <proa/base/check.hpp>
#include <proa/mem/arena.hpp>
#include <proa/mem/heap_region.hpp>

namespace proa {

/// An Arena over private memory of its own. One per engine. Threading: none.
class ScratchPool {
 public:
  /// Address space is taken now, memory as it is touched. May throw std::bad_alloc.
  explicit ScratchPool(std::uint64_t bytes) : region_(bytes), arena_(bytes) {}
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  /// At least `bytes`, aligned to 64, with whatever bytes were there before; null when full.
  [[nodiscard]] std::byte* allocate(std::size_t bytes) noexcept {
    const auto offset = arena_.allocate(bytes);
    return offset ? region_.data() + *offset : nullptr;
  }
  /// Takes back what allocate() returned; null is ignored.
  void release(std::byte* block) noexcept {
    if (block == nullptr) return;
    PROA_CHECK(arena_.release(static_cast<std::uint64_t>(block - region_.data())));
  }

  [[nodiscard]] const Arena& arena() const noexcept { return arena_; }

 private:
  HeapRegion region_;
  Arena arena_;
};

}  // namespace proa
