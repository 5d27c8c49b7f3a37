// L0: what an application is told of an interface that its stack uses.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <proa/base/endpoint.hpp>
#include <proa/base/prefix.hpp>

namespace proa {

struct InterfaceInfo {
  std::string name;                 // as the sidecar's operator calls it; empty in process
  std::vector<IpPrefix> addresses;  // its own, each with its network
  std::vector<IpPrefix> routes;     // beyond those networks; a default gateway's has 0 bits
  std::uint32_t mtu_bytes = 0;      // largest IP packet; 0: not known

  friend bool operator==(const InterfaceInfo&, const InterfaceInfo&) = default;

  [[nodiscard]] bool owns(const IpAddress& address) const noexcept {
    return is_own(addresses, address);
  }

  /// How closely it leads to `peer`: the length of the longest prefix that covers it, a network's
  /// or a route's; 129 for an address of its own; nothing when no way is known.
  [[nodiscard]] std::optional<std::uint32_t> closeness(const IpAddress& peer) const noexcept {
    constexpr std::uint32_t own = 129;
    if (owns(peer)) return own;
    std::optional<std::uint32_t> longest;
    for (const std::vector<IpPrefix>* list : {&addresses, &routes})
      for (const IpPrefix& prefix : *list)
        if (covers(prefix, peer) && (!longest || prefix.bits > *longest)) longest = prefix.bits;
    return longest;
  }
};

}  // namespace proa
