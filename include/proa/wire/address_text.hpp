// L1: addresses as people write them. For configuration, error sentences and tools, not packets.
#pragma once
#include <arpa/inet.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <proa/base/prefix.hpp>
#include <proa/wire/address.hpp>

namespace proa {

namespace detail {

/// Where the longest run of two or more zero groups starts and how many there are; the first of
/// equals (RFC 5952 4.2).
struct ZeroGroups {
  std::size_t first = 8, count = 0;
};
[[nodiscard]] constexpr ZeroGroups longest_zeros(const IpAddress& a) noexcept {
  ZeroGroups best, run;
  for (std::size_t i = 0; i < 8; ++i) {
    const bool zero = a.octets[2 * i] == 0 && a.octets[2 * i + 1] == 0;
    run = !zero            ? ZeroGroups{}
          : run.count == 0 ? ZeroGroups{i, 1}
                           : ZeroGroups{run.first, run.count + 1};
    if (run.count > 1 && run.count > best.count) best = run;
  }
  return best;
}

}  // namespace detail

/// Dotted IPv4, or IPv6 as RFC 5952 (4) has it: lower case, no leading zeros, the longest run of
/// zero groups shortened.
[[nodiscard]] inline std::string to_text(const IpAddress& address) {
  const auto& o = address.octets;
  char part[16];
  if (address.is_v4()) {
    std::snprintf(part, sizeof part, "%u.%u.%u.%u", o[12], o[13], o[14], o[15]);
    return part;
  }
  const detail::ZeroGroups zeros = detail::longest_zeros(address);
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == zeros.first) {
      out += "::";
      i += zeros.count - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    std::snprintf(part, sizeof part, "%x", o[2 * i] * 256U + o[2 * i + 1]);
    out += part;
  }
  return out;
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

/// "10.0.0.2:7000", "[fd00::2]:7000": RFC 5952 (6) recommends the brackets.
[[nodiscard]] inline std::string to_text(const Endpoint& endpoint) {
  const std::string address = to_text(endpoint.address), port = std::to_string(endpoint.port);
  return endpoint.address.is_v4() ? address + ":" + port : "[" + address + "]:" + port;
}
/// Brackets are required around IPv6 addresses; port 1 to 65535.
[[nodiscard]] inline std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.size() - colon > 6) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = parse_ip(host);
  if (!address || bracketed == (host.find(':') == std::string_view::npos)) return std::nullopt;
  std::uint32_t port = 0;
  for (const char c : text.substr(colon + 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (port == 0 || port > 65'535) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(port)};
}

}  // namespace proa
