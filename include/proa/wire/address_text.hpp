// L1: addresses as people write them. For configuration, error sentences and tools, not packets.
#pragma once
#include <arpa/inet.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <proa/wire/address.hpp>

namespace proa {

[[nodiscard]] inline std::string to_text(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.is_v4())
    ::inet_ntop(AF_INET, address.octets.data() + 12, text, sizeof text);
  else
    ::inet_ntop(AF_INET6, address.octets.data(), text, sizeof text);
  return text;
}

[[nodiscard]] inline std::string to_text(const MacAddress& mac) {
  char text[18];
  const auto& o = mac.octets;
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4],
                o[5]);
  return text;
}

/// Dotted IPv4 or RFC 4291 IPv6.
[[nodiscard]] inline std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string z{text};
  IpAddress a = IpAddress::v4(0);
  if (::inet_pton(AF_INET, z.c_str(), a.octets.data() + 12) == 1) return a;
  if (::inet_pton(AF_INET6, z.c_str(), a.octets.data()) == 1) return a;
  return std::nullopt;
}

/// Six colon-separated pairs of hexadecimal digits.
[[nodiscard]] inline std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const int high = digit(text[3 * i]), low = digit(text[3 * i + 1]);
    if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
    mac.octets[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return mac;
}

/// "address/bits"; without "/bits" the whole address (32 or 128 bits).
struct IpPrefix {
  IpAddress address;
  std::uint8_t bits = 0;  // of the family: at most 32 or 128
  friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};
[[nodiscard]] inline std::optional<IpPrefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits_max = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return IpPrefix{*address, std::uint8_t(bits_max)};
  unsigned bits = 0;
  const std::string_view digits = text.substr(slash + 1);
  if (digits.empty() || digits.size() > 3) return std::nullopt;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    bits = bits * 10 + static_cast<unsigned>(c - '0');
  }
  if (bits > bits_max) return std::nullopt;
  return IpPrefix{*address, std::uint8_t(bits)};
}
[[nodiscard]] inline std::string to_text(const IpPrefix& prefix) {
  return to_text(prefix.address) + "/" + std::to_string(prefix.bits);
}

}  // namespace proa
