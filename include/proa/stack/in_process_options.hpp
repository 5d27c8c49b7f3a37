// L4: what can be set for a stack that runs in the application's own thread.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include <proa/engine/interface_options.hpp>
#include <proa/engine/options.hpp>
#include <proa/mem/heap_memory.hpp>
#include <proa/stack/option_text.hpp>
#include <proa/wire/address_text.hpp>

namespace proa {

/// `NicOptions` say which NIC. As text, keys with their defaults:
///
///   nic=memif,role=client,socket=/tmp/x.sock   the NIC's own text, see its Options::parse
///   address=10.0.0.1/24        own address, IPv4 or IPv6, and its network; may be repeated
///   gateway=10.0.0.254         the default route; none; once for IPv4, once for IPv6
///   route=10.1.0.0/16@10.0.0.2 further routes; may be repeated; without @gateway on-link
///   mtu=1500                   largest IP packet, 576 (IPv6: 1280) to 9216 bytes
///   vlan=0                     VLAN tag of every frame, 1 to 4094; 0: none
///   detect_duplicates=on       at start, ask whether another station has our IPv6 addresses
///   udp_ports=49152-65535      the same at both ends: the one firewall rule to open
///   flows=65536                most flows at a time
///   send_memory=256MiB         address space for messages being sent; used as touched
///   receive_memory=256MiB      the same for messages received
///   message_max=8MiB           largest message, up to 64MiB
///   keepalive=10s idle_limit=30s   of silence; a third of the limit, if that is less
///   spin=20us                  how long wait() polls before it sleeps
///   seed=0                     for repeatable runs; 0: random
template <class NicOptions>
struct InProcessOptions {
  NicOptions nic;
  InterfaceOptions interface;  // its mac is taken from the NIC unless set
  EngineOptions engine;        // its interface plan is made from `interface`
  HeapMemory::Options memory;
  Duration spin = std::chrono::microseconds{20};  // a sleeper costs the peer 4 to 21 us to wake

  /// An error is one sentence that names the line, the key and what was expected.
  [[nodiscard]] static tl::expected<InProcessOptions, std::string> parse(std::string_view text) {
    const auto pairs = parse_option_pairs(text);
    if (!pairs) return tl::unexpected{pairs.error()};
    InProcessOptions options;
    for (const OptionPair& pair : *pairs) {
      const std::string expected = options.set(pair.key, pair.value);
      if (expected.empty()) continue;
      return refuse(pair, expected);
    }
    for (const OptionPair& pair : *pairs)  // given: else it follows the limit
      if (pair.key == "keepalive" &&
          options.engine.flow.keepalive >= options.engine.flow.idle_limit)
        return refuse(pair, "expected less than idle_limit, a third of it or so");
    return options;
  }

  /// Empty, or what was expected instead.
  [[nodiscard]] std::string set(std::string_view key, std::string_view value) {
    if (key == "nic") return set_nic(value);
    if (key == "address") return set_address(value);
    if (key == "gateway") return add_gateway(value);
    if (key == "route") return add_route(value);
    if (key == "mtu") return set_mtu(value);
    if (key == "vlan") return set_number(value, 0, vlan_max, interface.vlan);
    if (key == "detect_duplicates") return set_switch(value, interface.detect_duplicates);
    if (key == "udp_ports") return set_ports(value);
    if (key == "seed") return set_number(value, 0, UINT64_MAX, engine.seed);
    if (key == "flows") return set_number(value, 1, flows_limit, engine.flows_max);
    if (key == "send_memory") return set_bytes(value, memory_min, memory_max, memory.send_bytes);
    if (key == "receive_memory")
      return set_bytes(value, memory_min, memory_max, memory.receive_bytes);
    if (key == "message_max") return set_message_max(value);
    if (key == "keepalive")
      return set_duration(value, keepalive_least, keepalive_most, engine.flow.keepalive);
    if (key == "idle_limit")
      return set_duration(value, idle_limit_least, idle_limit_most, engine.flow.idle_limit);
    if (key == "spin") return set_duration(value, spin);
    return "unknown key; expected one of nic, address, gateway, route, mtu, vlan, "
           "detect_duplicates, udp_ports, flows, send_memory, receive_memory, message_max, "
           "keepalive, idle_limit, spin, seed";
  }

 private:
  static constexpr std::uint64_t flows_limit = 1U << 20U;
  static constexpr std::uint64_t memory_min = 1U << 20U;
  static constexpr std::uint64_t memory_max = std::uint64_t{1} << 40U;
  static constexpr std::uint64_t message_limit = 64U << 20U;

