// L0: a network: an address and how many of its leading bits count.
#pragma once
#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/endpoint.hpp>

namespace proa {

/// An address of a host together with its network, or a network by any of its addresses.
struct IpPrefix {
  IpAddress address;
  std::uint8_t bits = 0;  // of the family: at most 32 or 128
  friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

[[nodiscard]] constexpr bool covers(const IpPrefix& prefix, const IpAddress& address) noexcept {
  if (prefix.address.is_v4() != address.is_v4()) return false;
  std::size_t bit = address.is_v4() ? 96 : 0;
  std::size_t left = prefix.bits;
  for (; left >= 8; left -= 8, bit += 8)
    if (prefix.address.octets[bit / 8] != address.octets[bit / 8]) return false;
  if (left == 0) return true;
  const unsigned differ = prefix.address.octets[bit / 8] ^ address.octets[bit / 8];
  return (differ >> (8 - left)) == 0;
}

/// Whether one of a host's addresses, each with its network, is `address`.
[[nodiscard]] constexpr bool is_own(std::span<const IpPrefix> own,
                                    const IpAddress& address) noexcept {
  return std::any_of(own.begin(), own.end(),
                     [&](const IpPrefix& one) { return one.address == address; });
}

}  // namespace proa
