// L3: what an interface is told, and the plan made of it once everything has been checked.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include <proa/engine/neighbours.hpp>
#include <proa/engine/routes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/address_text.hpp>

namespace proa {

struct InterfaceOptions {
  MacAddress mac;                        // of the NIC
  std::vector<IpPrefix> addresses;       // own addresses, each with its on-link prefix; at most 16
  std::vector<Route> routes;             // beyond those prefixes; the default route has 0 bits
  std::uint32_t mtu_bytes = 1500;        // largest IP packet, 576 to 9216
  std::uint16_t udp_port_first = 49152;  // the dynamic ports (RFC 6335); the same at both ends
  std::uint16_t udp_port_last = 65535;
  NeighbourOptions neighbours;
  std::uint16_t control_frames_max = 16;  // ARP and echo answers waiting to be sent
  // Answers to ARP requests and to pings, each; what exceeds it is dropped and counted.
  std::uint32_t answers_per_second = 10'000;
  std::uint32_t answers_burst = 100;
  bool announce = true;  // tell the neighbours our addresses at start; one engine per port should
};

/// Unicast IPv4 hosts: neither 0/8 nor groups, reserved addresses or the broadcast (RFC 1122
/// 3.2.1.3).
[[nodiscard]] constexpr bool is_host_v4(std::uint32_t address) noexcept {
  return address - 0x0100'0000U < 0xdf00'0000U;
}

/// Options that have been checked, and the routes that follow from them.
struct InterfacePlan {
  static constexpr std::size_t addresses_max = 16;

  InterfaceOptions options;
  Routes routes;

  /// Refuses with a sentence that names the option and the remedy.
  [[nodiscard]] static tl::expected<InterfacePlan, std::string> make(InterfaceOptions options) {
    InterfacePlan plan{std::move(options), {}};
    auto checked =
        plan.check_numbers().and_then([&] { return plan.add_addresses(); }).and_then([&] {
          return plan.add_routes();
        });
    if (!checked) return tl::unexpected{checked.error()};
    return plan;
  }

  [[nodiscard]] bool owns(const IpAddress& address) const noexcept {
    return std::any_of(options.addresses.begin(), options.addresses.end(),
                       [&](const IpPrefix& own) { return own.address == address; });
  }

  /// The next hop to a peer that is one host, not a group or broadcast.
  [[nodiscard]] std::optional<IpAddress> next_hop(const IpAddress& peer) const noexcept {
    if (!peer.is_v4() || !is_host_v4(peer.to_v4())) return std::nullopt;
    for (const IpPrefix& own : options.addresses) {
      if (own.address == peer) return peer;
      if (is_directed_broadcast(own, peer)) return std::nullopt;
    }
    return routes.next_hop(peer);
  }

  /// Own address on the next hop's network, else the first of the family (RFC 1122 3.3.4.3).
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& peer) const noexcept {
    const auto hop = next_hop(peer);
    if (!hop) return std::nullopt;
    if (owns(*hop)) return hop;
    const IpPrefix* best = nullptr;
    for (const IpPrefix& own : options.addresses)
      if (covers(own, *hop) && (best == nullptr || own.bits > best->bits)) best = &own;
    return best != nullptr ? best->address : primary_ipv4();
  }

  /// The first IPv4 address; the unset address when there is none.
  [[nodiscard]] IpAddress primary_ipv4() const noexcept {
    for (const IpPrefix& own : options.addresses)
      if (own.address.is_v4()) return own.address;
    return {};
  }

 private:
  using Checked = tl::expected<void, std::string>;

  [[nodiscard]] Checked check_numbers() const {
    const auto refuse = [](std::string why) { return tl::unexpected{std::move(why)}; };
    if (options.mac.is_multicast() || options.mac.is_zero())
      return refuse("mac " + to_text(options.mac) + ": not the address of one station");
    if (options.mtu_bytes < 576 || options.mtu_bytes > 9216)
      return refuse("mtu " + std::to_string(options.mtu_bytes) +
                    ": expected 576 to 9216 bytes, and no more than the network carries");
    if (options.udp_port_first > options.udp_port_last || options.udp_port_first == 0)
      return refuse("udp ports " + std::to_string(options.udp_port_first) + "-" +
                    std::to_string(options.udp_port_last) +
                    ": expected first and last port, 1 to 65535, in this order");
    if (options.neighbours.entries_max == 0 ||
        options.neighbours.entries_max == Neighbours::no_slot || options.control_frames_max == 0)
      return refuse("neighbour table and control queue need at least one entry each");
    if (options.neighbours.retry_first <= Duration::zero() ||
        options.neighbours.retry_max < options.neighbours.retry_first)
      return refuse("neighbour retry times must be above zero, the first at most the largest");
    if (options.addresses.empty() || options.addresses.size() > addresses_max)
      return refuse("an interface needs 1 to " + std::to_string(addresses_max) +
                    " addresses; give at least one, as in 10.0.0.1/24");
    return {};
  }

  [[nodiscard]] Checked add_addresses() {
    for (const IpPrefix& own : options.addresses) {
      if (!own.address.is_v4())
        return tl::unexpected{"address " + to_text(own) + ": IPv6 is not served yet; use IPv4"};
      if (!is_host_v4(own.address.to_v4()) || own.bits > 32 ||
          is_directed_broadcast(own, own.address))
        return tl::unexpected{"address " + to_text(own) + ": not the address of one host"};
      if (std::count(options.addresses.begin(), options.addresses.end(), own) > 1)
        return tl::unexpected{"address " + to_text(own) + " is given twice; remove one of them"};
      if (routes.has(own)) continue;  // another address of the same network
      if (auto added = routes.add({own, std::nullopt}); !added) return added;
    }
    return {};
  }

  /// A gateway must be on-link. A host with nothing but /32 addresses (GCP) has no on-link prefix:
  /// its gateway gets a host route, as "onlink" does elsewhere.
  [[nodiscard]] Checked add_routes() {
    const bool only_hosts = std::all_of(options.addresses.begin(), options.addresses.end(),
                                        [](const IpPrefix& own) { return own.bits == 32; });
    for (const Route& route : options.routes)
      if (!route.gateway)
        if (auto added = routes.add(route); !added) return added;
    for (const Route& route : options.routes) {
      if (!route.gateway) continue;
      const IpAddress& gateway = *route.gateway;
      if (only_hosts && gateway.is_v4() && !routes.is_on_link(gateway))
        if (auto added = routes.add({{gateway, 32}, std::nullopt}); !added) return added;
      if (owns(gateway) || !routes.is_on_link(gateway))
        return tl::unexpected{"route " + to_text(route.prefix) + ": the gateway " +
                              to_text(gateway) +
                              " is on none of the interface's networks; add a route to it without "
                              "a gateway if it is reached directly"};
      if (auto added = routes.add(route); !added) return added;
    }
    return {};
  }
};

}  // namespace proa
