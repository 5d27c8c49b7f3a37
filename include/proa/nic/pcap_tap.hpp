// L2: a NIC decorator that records every frame that passes, both directions, as pcapng.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <proa/nic/nic.hpp>
#include <proa/nic/pcap_sink.hpp>

namespace proa {

/// Wraps a NIC and writes what its user sends and receives to a sink, which outlives it and
/// belongs to the same thread; several taps may share one, except one inside another. Frames the
/// inner NIC refuses are not recorded. With transmit checksum offload the recorded checksums are
/// unfinished, as on any host.
template <Nic Inner>
class PcapTap {
 public:
  PcapTap(Inner inner, PcapSink& sink, std::string_view name)
      : inner_(std::move(inner)),
        sink_(&sink),
        interface_(sink.add_interface(name, inner_.capabilities().frame_bytes_max)) {}

  [[nodiscard]] Inner& inner() noexcept { return inner_; }
  [[nodiscard]] const PcapSink& sink() const noexcept { return *sink_; }

  /// As the inner NIC's, where it has one (Lossy, SimNic).
  [[nodiscard]] Instant next_event() const noexcept {
    if constexpr (requires { inner_.next_event(); })
      return inner_.next_event();
    else
      return never;
  }

  [[nodiscard]] NicCapabilities capabilities() const noexcept { return inner_.capabilities(); }
  [[nodiscard]] NicCounters counters() const noexcept { return inner_.counters(); }
  [[nodiscard]] bool link_up() const noexcept { return inner_.link_up(); }
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept {
    return inner_.link_interruptions();
  }
  std::size_t allocate(std::span<Packet> out) noexcept { return inner_.allocate(out); }
  void release(std::span<Packet> packets) noexcept { inner_.release(packets); }
  std::size_t wait_descriptors(std::span<int> out) noexcept { return inner_.wait_descriptors(out); }
  bool arm_wait() noexcept { return inner_.arm_wait(); }
  void disarm_wait() noexcept { inner_.disarm_wait(); }

  std::size_t rx_burst(Instant now, std::span<Packet> out) noexcept {
    const std::size_t n = inner_.rx_burst(now, out);
    for (const auto& packet : out.first(n))
      sink_->add(now, interface_, CaptureDirection::inbound, packet.bytes());
    if (n > 0) sink_->write_some();
    return n;
  }

  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    std::size_t sent = 0;
    while (sent < packets.size()) {
      const auto part = packets.subspan(sent, std::min(at_once, packets.size() - sent));
      const std::size_t n = tx_part(now, part);
      sent += n;
      if (n < part.size()) break;
    }
    return sent;
  }

 private:
  static constexpr std::size_t at_once = 64;

  /// The bytes are gone once the inner NIC has them: record all, then take back what it refused.
  std::size_t tx_part(Instant now, std::span<Packet> packets) noexcept {
    std::array<PcapSink::Mark, at_once + 1> marks;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      marks[i] = sink_->mark();
      sink_->add(now, interface_, CaptureDirection::outbound, std::as_const(packets[i]).bytes());
    }
    marks[packets.size()] = sink_->mark();
    const std::size_t n = inner_.tx_burst(now, packets);
    if (n < packets.size()) sink_->rewind(marks[n]);
    if (n > 0) sink_->write_some();
    return n;
  }

  Inner inner_;
  PcapSink* sink_;
  std::uint32_t interface_;
};

}  // namespace proa
