// L1: the ledger behind MessageMemory: which receive memory is promised, which is taken.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/mem/message_memory.hpp>

namespace proa {

/// Counts bytes in memory_cost() units. Signed: the initial credit of flows is overcommitted.
class ReceiveLedger {
 public:
  /// One flow may have an eighth of what is free, so that many share it and each of them keeps
  /// growing while there is room.
  static constexpr std::int64_t share = 8;

  explicit ReceiveLedger(std::uint64_t capacity) noexcept
      : free_(static_cast<std::int64_t>(capacity)) {}

  [[nodiscard]] std::uint32_t grant(std::uint32_t wanted) noexcept {
    if (free_ <= 0) return 0;
    const std::int64_t given =
        std::min<std::int64_t>(wanted, free_ / share) / slab_bytes_min * slab_bytes_min;
    free_ -= given;
    return static_cast<std::uint32_t>(given);
  }
  void retract(std::uint32_t bytes) noexcept { free_ += bytes; }
  void take(std::uint32_t length) noexcept { free_ -= memory_cost(length); }
  void give_back(std::uint32_t length) noexcept { free_ += memory_cost(length); }

  /// Bytes neither promised nor taken; below zero when overcommitted.
  [[nodiscard]] std::int64_t free() const noexcept { return free_; }

 private:
  std::int64_t free_;
};

}  // namespace proa
