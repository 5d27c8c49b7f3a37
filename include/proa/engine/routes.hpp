// L3: which next hop leads to an address: longest prefix first (RFC 1812 5.2.4.3), bounded.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <tl/expected.hpp>

#include <proa/base/prefix.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/address_text.hpp>

namespace proa {

/// A destination prefix and the way there. Without a gateway the destination itself is the next
/// hop (on-link).
struct Route {
  IpPrefix prefix;
  std::optional<IpAddress> gateway;
  friend bool operator==(const Route&, const Route&) = default;
};

/// Everything of the gateway's family that no other route covers.
[[nodiscard]] constexpr Route default_route(const IpAddress& gateway) noexcept {
  return {{gateway.is_v4() ? IpAddress::v4(0) : IpAddress{}, 0}, gateway};
}

/// The last address of an IPv4 prefix of at most 30 bits: its directed broadcast (RFC 1812
/// 4.2.2.11). RFC 3021: /31 and /32 have none.
[[nodiscard]] constexpr bool is_directed_broadcast(const IpPrefix& prefix,
                                                   const IpAddress& address) noexcept {
  if (!address.is_v4() || prefix.bits > 30 || !covers(prefix, address)) return false;
  const std::uint32_t host_mask = 0xffff'ffffU >> prefix.bits;
  return (address.to_v4() & host_mask) == host_mask;
}

/// A small table kept in order of falling prefix length; the first hit is the answer. Read once
/// per path, not per packet, so a linear search is enough.
class Routes {
 public:
  static constexpr std::size_t routes_max = 64;

  /// Refuses with a sentence: table full, duplicate prefix, mixed families.
  [[nodiscard]] tl::expected<void, std::string> add(const Route& route) {
    const std::string name = to_text(route.prefix);
    if (count_ == routes_max)
      return tl::unexpected{"route " + name + ": more than " + std::to_string(routes_max) +
                            " routes; summarise them into shorter prefixes"};
    if (route.gateway && route.gateway->is_v4() != route.prefix.address.is_v4())
      return tl::unexpected{"route " + name + ": the gateway " + to_text(*route.gateway) +
                            " is of the other address family"};
    if (has(route.prefix))
      return tl::unexpected{"route " + name + " is given twice; remove one of them"};
    const auto end = table_.begin() + static_cast<std::ptrdiff_t>(count_);
    const auto at = std::find_if(table_.begin(), end,
                                 [&](const Route& r) { return r.prefix.bits < route.prefix.bits; });
    std::move_backward(at, end, end + 1);
    *at = route;
    ++count_;
    return {};
  }

  /// The neighbour to send to, or nothing when no route covers `address`.
  [[nodiscard]] std::optional<IpAddress> next_hop(const IpAddress& address) const noexcept {
    for (const Route& r : all())
      if (covers(r.prefix, address)) return r.gateway ? *r.gateway : address;
    return std::nullopt;
  }

  [[nodiscard]] bool has(const IpPrefix& prefix) const noexcept {
    return std::any_of(all().begin(), all().end(), [&](const Route& r) {
      return r.prefix.bits == prefix.bits && covers(r.prefix, prefix.address);
    });
  }

  /// Whether `address` is reached without a gateway.
  [[nodiscard]] bool is_on_link(const IpAddress& address) const noexcept {
    return next_hop(address) == address;
  }

  [[nodiscard]] std::span<const Route> all() const noexcept { return {table_.data(), count_}; }

 private:
  std::array<Route, routes_max> table_{};
  std::size_t count_ = 0;
};

}  // namespace proa
