// L1: ICMPv6 (RFC 4443): echo and neighbour discovery (RFC 4861); reports of group membership
// (MLDv2, RFC 3810), without which a snooping switch withholds solicitations.
//
//    0      1      2          4                        8        24
//   +------+------+----------+------------------------+--------+---------
//   | type | code | checksum | R S O, reserved        | target | options    neighbour messages
//   +------+------+----------+------------------------+--------+---------
//   | type | code | checksum | identifier, number     | data              echo
//   +------+------+----------+------------------------+---------
#pragma once
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/ipv6_address.hpp>

namespace proa {

inline constexpr std::size_t icmpv6_header_bytes = 8;

enum class Icmpv6Type : std::uint8_t {
  unreachable = 1,
  packet_too_big = 2,
  echo_request = 128,
  echo_reply = 129,
  membership_query = 130,
  neighbour_solicitation = 135,
  neighbour_advertisement = 136,
  membership_report = 143,
};

struct Icmpv6Message {
  Icmpv6Type type{};
  std::uint8_t code = 0;
  ByteView bytes;  // the whole message
};

namespace detail {

[[nodiscard]] inline std::uint16_t icmpv6_checksum(const IpAddress& source,
                                                   const IpAddress& destination,
                                                   ByteView message) noexcept {
  InternetChecksum sum;
  add_pseudo_header(sum, source, destination, static_cast<std::uint8_t>(IpProtocol::icmpv6),
                    static_cast<std::uint32_t>(message.size()));
  sum.add(message);
  return sum.finish();
}

}  // namespace detail

/// RFC 4443 (2.3): the checksum covers a pseudo header too and is never absent.
[[nodiscard]] inline Parsed<Icmpv6Message> parse_icmpv6(const IpPacket& ip) noexcept {
  const auto in = FixedReader<icmpv6_header_bytes>::over(ip.payload);
  if (!in) return dropped(Drop::truncated);
  if (detail::icmpv6_checksum(ip.source, ip.destination, ip.payload) != 0)
    return dropped(Drop::bad_checksum);
  return Icmpv6Message{static_cast<Icmpv6Type>(in->be<std::uint8_t, 0>()),
                       in->be<std::uint8_t, 1>(), ip.payload};
}

/// RFC 4443 (4.2): identifier, sequence number and data return unchanged. The addresses change
/// places, which a sum does not see. `to` has the request's size.
inline void write_echo_reply(MutableBytes to, const Icmpv6Message& request) noexcept {
  std::memcpy(to.data(), request.bytes.data(), request.bytes.size());
  const auto checksum = load_be<std::uint16_t>(to.data() + 2);
  to[0] = static_cast<std::byte>(Icmpv6Type::echo_reply);
  store_be(to.data() + 2, checksum_replace(checksum, 0x8000, 0x8100));
}

/// A neighbour solicitation or advertisement.
struct NeighbourMessage {
  bool advertisement = false;
  bool solicited = false;  // of an advertisement: the answer to a solicitation
  bool overrides = false;  // of an advertisement: replaces what is known
  IpAddress target;
  std::optional<MacAddress> link_address;  // the sender's, of an advertisement: the target's
};

inline constexpr std::size_t neighbour_message_bytes_min = 24;
inline constexpr std::size_t neighbour_message_bytes_max = 32;  // as Proa sends it

namespace detail {

/// The link-layer address among `options`; false: RFC 4861 (7.1) has the message discarded.
[[nodiscard]] inline bool find_link_address(ByteView options, std::uint8_t wanted,
                                            std::optional<MacAddress>& out) noexcept {
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const std::size_t bytes = 8 * std::to_integer<std::size_t>(options[1]);
    if (bytes == 0 || bytes > options.size()) return false;
    if (std::to_integer<std::uint8_t>(options[0]) == wanted) {
      if (bytes != 8) return false;  // RFC 2464 (6): six octets for Ethernet
      out = load_mac(options.subspan<2, 6>());
      if (out->is_multicast() || out->is_zero()) return false;
    }
    options = options.subspan(bytes);
  }
  return true;
}

}  // namespace detail

