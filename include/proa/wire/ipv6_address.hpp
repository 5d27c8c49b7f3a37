// L1: kinds of IPv6 addresses (RFC 4291) and those that follow from others.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include <proa/wire/address.hpp>

namespace proa {

namespace ipv6 {

[[nodiscard]] constexpr bool is_multicast(const IpAddress& a) noexcept {
  return a.octets[0] == 0xff;  // RFC 4291 (2.7)
}
[[nodiscard]] constexpr bool is_link_local(const IpAddress& a) noexcept {
  return a.octets[0] == 0xfe && (a.octets[1] & 0xc0U) == 0x80;  // fe80::/10, RFC 4291 (2.5.6)
}
[[nodiscard]] constexpr bool is_unique_local(const IpAddress& a) noexcept {
  return (a.octets[0] & 0xfeU) == 0xfc;  // fc00::/7, RFC 4193 (3.1)
}
[[nodiscard]] constexpr bool is_loopback(const IpAddress& a) noexcept {
  IpAddress one;
  one.octets[15] = 1;
  return a == one;  // RFC 4291 (2.5.3)
}
/// One node on some link: neither a group, nor unspecified, nor loopback, nor an IPv4 address.
[[nodiscard]] constexpr bool is_host(const IpAddress& a) noexcept {
  return !is_multicast(a) && !a.is_unset() && !is_loopback(a) && !a.is_v4();
}

inline constexpr IpAddress all_nodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
/// Where MLDv2 reports go (RFC 3810 5.2.14).
inline constexpr IpAddress all_mld_routers{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16}};

/// RFC 4291 (2.7.1): "taking the low-order 24 bits of an address ... and appending those bits to
/// the prefix FF02:0:0:0:0:1:FF00::/104".
[[nodiscard]] constexpr IpAddress solicited_node(const IpAddress& a) noexcept {
  IpAddress out{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}};
  for (std::size_t i = 13; i < 16; ++i) out.octets[i] = a.octets[i];
  return out;
}
/// RFC 2464 (7): 33-33 and the last four octets of the group.
[[nodiscard]] constexpr MacAddress multicast_mac(const IpAddress& group) noexcept {
  const auto& o = group.octets;
  return {{0x33, 0x33, o[12], o[13], o[14], o[15]}};
}
/// RFC 4291 (2.5.6) with the interface identifier of RFC 2464 (4): the MAC address, ff-fe in its
/// middle, the universal/local bit turned.
[[nodiscard]] constexpr IpAddress link_local_of(const MacAddress& mac) noexcept {
  const auto& m = mac.octets;
  return {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(m[0] ^ 2U), m[1], m[2], 0xff,
           0xfe, m[3], m[4], m[5]}};
}

}  // namespace ipv6

/// How many leading bits two addresses share, 0 to 128.
[[nodiscard]] constexpr unsigned common_prefix_bits(const IpAddress& a,
                                                    const IpAddress& b) noexcept {
  for (std::size_t i = 0; i < 16; ++i) {
    const auto differ = static_cast<std::uint8_t>(a.octets[i] ^ b.octets[i]);
    if (differ != 0)
      return static_cast<unsigned>(8 * i) + static_cast<unsigned>(std::countl_zero(differ));
  }
  return 128;
}

}  // namespace proa
