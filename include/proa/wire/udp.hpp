// L1: the UDP header (RFC 768).
//
//    0             2                  4        6          8
//   +-------------+------------------+--------+----------+---------
//   | source port | destination port | length | checksum | payload
//   +-------------+------------------+--------+----------+---------
#pragma once
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ip.hpp>

namespace proa {

inline constexpr std::size_t udp_header_bytes = 8;

/// Which path a packet takes, as far as the sender can choose.
struct UdpPorts {
  std::uint16_t source = 0;
  std::uint16_t destination = 0;
  friend constexpr bool operator==(UdpPorts, UdpPorts) = default;
};

struct UdpDatagram {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t checksum = 0;  // 0: the sender computed none
  ByteView bytes;              // header and payload, as the checksum covers them
  [[nodiscard]] ByteView payload() const noexcept { return bytes.subspan(udp_header_bytes); }
};

/// Checks lengths only; `udp_checksum_ok` is a separate step because NICs may have done it.
[[nodiscard]] inline Parsed<UdpDatagram> parse_udp(ByteView ip_payload) noexcept {
  const auto in = FixedReader<udp_header_bytes>::over(ip_payload);
  if (!in) return dropped(Drop::truncated);
  const std::size_t length = in->be<std::uint16_t, 4>();
  if (length < udp_header_bytes || length > ip_payload.size()) return dropped(Drop::bad_length);
  UdpDatagram out;
  out.source_port = in->be<std::uint16_t, 0>();
  out.destination_port = in->be<std::uint16_t, 2>();
  out.checksum = in->be<std::uint16_t, 6>();
  out.bytes = ip_payload.first(length);
  return out;
}

/// RFC 768: "An all zero transmitted checksum value means that the transmitter generated no
/// checksum". RFC 8200 (8.1): over IPv6 that is an error.
[[nodiscard]] inline bool udp_checksum_ok(const IpAddress& source, const IpAddress& destination,
                                          const UdpDatagram& udp) noexcept {
  if (udp.checksum == 0) return source.is_v4();
  InternetChecksum sum;
  add_pseudo_header(sum, source, destination, static_cast<std::uint8_t>(IpProtocol::udp),
                    static_cast<std::uint32_t>(udp.bytes.size()));
  sum.add(udp.bytes);
  return sum.finish() == 0;
}

/// RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
[[nodiscard]] constexpr std::uint16_t udp_checksum_on_wire(std::uint16_t computed) noexcept {
  return computed == 0 ? 0xffff : computed;
}

}  // namespace proa
