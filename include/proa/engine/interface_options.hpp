// L3: what an interface is told, and the plan made of it once everything has been checked.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/interface_info.hpp>
#include <proa/engine/neighbours.hpp>
#include <proa/engine/routes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/address_text.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/ipv6_address.hpp>

namespace proa {

struct InterfaceOptions {
  MacAddress mac;                        // of the NIC
  VlanId vlan = no_vlan;                 // tag of every frame, in and out; no_vlan: untagged
  std::vector<IpPrefix> addresses;       // own addresses, each with its on-link prefix; at most 16
  std::vector<Route> routes;             // beyond those prefixes; the default route has 0 bits
  std::uint32_t mtu_bytes = 1500;        // largest IP packet, 576 (IPv6: 1280) to 9216
  std::uint16_t udp_port_first = 49152;  // the dynamic ports (RFC 6335); the same at both ends
  std::uint16_t udp_port_last = 65535;
  NeighbourOptions neighbours;
  std::uint16_t control_frames_max = 16;  // answers to neighbours and pings waiting to be sent
  // Answers to neighbours and to pings, each; what exceeds it is dropped and counted.
  std::uint32_t answers_per_second = 10'000;
  std::uint32_t answers_burst = 100;
  bool announce = true;  // tell the neighbours our addresses at start and when the link comes back
  // Ask at start whether somebody has our IPv6 addresses already (RFC 4862 5.4). Nobody waits for
  // the answer, as in RFC 4429: a duplicate is counted as an address conflict.
  bool detect_duplicates = true;

  [[nodiscard]] bool owns(const IpAddress& address) const noexcept {
    return is_own(addresses, address);
  }
  /// What applications are told.
  [[nodiscard]] InterfaceInfo info(std::string name) const {
    InterfaceInfo out{std::move(name), addresses, {}, mtu_bytes};
    for (const Route& route : routes) out.routes.push_back(route.prefix);
    return out;
  }
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
    auto checked = plan.check_numbers()
                       .and_then([&] { return plan.add_link_local(); })
                       .and_then([&] { return plan.add_addresses(); })
                       .and_then([&] { return plan.add_routes(); });
    if (!checked) return tl::unexpected{checked.error()};
    return plan;
  }

  [[nodiscard]] bool owns(const IpAddress& address) const noexcept { return options.owns(address); }

  [[nodiscard]] bool has_family(bool v4) const noexcept {
    return std::any_of(options.addresses.begin(), options.addresses.end(),
                       [&](const IpPrefix& own) { return own.address.is_v4() == v4; });
  }

  /// The next hop to a peer that is one host, not a group or broadcast.
  [[nodiscard]] std::optional<IpAddress> next_hop(const IpAddress& peer) const noexcept {
    if (!is_host(peer)) return std::nullopt;
    for (const IpPrefix& own : options.addresses) {
      if (own.address == peer) return peer;
      if (is_directed_broadcast(own, peer)) return std::nullopt;
    }
    return routes.next_hop(peer);
  }