/// RFC 4861 (7.1.1, 7.1.2): what must be checked before any of it is believed.
[[nodiscard]] inline Parsed<NeighbourMessage> parse_neighbour(const IpPacket& ip,
                                                              const Icmpv6Message& icmp) noexcept {
  const auto in = FixedReader<neighbour_message_bytes_min>::over(icmp.bytes);
  if (!in) return dropped(Drop::truncated);
  // Only a node on this link can have sent it: a router would have counted the hop limit down.
  if (ip.hops != 255 || icmp.code != 0) return dropped(Drop::bad_neighbour);
  NeighbourMessage out;
  out.advertisement = icmp.type == Icmpv6Type::neighbour_advertisement;
  const auto flags = in->be<std::uint8_t, 4>();
  out.solicited = out.advertisement && (flags & 0x40U) != 0;
  out.overrides = out.advertisement && (flags & 0x20U) != 0;
  out.target = load_ipv6(in->bytes<8, 16>());
  if (!ipv6::is_host(out.target)) return dropped(Drop::bad_neighbour);
  const std::uint8_t option = out.advertisement ? 2 : 1;
  if (!detail::find_link_address(icmp.bytes.subspan(neighbour_message_bytes_min), option,
                                 out.link_address))
    return dropped(Drop::bad_neighbour);
  const bool to_group = ipv6::is_multicast(ip.destination);
  if (out.advertisement) {
    if (to_group && out.solicited) return dropped(Drop::bad_neighbour);
    if (!ipv6::is_host(ip.source)) return dropped(Drop::bad_neighbour);
    return out;
  }
  if (ip.source.is_unset()) {  // a duplicate address probe
    if (out.link_address || ip.destination != ipv6::solicited_node(out.target))
      return dropped(Drop::bad_neighbour);
  } else if (!ipv6::is_host(ip.source)) {
    return dropped(Drop::bad_neighbour);
  }
  return out;
}

/// A neighbour message with its IPv6 header; returns the bytes written.
inline std::size_t write_neighbour(MutableBytes to, const IpAddress& source,
                                   const IpAddress& destination,
                                   const NeighbourMessage& message) noexcept {
  const std::size_t bytes =
      message.link_address ? neighbour_message_bytes_max : neighbour_message_bytes_min;
  write_ipv6(to.first<ipv6_header_bytes>(),
             {source, destination, IpProtocol::icmpv6, Ecn::not_capable,
              static_cast<std::uint16_t>(bytes), 255});
  const MutableBytes icmp = to.subspan(ipv6_header_bytes, bytes);
  std::memset(icmp.data(), 0, bytes);
  icmp[0] = static_cast<std::byte>(message.advertisement ? Icmpv6Type::neighbour_advertisement
                                                         : Icmpv6Type::neighbour_solicitation);
  icmp[4] =
      static_cast<std::byte>((message.solicited ? 0x40U : 0U) | (message.overrides ? 0x20U : 0U));
  std::memcpy(icmp.data() + 8, message.target.octets.data(), 16);
  if (message.link_address) {
    icmp[24] = message.advertisement ? std::byte{2} : std::byte{1};
    icmp[25] = std::byte{1};
    store_mac(icmp.data() + 26, *message.link_address);
  }
  store_be(icmp.data() + 2, detail::icmpv6_checksum(source, destination, icmp));
  return ipv6_header_bytes + bytes;
}

/// RFC 3810 (5.2.12): why a group is reported.
enum class MembershipRecord : std::uint8_t { is_member = 2, joins = 4 };

[[nodiscard]] constexpr std::size_t membership_report_bytes(std::size_t groups) noexcept {
  return ipv6_header_bytes + 8 + icmpv6_header_bytes + 20 * groups;
}

/// An MLDv2 report about all of `groups` with its IPv6 header (RFC 3810 5.2); `source` must be
/// link-local. Returns the bytes written.
inline std::size_t write_membership_report(MutableBytes to, const IpAddress& source,
                                           MembershipRecord record,
                                           std::span<const IpAddress> groups) noexcept {
  const std::size_t bytes = membership_report_bytes(groups.size());
  write_ipv6(to.first<ipv6_header_bytes>(),
             {source, ipv6::all_mld_routers, IpProtocol::icmpv6, Ecn::not_capable,
              static_cast<std::uint16_t>(bytes - ipv6_header_bytes), 1});
  // RFC 3810 (5): with a router alert (RFC 2711) in hop-by-hop options.
  to[6] = std::byte{0};
  store_be<std::uint64_t>(to.data() + ipv6_header_bytes, 0x3a00'0502'0000'0100U);
  const MutableBytes icmp =
      to.subspan(ipv6_header_bytes + 8, icmpv6_header_bytes + 20 * groups.size());
  std::memset(icmp.data(), 0, icmp.size());
  icmp[0] = static_cast<std::byte>(Icmpv6Type::membership_report);
  store_be(icmp.data() + 6, static_cast<std::uint16_t>(groups.size()));
  std::byte* at = icmp.data() + icmpv6_header_bytes;
  for (const IpAddress& group : groups) {
    at[0] = static_cast<std::byte>(record);
    std::memcpy(at + 4, group.octets.data(), 16);
    at += 20;
  }
  store_be(icmp.data() + 2, detail::icmpv6_checksum(source, ipv6::all_mld_routers, icmp));
  return bytes;
}

}  // namespace proa
