// L3: empty packets ready to be filled and filled ones the NIC has not taken yet.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <proa/base/time.hpp>
#include <proa/mem/packet.hpp>
#include <proa/nic/nic.hpp>

namespace proa {

/// Allocates from the NIC in bulk and hands over in bursts; what the NIC refuses stays first in
/// line for the next burst, so nothing is lost and nothing overtakes.
template <Nic NicT>
class TxQueue {
 public:
  static constexpr std::size_t capacity = 64;

  explicit TxQueue(NicT& nic) noexcept : nic_(&nic) {}
  TxQueue(const TxQueue&) = delete;
  TxQueue& operator=(const TxQueue&) = delete;
  ~TxQueue() {
    nic_->release(std::span{filled_}.first(filled_count_));
    nic_->release(std::span{empty_}.first(empty_count_));
  }

  /// An empty packet to fill, or null: the NIC takes no more, or its pool is used up. The same one
  /// until commit().
  [[nodiscard]] Packet* next(Instant now) noexcept {
    if (filled_count_ == capacity) {
      flush(now);
      if (filled_count_ == capacity) return nullptr;
    }
    if (empty_count_ == 0) {
      empty_count_ = nic_->allocate(std::span{empty_});
      if (empty_count_ == 0) {
        ++pool_empty_;
        return nullptr;
      }
    }
    return &empty_[empty_count_ - 1];
  }

  /// The packet next() returned is complete.
  void commit() noexcept { filled_[filled_count_++] = std::move(empty_[--empty_count_]); }

  /// The last packet that was completed, and is still waiting, is empty again.
  void take_back() noexcept { empty_[empty_count_++] = std::move(filled_[--filled_count_]); }

  /// Takes the packet next() returned out of the queue: the caller owns it.
  [[nodiscard]] Packet take() noexcept { return std::move(empty_[--empty_count_]); }

  /// Hands over what is filled; true when the NIC took everything.
  bool flush(Instant now) noexcept {
    std::size_t taken = 0;
    while (taken < filled_count_) {
      const std::size_t burst = std::min(burst_packets, filled_count_ - taken);
      const std::size_t accepted = nic_->tx_burst(now, std::span{filled_}.subspan(taken, burst));
      taken += accepted;
      if (accepted == burst) continue;
      ++ring_full_;
      break;
    }
    if (taken != 0 && taken < filled_count_)
      std::move(filled_.begin() + static_cast<std::ptrdiff_t>(taken),
                filled_.begin() + static_cast<std::ptrdiff_t>(filled_count_), filled_.begin());
    filled_count_ -= taken;
    sent_ += taken;
    return filled_count_ == 0;
  }

  [[nodiscard]] std::size_t waiting() const noexcept { return filled_count_; }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  [[nodiscard]] std::uint64_t ring_full() const noexcept { return ring_full_; }
  [[nodiscard]] std::uint64_t pool_empty() const noexcept { return pool_empty_; }

 private:
  static constexpr std::size_t allocated_at_once = 32;
  static constexpr std::size_t burst_packets = 32;  // what every driver takes at once

  NicT* nic_;
  std::array<Packet, allocated_at_once> empty_;
  std::array<Packet, capacity> filled_;
  std::size_t empty_count_ = 0;
  std::size_t filled_count_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t ring_full_ = 0;
  std::uint64_t pool_empty_ = 0;
};

}  // namespace proa
