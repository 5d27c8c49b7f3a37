// Simulation, second level: which flows' RESETs reach an engine whole: the proof behind an excuse.
#pragma once
#include <cstdint>
#include <set>
#include <span>
#include <utility>

#include <proa/nic/nic.hpp>
#include <proa/transport/integrity.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/frames.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/udp.hpp>

namespace proa::sim {

/// The flow id a frame's RESET is for; 0: it carries none, or is not whole.
[[nodiscard]] inline std::uint32_t reset_in(ByteView frame) noexcept {
  const auto link = parse_ethernet(frame);
  if (!link || link->type == EtherType::arp) return 0;
  const auto ip =
      link->type == EtherType::ipv6 ? parse_ipv6(link->payload) : parse_ipv4(link->payload);
  if (!ip || ip->protocol != static_cast<std::uint8_t>(IpProtocol::udp)) return 0;
  const auto udp = parse_udp(ip->payload);
  PacketHeader header;
  if (!udp || PacketHeader::parse(udp->payload(), header) != Drop::none) return 0;
  const ByteView packet = Crc32c::open(udp->payload());
  if (header.type != PacketType::data || packet.empty()) return 0;
  FrameReader reader{packet.subspan(PacketHeader::size)};
  AckBits bits;
  if (!reader.take_ack(bits)) return 0;
  for (Frame one; reader.next(one);)
    if (one.type == FrameType::reset) return header.destination_flow;
  return 0;
}

/// A NIC decorator that remembers for which flows a RESET was received.
template <Nic Inner>
class ResetWatch : public Inner {
 public:
  explicit ResetWatch(Inner inner) : Inner(std::move(inner)) {}

  std::size_t rx_burst(Instant now, std::span<Packet> out) noexcept {
    const std::size_t n = Inner::rx_burst(now, out);
    for (const Packet& packet : out.first(n))
      if (const std::uint32_t flow = reset_in(packet.bytes()); flow != 0) resets_.insert(flow);
    return n;
  }
  [[nodiscard]] bool saw_reset_of(std::uint32_t flow) const { return resets_.contains(flow); }

 private:
  std::set<std::uint32_t> resets_;
};

}  // namespace proa::sim
