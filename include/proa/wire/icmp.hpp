// L1: ICMP for IPv4 (RFC 792): echo, and which messages exist beside it.
//
//    0      1      2          4                8
//   +------+------+----------+----------------+---------
//   | type | code | checksum | depends on type| data
//   +------+------+----------+----------------+---------
#pragma once
#include <cstdint>
#include <cstring>

#include <proa/base/bytes.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

inline constexpr std::size_t icmp_header_bytes = 8;

enum class IcmpType : std::uint8_t { echo_reply = 0, unreachable = 3, echo_request = 8 };

struct IcmpMessage {
  IcmpType type{};
  std::uint8_t code = 0;
  ByteView bytes;  // the whole message
};

[[nodiscard]] inline Parsed<IcmpMessage> parse_icmp(ByteView ip_payload) noexcept {
  const auto in = FixedReader<icmp_header_bytes>::over(ip_payload);
  if (!in) return dropped(Drop::truncated);
  if (internet_checksum(ip_payload) != 0) return dropped(Drop::bad_checksum);
  return IcmpMessage{static_cast<IcmpType>(in->be<std::uint8_t, 0>()), in->be<std::uint8_t, 1>(),
                     ip_payload};
}

/// RFC 792: "the source and destination addresses are simply reversed, the type code changed to 0,
/// and the checksum recomputed"; identifier, sequence number and data return unchanged. `to` has
/// the request's size.
inline void write_echo_reply(MutableBytes to, const IcmpMessage& request) noexcept {
  std::memcpy(to.data(), request.bytes.data(), request.bytes.size());
  const std::uint16_t was = load_be<std::uint16_t>(to.data() + 2);
  const std::uint16_t checksum = checksum_replace(was, 0x0800, 0x0000);
  to[0] = std::byte{0};
  // All ones count as zero in a sum of anything but zeros, and for a reply of zeros they are right.
  store_be<std::uint16_t>(to.data() + 2, checksum == 0 ? 0xffff : checksum);
}

}  // namespace proa
