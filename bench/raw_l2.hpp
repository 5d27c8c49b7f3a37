// bench: whole frames straight over a NIC, without any stack: the limit everything else is held to.
#pragma once
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <proa/base/time.hpp>
#include <proa/nic/nic.hpp>
#include <span>

namespace proa::bench {

/// Frames of the experimental EtherType 0x88b5 (IEEE 802 local): destination, source, type, number.
template <Nic N>
class RawLink {
 public:
  static constexpr std::size_t header_bytes = 14;
  static constexpr std::size_t number_at = 16;  // aligned, behind two bytes of padding
  static constexpr std::size_t frame_bytes_min = number_at + 8;

  explicit RawLink(N& nic, MacAddress peer = mac_broadcast) noexcept : nic_(nic) {
    std::memcpy(header_.data(), peer.octets.data(), 6);
    const auto mac = nic.capabilities().mac;
    std::memcpy(header_.data() + 6, mac.octets.data(), 6);
    header_[12] = std::byte{0x88};
    header_[13] = std::byte{0xb5};
  }
  RawLink(const RawLink&) = delete;
  RawLink& operator=(const RawLink&) = delete;

  /// Sends up to one burst of `count` frames of `bytes`; `fill(number, payload)` may write what is
  /// behind the number. Numbers go on from the last call. Returns how many were sent.
  template <class Fill>
  std::size_t send(std::size_t count, std::size_t bytes, Fill&& fill) noexcept {
    count = nic_.allocate(std::span{packets_}.first(std::min(count, packets_.size())));
    for (std::size_t i = 0; i < count; ++i) {
      packets_[i].set_length(static_cast<std::uint32_t>(bytes));
      auto frame = packets_[i].bytes();
      std::memcpy(frame.data(), header_.data(), header_bytes);
      const std::uint64_t number = next_ + i;
      std::memcpy(frame.data() + number_at, &number, sizeof number);
      fill(number, frame.subspan(frame_bytes_min));
    }
    const auto sent = count == 0 ? 0 : nic_.tx_burst(Instant{}, std::span{packets_}.first(count));
    nic_.release(std::span{packets_}.subspan(sent, count - sent));
    next_ += sent;
    return sent;
  }
  std::size_t send(std::size_t count, std::size_t bytes) noexcept {
    return send(count, bytes, [](std::uint64_t, std::span<std::byte>) {});
  }

  /// Receives one burst: `take(number, whole frame)` for each of our frames; others are dropped.
  template <class Take>
  std::size_t receive(Take&& take) noexcept {
    const auto got = nic_.rx_burst(Instant{}, packets_);
    std::size_t ours = 0;
    for (auto& packet : std::span{packets_}.first(got)) {
      const auto frame = packet.bytes();
      if (!is_ours(frame)) continue;
      std::uint64_t number = 0;
      std::memcpy(&number, frame.data() + number_at, sizeof number);
      ++ours;
      take(number, frame);
    }
    nic_.release(std::span{packets_}.first(got));
    return ours;
  }

  /// Sends back what arrives in the same buffers; returns how many frames came.
  std::size_t echo() noexcept {
    const auto got = nic_.rx_burst(Instant{}, packets_);
    std::size_t ours = 0;
    for (std::size_t i = 0; i < got; ++i) {
      if (!is_ours(packets_[i].bytes())) {
        nic_.release(std::span{packets_}.subspan(i, 1));
        continue;
      }
      std::memcpy(packets_[i].bytes().data(), header_.data(), header_bytes);
      if (ours != i) packets_[ours] = std::move(packets_[i]);
      ++ours;
    }
    std::size_t sent = 0;
    for (std::uint32_t attempt = 1; sent < ours; ++attempt) {
      sent += nic_.tx_burst(Instant{}, std::span{packets_}.subspan(sent, ours - sent));
      if (attempt % 1024 != 0) continue;
      if (!nic_.link_up()) break;  // the peer is gone: nobody will make room
      ::sched_yield();
    }
    nic_.release(std::span{packets_}.subspan(sent, ours - sent));
    return ours;
  }

  [[nodiscard]] std::uint64_t sent() const noexcept { return next_; }

 private:
  [[nodiscard]] bool is_ours(std::span<const std::byte> frame) const noexcept {
    return frame.size() >= frame_bytes_min && frame[12] == header_[12] && frame[13] == header_[13];
  }

  N& nic_;
  std::array<std::byte, header_bytes> header_{};
  std::array<Packet, 32> packets_;
  std::uint64_t next_ = 0;
};

}  // namespace proa::bench
