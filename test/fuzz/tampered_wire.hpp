// Fuzzing: what is under way between two hosts, and what the input does to it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include <proa/base/time.hpp>

#include "input.hpp"

namespace proa::fuzz {

struct Datagram {
  std::uint32_t to = 0;
  Instant at{};          // when it arrives once the network is well
  bool corrupt = false;  // one byte differs from what was sent
  std::vector<std::byte> bytes;
};

/// In the order of sending, unless swapped. Bounded: beyond that the network drops.
class TamperedWire {
 public:
  [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }
  [[nodiscard]] Datagram& operator[](std::size_t i) noexcept { return queue_[i]; }
  [[nodiscard]] Instant next() const noexcept { return queue_.empty() ? never : queue_.front().at; }
  [[nodiscard]] std::size_t pick(Input& in) const noexcept { return in.below(queue_.size()); }

  void send(Datagram datagram) {
    if (queue_.size() < under_way_max) queue_.push_back(std::move(datagram));
  }
  [[nodiscard]] Datagram take(std::size_t i) {
    Datagram out = std::move(queue_[i]);
    drop(i);
    return out;
  }
  void drop(std::size_t i) {
    if (i < queue_.size()) queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  void duplicate(std::size_t i) {
    if (i < queue_.size()) send(Datagram{queue_[i]});
  }
  void swap(std::size_t a, std::size_t b) {
    if (a < queue_.size() && b < queue_.size()) std::swap(queue_[a], queue_[b]);
  }
  /// Changes one byte at or behind `from`, once: a burst of 8 bits, which every CRC finds.
  void corrupt(std::size_t i, std::size_t from, Input& in) {
    const std::size_t where = in.number<std::uint16_t>();
    const auto how = static_cast<std::byte>(in.byte() | 1U);
    if (i >= queue_.size() || queue_[i].corrupt || queue_[i].bytes.size() <= from) return;
    auto& bytes = queue_[i].bytes;
    bytes[from + where % (bytes.size() - from)] ^= how;
    queue_[i].corrupt = true;
  }
  /// Overwrites a few bytes near the beginning, where the fields are.
  void overwrite(std::size_t i, Input& in) {
    auto& bytes = queue_[i].bytes;
    for (auto n = 1 + in.below(8); n > 0; --n) {
      const std::size_t where = in.byte();
      const auto value = static_cast<std::byte>(in.byte());
      if (where < bytes.size()) bytes[where] = value;
    }
  }
  /// From now on everything arrives, in this order.
  void heal(Instant at) {
    for (auto& datagram : queue_) datagram.at = at;
  }

 private:
  static constexpr std::size_t under_way_max = 2'000;
  std::deque<Datagram> queue_;
};

}  // namespace proa::fuzz
