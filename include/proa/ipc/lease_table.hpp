// L2: which received messages the application of a channel holds.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include <proa/ipc/layout.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/mem/zeroed_table.hpp>

namespace proa {

/// Names lent blocks by index and generation; private to the sidecar. A name that is not of a block
/// lent now (returned twice, invented) finds nothing. Threading: none.
class LeaseTable {
 public:
  explicit LeaseTable(std::uint32_t leases_max) : leases_(leases_max) { free_.reserve(leases_max); }

  [[nodiscard]] bool full() const noexcept { return free_.empty() && fresh_ == leases_.size(); }
  [[nodiscard]] std::uint32_t lent() const noexcept {
    return fresh_ - static_cast<std::uint32_t>(free_.size());
  }

  /// The table is not full.
  [[nodiscard]] LeaseName lend(const MessageBlock& block) noexcept {
    std::uint32_t index = fresh_;
    if (free_.empty()) {
      ++fresh_;
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Lease& lease = leases_[index];
    lease.block = block;
    lease.lent = 1;
    return {index, ++lease.generation};
  }

  /// Ends the lease; nothing when there is no such lease now.
  [[nodiscard]] std::optional<MessageBlock> take_back(LeaseName name) noexcept {
    if (name.index >= fresh_) return std::nullopt;
    Lease& lease = leases_[name.index];
    if (lease.lent == 0 || lease.generation != name.generation) return std::nullopt;
    lease.lent = 0;
    free_.push_back(name.index);  // within what the constructor reserved
    return lease.block;
  }

  /// Ends every lease: calls back(block) for each.
  template <class Back>
  void take_back_all(Back&& back) noexcept {
    for (std::uint32_t index = 0; index < fresh_; ++index) {
      Lease& lease = leases_[index];
      if (lease.lent == 0) continue;
      lease.lent = 0;
      free_.push_back(index);
      back(lease.block);
    }
  }

 private:
  struct Lease {
    MessageBlock block;
    std::uint32_t generation = 0;
    std::uint32_t lent = 0;
  };
  ZeroedTable<Lease> leases_;
  std::vector<std::uint32_t> free_;
  std::uint32_t fresh_ = 0;
};

}  // namespace proa
