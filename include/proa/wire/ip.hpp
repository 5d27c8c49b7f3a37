// L1: the IPv4 header (RFC 791), and what both IP versions have in common.
//
//    0        1          2              4    6            8     9       10         12       16
//   +--------+----------+--------------+----+------------+-----+-------+----------+--------+------
//   | 4, IHL | DSCP,ECN | total length | id | flags,frag | TTL | proto | checksum | source | dest
//   +--------+----------+--------------+----+------------+-----+-------+----------+--------+------
#pragma once
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

inline constexpr std::size_t ipv4_header_bytes = 20;  // as Proa sends it: no options
inline constexpr std::uint8_t ip_hops = 64;  // RFC 1700: TTL and hop limit of what Proa sends

enum class IpProtocol : std::uint8_t { icmp = 1, udp = 17, icmpv6 = 58 };

/// RFC 3168: the two low bits of the traffic class.
enum class Ecn : std::uint8_t { not_capable = 0, capable_1 = 1, capable = 2, experienced = 3 };

struct IpPacket {
  IpAddress source, destination;
  std::uint8_t protocol = 0;  // of the payload; IPv6: behind the extension headers
  std::uint8_t hops = 0;
  Ecn ecn = Ecn::not_capable;
  ByteView payload;  // without padding of the link
};

/// Whether the caller already knows the IPv4 header checksum to be right (from the NIC).
enum class HeaderChecksum : bool { verify, known_good };

[[nodiscard]] inline Parsed<IpPacket> parse_ipv4(
    ByteView bytes, HeaderChecksum checksum = HeaderChecksum::verify) noexcept {
  const auto in = FixedReader<ipv4_header_bytes>::over(bytes);
  if (!in) return dropped(Drop::truncated);
  const auto first = in->be<std::uint8_t, 0>();
  const std::size_t header_bytes = (first & 0xfU) * 4U;
  const std::size_t total_bytes = in->be<std::uint16_t, 2>();
  if ((first >> 4) != 4 || header_bytes < ipv4_header_bytes || total_bytes < header_bytes)
    return dropped(Drop::bad_ip_header);
  if (total_bytes > bytes.size()) return dropped(Drop::truncated);
  // RFC 1122 (3.2.1.2): a host MUST verify the header checksum and silently discard bad ones.
  if (checksum == HeaderChecksum::verify && internet_checksum(bytes.first(header_bytes)) != 0)
    return dropped(Drop::bad_checksum);
  if ((in->be<std::uint16_t, 6>() & 0x3fffU) != 0)  // more fragments, or not the first
    return dropped(Drop::ip_fragment);
  IpPacket out;
  out.ecn = static_cast<Ecn>(in->be<std::uint8_t, 1>() & 3U);
  out.hops = in->be<std::uint8_t, 8>();
  out.protocol = in->be<std::uint8_t, 9>();
  out.source = IpAddress::v4(in->be<std::uint32_t, 12>());
  out.destination = IpAddress::v4(in->be<std::uint32_t, 16>());
  out.payload = bytes.subspan(header_bytes, total_bytes - header_bytes);
  return out;
}

struct IpFields {
  IpAddress source, destination;
  IpProtocol protocol = IpProtocol::udp;
  Ecn ecn = Ecn::not_capable;
  std::uint16_t payload_bytes = 0;
  std::uint8_t hops = ip_hops;
};

/// A complete header. DF is always set, so the identification may be 0 (RFC 6864 4.1).
inline void write_ipv4(std::span<std::byte, ipv4_header_bytes> to,
                       const IpFields& fields) noexcept {
  const FixedWriter<ipv4_header_bytes> out{to};
  out.be<0, std::uint8_t>(0x45);
  out.be<1>(static_cast<std::uint8_t>(fields.ecn));
  out.be<2>(static_cast<std::uint16_t>(ipv4_header_bytes + fields.payload_bytes));
  out.be<4, std::uint16_t>(0);
  out.be<6, std::uint16_t>(0x4000);
  out.be<8>(fields.hops);
  out.be<9>(static_cast<std::uint8_t>(fields.protocol));
  out.be<10, std::uint16_t>(0);
  out.be<12>(fields.source.to_v4());
  out.be<16>(fields.destination.to_v4());
  out.be<10>(internet_checksum(to));
}

}  // namespace proa
