// L1: the IPv6 header and the extension headers a host must get past (RFC 8200).
//
//    0                      4                6      7           8             24
//   +----------------------+----------------+------+-----------+-------------+------------------
//   | 6, class, flow label | payload length | next | hop limit | source (16) | destination (16)
//   +----------------------+----------------+------+-----------+-------------+------------------
#pragma once
#include <cstdint>
#include <cstring>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ip.hpp>

namespace proa {

inline constexpr std::size_t ipv6_header_bytes = 40;
inline constexpr std::uint32_t ipv6_mtu_bytes_min = 1280;  // RFC 8200 (5)

namespace detail {

enum class Ipv6Extension : std::uint8_t {
  hop_by_hop = 0,
  routing = 43,
  fragment = 44,
  no_next_header = 59,
  destination_options = 60,
};

/// RFC 8200 (4.2): the two highest bits of an option's type say what to do with one nobody knows;
/// only 00 means "skip over this option". All options here are such, known or not.
[[nodiscard]] inline bool options_may_be_skipped(ByteView options) noexcept {
  std::size_t at = 0;
  while (at < options.size()) {
    const auto type = std::to_integer<unsigned>(options[at]);
    if (type == 0) {  // Pad1
      ++at;
      continue;
    }
    if ((type >> 6U) != 0 || at + 2 > options.size()) return false;
    at += 2 + std::to_integer<std::size_t>(options[at + 1]);
  }
  return at == options.size();
}

/// One extension header at the start of `rest`, whose kind `next` names. Moves both on; anything
/// but `none` means the packet is refused.
[[nodiscard]] inline Drop skip_extension(std::uint8_t& next, ByteView& rest) noexcept {
  if (rest.size() < 8) return Drop::truncated;
  const auto kind = static_cast<Ipv6Extension>(next);
  const bool fragment = kind == Ipv6Extension::fragment;
  const std::size_t bytes = fragment ? 8 : (1 + std::to_integer<std::size_t>(rest[1])) * 8;
  if (bytes > rest.size()) return Drop::truncated;
  // RFC 6946 (4): offset 0 and no more fragments is a whole packet.
  if (fragment && (load_be<std::uint16_t>(rest.data() + 2) & 0xfff9U) != 0)
    return Drop::ip_fragment;
  // RFC 8200 (4.4): with no segments left a routing header is ignored, whatever its type.
  if (kind == Ipv6Extension::routing && rest[3] != std::byte{0}) return Drop::ip_extension;
  if (!fragment && kind != Ipv6Extension::routing &&
      !options_may_be_skipped(rest.subspan(2, bytes - 2)))
    return Drop::ip_extension;
  next = std::to_integer<std::uint8_t>(rest[0]);
  rest = rest.subspan(bytes);
  return Drop::none;
}

}  // namespace detail

[[nodiscard]] inline IpAddress load_ipv6(std::span<const std::byte, 16> from) noexcept {
  IpAddress a;
  std::memcpy(a.octets.data(), from.data(), 16);
  return a;
}

/// Goes past hop-by-hop options (first only, RFC 8200 4.1), destination options, used-up routing
/// headers and fragment headers of whole packets.
[[nodiscard]] inline Drop skip_extensions(std::uint8_t& next, ByteView& rest) noexcept {
  constexpr int extensions_max = 4;  // more than any honest sender puts there
  for (int n = 0; n < extensions_max; ++n) {
    switch (static_cast<detail::Ipv6Extension>(next)) {
      case detail::Ipv6Extension::hop_by_hop:
        if (n > 0) return Drop::ip_extension;
        [[fallthrough]];
      case detail::Ipv6Extension::destination_options:
      case detail::Ipv6Extension::routing:
      case detail::Ipv6Extension::fragment:
        if (const Drop drop = detail::skip_extension(next, rest); drop != Drop::none) return drop;
        break;
      case detail::Ipv6Extension::no_next_header:
      default:
        return Drop::none;
    }
  }
  return Drop::ip_extension;
}

[[nodiscard]] inline Parsed<IpPacket> parse_ipv6(ByteView bytes) noexcept {
  const auto in = FixedReader<ipv6_header_bytes>::over(bytes);
  if (!in) return dropped(Drop::truncated);
  const auto word = in->be<std::uint32_t, 0>();
  const std::size_t payload_bytes = in->be<std::uint16_t, 4>();
  if ((word >> 28) != 6) return dropped(Drop::bad_ip_header);
  if (payload_bytes > bytes.size() - ipv6_header_bytes) return dropped(Drop::truncated);
  IpPacket out;
  out.ecn = static_cast<Ecn>((word >> 20) & 3U);
  out.protocol = in->be<std::uint8_t, 6>();
  out.hops = in->be<std::uint8_t, 7>();
  out.source = load_ipv6(in->bytes<8, 16>());
  out.destination = load_ipv6(in->bytes<24, 16>());
  // RFC 4291 (2.5.5.2): mapped addresses stand for IPv4 nodes and do not travel in IPv6 headers.
  if (out.source.is_v4() || out.destination.is_v4()) return dropped(Drop::bad_ip_header);
  out.payload = bytes.subspan(ipv6_header_bytes, payload_bytes);
  const Drop drop = skip_extensions(out.protocol, out.payload);
  if (drop != Drop::none) return dropped(drop);
  return out;
}

/// Both addresses must be IPv6. Flow label 0.
inline void write_ipv6(std::span<std::byte, ipv6_header_bytes> to,
                       const IpFields& fields) noexcept {
  const FixedWriter<ipv6_header_bytes> out{to};
  out.be<0>(std::uint32_t{6} << 28 | std::uint32_t{static_cast<std::uint8_t>(fields.ecn)} << 20);
  out.be<4>(fields.payload_bytes);
  out.be<6>(static_cast<std::uint8_t>(fields.protocol));
  out.be<7>(fields.hops);
  out.bytes<8, 16>(std::as_bytes(std::span{fields.source.octets}));
  out.bytes<24, 16>(std::as_bytes(std::span{fields.destination.octets}));
}

}  // namespace proa
