// L2: a path that has become smaller swallows large packets (RFC 8899 4.3), as pure counting.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/transport/path_mtu.hpp>

namespace proa {

/// Three packets lost, each larger than all that arrived since the first of them: the path carries
/// no such size any more. Any one of those sizes that arrives proves the opposite. What is lost at
/// random is rarely three times the largest in a row.
class BlackHole {
 public:
  explicit BlackHole(std::uint32_t packet_bytes) noexcept { on_packet_size(packet_bytes); }

  /// Packets hold that much from now on: what is lost of larger ones says nothing new.
  void on_packet_size(std::uint32_t bytes) noexcept {
    packet_bytes_ = bytes;
    clear();
  }
  void on_arrival(std::uint16_t bytes) noexcept {
    largest_arrived_ = std::max(largest_arrived_, bytes);
    if (bytes >= smallest_lost_) clear();
  }
  /// No probe of a size; and none as large arrived that was sent later.
  void on_loss(std::uint16_t bytes) noexcept {
    if (lost_ == 0) largest_arrived_ = path_bytes_base;
    if (bytes <= largest_arrived_ || bytes > packet_bytes_) return;
    smallest_lost_ = std::min(smallest_lost_, bytes);
    if (lost_ < losses_enough) ++lost_;
  }
  [[nodiscard]] bool found() const noexcept { return lost_ >= losses_enough; }
  /// One more would do.
  [[nodiscard]] bool near() const noexcept { return lost_ + 1U >= losses_enough; }

 private:
  static constexpr std::uint8_t losses_enough = 3;  // as RFC 8899 5.1.2 has it for probes

  void clear() noexcept {
    lost_ = 0;
    smallest_lost_ = 0xffff;
  }

  std::uint32_t packet_bytes_ = 0;
  std::uint16_t largest_arrived_ = 0;  // since the first of the lost
  std::uint16_t smallest_lost_ = 0xffff;
  std::uint8_t lost_ = 0;
};

}  // namespace proa
