// sidecar: the NIC of a machine that has none to give: its applications reach each other, and
// nobody else.
#pragma once
#include <sys/eventfd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include <proa/ipc/shm.hpp>
#include <proa/nic/nic.hpp>

namespace proa::sidecar {

/// Packets between applications of one engine take its inner way and need a pool only. What is sent
/// to others is dropped, nothing ever arrives.
class LonelyNic {
 public:
  static constexpr std::uint32_t mtu_bytes_default = 9000;  // no wire limits it

  /// May throw std::bad_alloc, or std::runtime_error without descriptors.
  explicit LonelyNic(std::uint32_t mtu_bytes)
      : frame_bytes_(mtu_bytes + 14),
        memory_(std::make_unique<std::byte[]>(std::size_t{packets} * stride())),
        silence_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!silence_)
      throw std::runtime_error{"no file descriptors left; raise the limit (ulimit -n)"};
    free_.reserve(packets);
    for (std::size_t i = 0; i < packets; ++i) free_.push_back(memory_.get() + i * stride());
  }

  [[nodiscard]] NicCapabilities capabilities() const noexcept {
    NicCapabilities out;
    out.mac = MacAddress{{0x02, 0, 0, 0, 0, 0x01}};  // locally administered
    out.frame_bytes_max = frame_bytes_;
    return out;
  }
  [[nodiscard]] NicCounters counters() const noexcept { return counters_; }
  [[nodiscard]] bool link_up() const noexcept { return true; }
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept { return 0; }
  [[nodiscard]] std::size_t allocate(std::span<Packet> out) noexcept {
    const std::size_t n = std::min(out.size(), free_.size());
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = Packet{free_.back(), 0, 0, static_cast<std::uint16_t>(frame_bytes_), free_.back()};
      free_.pop_back();
    }
    return n;
  }
  void release(std::span<Packet> packets_done) noexcept {
    for (Packet& packet : packets_done)
      if (packet) free_.push_back(static_cast<std::byte*>(packet.release_handle()));
  }
  [[nodiscard]] std::size_t rx_burst(Instant, std::span<Packet>) noexcept { return 0; }
  [[nodiscard]] std::size_t tx_burst(Instant, std::span<Packet> out) noexcept {
    counters_.tx_packets += out.size();
    for (const Packet& packet : out) counters_.tx_bytes += packet.length();
    release(out);
    return out.size();
  }
  /// One that never becomes readable: nothing has to be looked for.
  [[nodiscard]] std::size_t wait_descriptors(std::span<int> out) noexcept {
    if (out.empty()) return 0;
    out[0] = silence_.get();
    return 1;
  }
  [[nodiscard]] bool arm_wait() noexcept { return true; }
  void disarm_wait() noexcept {}

 private:
  static constexpr std::size_t packets = 512;  // the loopback queue, a burst each way, and room
  [[nodiscard]] std::size_t stride() const noexcept { return (frame_bytes_ + 63U) / 64U * 64U; }

  std::uint32_t frame_bytes_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<std::byte*> free_;
  OwnedFd silence_;
  NicCounters counters_;
};
static_assert(Nic<LonelyNic>);

}  // namespace proa::sidecar