  static tl::unexpected<std::string> refuse(const OptionPair& pair, const std::string& expected) {
    return tl::unexpected{"line " + std::to_string(pair.line) + ": " + std::string{pair.key} + "=" +
                          std::string{pair.value} + ": " + expected};
  }
  std::string set_nic(std::string_view value) {
    if constexpr (requires { NicOptions::parse(value); }) {
      auto parsed = NicOptions::parse(value);
      if (!parsed) return parsed.error();
      nic = std::move(*parsed);
      return {};
    } else {
      return "this NIC has no options as text; leave the key out";
    }
  }
  std::string set_address(std::string_view value) {
    const auto prefix = parse_prefix(value);
    if (!prefix) return "expected an address with its prefix length, as in 10.0.0.1/24";
    interface.addresses.push_back(*prefix);
    return {};
  }
  std::string add_gateway(std::string_view value) {
    const auto gateway = parse_ip(value);
    if (!gateway) return "expected an address, as in 10.0.0.254 or fe80::1";
    interface.routes.push_back(default_route(*gateway));
    return {};
  }
  std::string add_route(std::string_view value) {
    const std::size_t at = value.find('@');
    const auto prefix = parse_prefix(value.substr(0, at));
    Route route;
    if (at != std::string_view::npos) route.gateway = parse_ip(value.substr(at + 1));
    if (!prefix || (at != std::string_view::npos && !route.gateway))
      return "expected network/bits@gateway, as in 10.1.0.0/16@10.0.0.254, or an address";
    route.prefix = *prefix;
    interface.routes.push_back(route);
    return {};
  }
  std::string set_mtu(std::string_view value) {
    if (auto bad = set_number(value, 576, 9216, interface.mtu_bytes); !bad.empty()) return bad;
    if constexpr (requires { nic.mtu = interface.mtu_bytes; }) nic.mtu = interface.mtu_bytes;
    return {};
  }
  std::string set_ports(std::string_view value) {
    const std::size_t dash = value.find('-');
    const auto first = parse_count(value.substr(0, dash));
    const auto last = parse_count(dash == std::string_view::npos ? "" : value.substr(dash + 1));
    if (!first || !last || *first == 0 || *first > *last || *last > 65'535)
      return "expected first-last, as in 49152-65535";
    interface.udp_port_first = static_cast<std::uint16_t>(*first);
    interface.udp_port_last = static_cast<std::uint16_t>(*last);
    return {};
  }
  std::string set_message_max(std::string_view value) {
    if (auto bad = set_bytes(value, 1, message_limit, memory.message_bytes_max); !bad.empty())
      return bad;
    engine.flow.message_bytes_max = memory.message_bytes_max;
    engine.flow.send_queue_bytes_max =
        std::max(engine.flow.send_queue_bytes_max, 2 * memory.message_bytes_max);
    return {};
  }
  template <class T>
  static std::string set_number(std::string_view value, std::uint64_t low, std::uint64_t high,
                                T& out) {
    const auto number = parse_count(value);
    if (!number || *number < low || *number > high)
      return "expected a number from " + std::to_string(low) + " to " + std::to_string(high);
    out = static_cast<T>(*number);
    return {};
  }
  template <class T>
  static std::string set_bytes(std::string_view value, std::uint64_t low, std::uint64_t high,
                               T& out) {
    const auto bytes = parse_bytes(value);
    if (!bytes || *bytes < low || *bytes > high)
      return "expected " + std::to_string(low) + " to " + std::to_string(high) +
             " bytes, with or without KiB, MiB, GiB";
    out = static_cast<T>(*bytes);
    return {};
  }
  static std::string set_switch(std::string_view value, bool& out) {
    if (value != "on" && value != "off") return "expected on or off";
    out = value == "on";
    return {};
  }
  static std::string set_duration(std::string_view value, Duration& out) {
    const auto duration = parse_duration(value);
    if (!duration) return "expected a time with unit (ns, us, ms, s, min), as in 30s";
    out = *duration;
    return {};
  }
  static std::string set_duration(std::string_view value, Duration least, Duration most,
                                  Duration& out) {
    Duration duration{};
    if (auto bad = set_duration(value, duration); !bad.empty()) return bad;
    if (duration < least || duration > most)
      return "expected " + std::to_string(least / std::chrono::milliseconds{1}) + "ms to " +
             std::to_string(most / std::chrono::minutes{1}) + "min";
    out = duration;
    return {};
  }
};

}  // namespace proa
