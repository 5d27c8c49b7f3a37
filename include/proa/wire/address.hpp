// L1: addresses as the wire has them: MAC here, IP addresses and endpoints from base.
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include <proa/base/endpoint.hpp>

namespace proa {

struct MacAddress {
  std::array<std::uint8_t, 6> octets{};
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return (octets[0] & 1U) != 0; }
  [[nodiscard]] constexpr bool is_zero() const noexcept { return *this == MacAddress{}; }
};
inline constexpr MacAddress mac_broadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

}  // namespace proa