  /// The own address that packets to `peer` come from.
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& peer) const noexcept {
    const auto hop = next_hop(peer);
    if (!hop) return std::nullopt;
    if (owns(*hop)) return hop;
    return peer.is_v4() ? source_ipv4(*hop) : source_ipv6(peer);
  }

  /// The first address of the family, of IPv6 one that is not link-local if there is one; the unset
  /// address when there is none.
  [[nodiscard]] IpAddress primary(bool v4) const noexcept {
    IpAddress found;
    for (const IpPrefix& own : options.addresses) {
      if (own.address.is_v4() != v4) continue;
      if (v4 || !ipv6::is_link_local(own.address)) return own.address;
      if (found.is_unset()) found = own.address;
    }
    return found;
  }
  /// The first link-local IPv6 address: there is one when there is any IPv6 address.
  [[nodiscard]] IpAddress link_local() const noexcept {
    for (const IpPrefix& own : options.addresses)
      if (!own.address.is_v4() && ipv6::is_link_local(own.address)) return own.address;
    return {};
  }

 private:
  using Checked = tl::expected<void, std::string>;

  [[nodiscard]] static bool is_host(const IpAddress& address) noexcept {
    return address.is_v4() ? is_host_v4(address.to_v4()) : ipv6::is_host(address);
  }

  /// Own address on the next hop's network, else the first of the family (RFC 1122 3.3.4.3).
  [[nodiscard]] IpAddress source_ipv4(const IpAddress& hop) const noexcept {
    const IpPrefix* best = nullptr;
    for (const IpPrefix& own : options.addresses)
      if (covers(own, hop) && (best == nullptr || own.bits > best->bits)) best = &own;
    return best != nullptr ? best->address : primary(true);
  }

  /// RFC 6724 (5) as far as it applies to static addresses: the destination's scope (rule 2), its
  /// label (rule 6: unique local or not), the longest matching prefix (rule 8).
  [[nodiscard]] IpAddress source_ipv6(const IpAddress& peer) const noexcept {
    const IpPrefix* best = nullptr;
    unsigned best_score = 0;
    for (const IpPrefix& own : options.addresses) {
      if (own.address.is_v4()) continue;
      const bool scope = ipv6::is_link_local(own.address) == ipv6::is_link_local(peer);
      const bool label = ipv6::is_unique_local(own.address) == ipv6::is_unique_local(peer);
      const unsigned match = std::min<unsigned>(common_prefix_bits(own.address, peer), own.bits);
      const unsigned score = 1 + match + (label ? 256U : 0U) + (scope ? 512U : 0U);
      if (score > best_score) best = &own;
      best_score = std::max(best_score, score);
    }
    return best != nullptr ? best->address : IpAddress{};
  }

  [[nodiscard]] Checked check_numbers() const {
    const auto refuse = [](std::string why) { return tl::unexpected{std::move(why)}; };
    if (options.mac.is_multicast() || options.mac.is_zero())
      return refuse("mac " + to_text(options.mac) + ": not the address of one station");
    if (options.mtu_bytes < 576 || options.mtu_bytes > 9216)
      return refuse("mtu " + std::to_string(options.mtu_bytes) +
                    ": expected 576 to 9216 bytes, and no more than the network carries");
    if (has_family(false) && options.mtu_bytes < ipv6_mtu_bytes_min)
      return refuse("mtu " + std::to_string(options.mtu_bytes) +
                    ": IPv6 needs at least 1280 bytes; raise it or leave the IPv6 address out");
    if (options.vlan > vlan_max)
      return refuse("vlan " + std::to_string(options.vlan) +
                    ": expected 1 to 4094, or 0 for frames without a tag");
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

  /// RFC 4291 (2.1): an interface that speaks IPv6 has a link-local address.
  [[nodiscard]] Checked add_link_local() {
    if (has_family(false) && link_local().is_unset())
      options.addresses.push_back({ipv6::link_local_of(options.mac), 64});
    return {};
  }

  [[nodiscard]] Checked add_addresses() {
    for (const IpPrefix& own : options.addresses) {
      const unsigned bits_max = own.address.is_v4() ? 32 : 128;
      if (!is_host(own.address) || own.bits > bits_max || is_directed_broadcast(own, own.address))
        return tl::unexpected{"address " + to_text(own) + ": not the address of one host"};
      if (std::count(options.addresses.begin(), options.addresses.end(), own) > 1)
        return tl::unexpected{"address " + to_text(own) + " is given twice; remove one of them"};
      if (routes.has(own)) continue;  // another address of the same network
      if (auto added = routes.add({own, std::nullopt}); !added) return added;
    }
    return {};
  }

  [[nodiscard]] Checked add_routes() {
    for (const Route& route : options.routes) {
      if (!has_family(route.prefix.address.is_v4()))
        return tl::unexpected{"route " + to_text(route.prefix) + ": the interface has no " +
                              (route.prefix.address.is_v4() ? "IPv4" : "IPv6") +
                              " address to send from; add one or remove the route"};
      if (route.gateway) continue;
      if (auto added = routes.add(route); !added) return added;
    }
    for (const Route& route : options.routes)
      if (route.gateway)
        if (auto added = add_gateway_route(route); !added) return added;
    return {};
  }

  /// A gateway must be on-link. A host with nothing but /32 or /128 addresses (GCP) has no on-link
  /// prefix: its gateway gets a host route, as "onlink" does elsewhere.
  [[nodiscard]] Checked add_gateway_route(const Route& route) {
    const IpAddress& gateway = *route.gateway;
    const std::uint8_t host_bits = gateway.is_v4() ? 32 : 128;
    const bool only_hosts =
        std::all_of(options.addresses.begin(), options.addresses.end(), [&](const IpPrefix& own) {
          return own.address.is_v4() != gateway.is_v4() || own.bits == host_bits ||
                 (!gateway.is_v4() && ipv6::is_link_local(own.address));
        });
    if (only_hosts && is_host(gateway) && !routes.is_on_link(gateway))
      if (auto added = routes.add({{gateway, host_bits}, std::nullopt}); !added) return added;
    if (owns(gateway) || !routes.is_on_link(gateway))
      return tl::unexpected{"route " + to_text(route.prefix) + ": the gateway " + to_text(gateway) +
                            " is on none of the interface's networks; add a route to it without "
                            "a gateway if it is reached directly"};
    return routes.add(route);
  }
};

}  // namespace proa
