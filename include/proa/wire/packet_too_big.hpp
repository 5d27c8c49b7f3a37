// L1: what the network says of a packet it could not carry: ICMP "fragmentation needed" (RFC 1191)
// and ICMPv6 "packet too big" (RFC 4443 3.2).
//
//    0             8                     IP header     UDP header
//   +-------------+---------------------+-------------+-----------------
//   | ICMP header | our IP header ...   | UDP 8 bytes | our packet ...
//   +-------------+---------------------+-------------+-----------------
#pragma once
#include <cstddef>
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/base/endpoint.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/icmpv6.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/udp.hpp>

namespace proa {

/// The packet it quotes, as far as it does. The size it names is not looked at: it is never
/// believed.
struct QuotedPacket {
  IpAddress source, destination;
  ByteView bytes;  // after the UDP header
};

namespace detail {

inline constexpr std::uint8_t fragmentation_needed = 4;  // code of "unreachable"

[[nodiscard]] inline Parsed<QuotedPacket> quoted_after(ByteView datagram, std::size_t ip_bytes,
                                                       QuotedPacket out) noexcept {
  if (datagram.size() < ip_bytes + udp_header_bytes) return dropped(Drop::truncated);
  out.bytes = datagram.subspan(ip_bytes + udp_header_bytes);
  return out;
}

}  // namespace detail

/// `message`: type "unreachable"; other codes are ignored.
[[nodiscard]] inline Parsed<QuotedPacket> parse_packet_too_big(
    const IcmpMessage& message) noexcept {
  if (message.type != IcmpType::unreachable || message.code != detail::fragmentation_needed)
    return dropped(Drop::icmp_ignored);
  const ByteView datagram = message.bytes.subspan(icmp_header_bytes);
  if (datagram.size() < ipv4_header_bytes) return dropped(Drop::truncated);
  const auto first = std::to_integer<std::uint8_t>(datagram[0]);
  const std::size_t ip_bytes = std::size_t{first & 0xfU} * 4;
  const bool ours = first >> 4U == 4 && ip_bytes >= ipv4_header_bytes &&
                    datagram[9] == static_cast<std::byte>(IpProtocol::udp);
  if (!ours) return dropped(Drop::icmp_ignored);
  return detail::quoted_after(datagram, ip_bytes,
                              {IpAddress::v4(load_be<std::uint32_t>(datagram.data() + 12)),
                               IpAddress::v4(load_be<std::uint32_t>(datagram.data() + 16)),
                               {}});
}

[[nodiscard]] inline Parsed<QuotedPacket> parse_packet_too_big(
    const Icmpv6Message& message) noexcept {
  if (message.type != Icmpv6Type::packet_too_big) return dropped(Drop::icmp_ignored);
  const ByteView datagram = message.bytes.subspan(icmpv6_header_bytes);
  if (datagram.size() < ipv6_header_bytes) return dropped(Drop::truncated);
  const bool ours = std::to_integer<std::uint8_t>(datagram[0]) >> 4U == 6 &&
                    datagram[6] == static_cast<std::byte>(IpProtocol::udp);
  if (!ours) return dropped(Drop::icmp_ignored);
  QuotedPacket out;
  for (std::size_t i = 0; i < 16; ++i) {
    out.source.octets[i] = std::to_integer<std::uint8_t>(datagram[8 + i]);
    out.destination.octets[i] = std::to_integer<std::uint8_t>(datagram[24 + i]);
  }
  return detail::quoted_after(datagram, ipv6_header_bytes, out);
}

}  // namespace proa
