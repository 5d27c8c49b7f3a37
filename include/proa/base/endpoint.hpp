// L0: where a flow ends: IP address and application port. Part of every public interface.
#pragma once
#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace proa {

/// An IPv4 or IPv6 address, 16 bytes: IPv4 as the IPv4-mapped form ::ffff:a.b.c.d (RFC
/// 4291 2.5.5.2).
struct IpAddress {
  std::array<std::uint8_t, 16> octets{};

  [[nodiscard]] static constexpr IpAddress v4(std::uint32_t host_order) noexcept {
    IpAddress a;
    a.octets[10] = a.octets[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i)
      a.octets[12 + i] = static_cast<std::uint8_t>((host_order >> (24 - 8 * i)) & 0xff);
    return a;
  }
  [[nodiscard]] static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                              std::uint8_t d) noexcept {
    return v4((std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) | (std::uint32_t{c} << 8) | d);
  }
  [[nodiscard]] constexpr bool is_v4() const noexcept {
    // As two words, for the same reason as operator==.
    const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(octets);
    constexpr std::array<std::uint8_t, 8> mapped{0, 0, 0xff, 0xff}, mask{0xff, 0xff, 0xff, 0xff};
    return (words[0] | ((words[1] & std::bit_cast<std::uint64_t>(mask)) ^
                        std::bit_cast<std::uint64_t>(mapped))) == 0;
  }
  /// The IPv4 address in host order; meaningful only if is_v4().
  [[nodiscard]] constexpr std::uint32_t to_v4() const noexcept {
    return (std::uint32_t{octets[12]} << 24) | (std::uint32_t{octets[13]} << 16) |
           (std::uint32_t{octets[14]} << 8) | octets[15];
  }
  /// All zero bytes: no address (IPv4 0.0.0.0 is v4(0), a different value).
  [[nodiscard]] constexpr bool is_unset() const noexcept { return *this == IpAddress{}; }
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
  // As two words: once per packet, where a call to memcmp costs more than the comparison.
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) noexcept {
    using Words = std::array<std::uint64_t, 2>;
    const auto left = std::bit_cast<Words>(a.octets);
    const auto right = std::bit_cast<Words>(b.octets);
    return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
  }
};
static_assert(sizeof(IpAddress) == 16);

/// One end of a flow: an address and Proa's own application port (not the UDP port).
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

}  // namespace proa
