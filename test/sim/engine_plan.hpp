// Simulation, second level: what one seed decides about hosts, connections and incidents.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/nic/lossy.hpp>
#include <proa/nic/sim.hpp>
#include <proa/wire/ethernet.hpp>

#include "plan.hpp"

namespace proa::sim {

/// What one connection of a run is about.
enum class Fate : std::uint8_t {
  deliver,      // everything arrives, then the closer closes
  early_close,  // the closer closes right behind its last submit
  reset,        // the closer resets in the middle
  refused,      // nobody listens on that port
  nobody,       // nobody has that address
};
inline constexpr std::array<const char*, 5> fate_names{"deliver", "early_close", "reset", "refused",
                                                       "nobody"};

struct ConnectionPlan {
  Fate fate = Fate::deliver;
  std::uint32_t from = 0, to = 0;  // hosts, or both ends on one
  Instant start{};
  Instant reset_at{};
  std::uint32_t closer = 0;      // 0: client, 1: server, 2: both
  std::array<Script, 2> script;  // client's, server's
};

enum class IncidentKind : std::uint8_t {
  tx_hole,     // nothing leaves the host for a while
  rx_hole,     // nothing reaches it
  link_down,   // its link is down for a while
  port_reset,  // its rings are emptied
  late_poll,   // one of its threads does not run for a while
  partition,   // some hosts and the others do not reach each other
  one_way,     // what one host sends to another is lost
  clogged,     // what one host sends to another waits
  crash,       // the host restarts with empty hands
  new_hash,    // its NIC is replaced: rings are emptied, flows come to other queues
};
inline constexpr std::uint32_t incident_kinds = 8;  // apart from those drawn by themselves

struct Incident {
  IncidentKind kind = IncidentKind::tx_hole;
  std::uint32_t host = 0;
  Instant at{};
  Duration length{};
  // A bit per host: on the other side of a partition, or the receivers. Or says which thread.
  std::uint32_t peers = 0;
};

struct EnginePlan {
  std::uint64_t seed = 0;
  std::uint32_t hosts = 2;
  SimSwitching switching = SimSwitching::learning;
  SimPortOptions port;
  std::vector<SimLinkOptions> links;     // each host's, with its losses until the network heals
  bool ecn = false;                      // hosts say they understand CE
  std::array<LossyFaults, 2> faults;     // [0]: of what hosts send, [1]: of what they receive
  bool application_has_no_room = false;  // now and then
  Duration chaos = 100ms;
  std::uint32_t mtu_bytes = 1500;
  std::uint32_t message_bytes_max = 8U << 20U;
  std::uint64_t receive_bytes = std::uint64_t{64} << 20U;
  std::vector<ConnectionPlan> connections;
  std::vector<Incident> incidents;  // in the order of time, all before `chaos` ends
  bool crashes = false;             // then flows may end early, and every reason is possible
  std::array<bool, 2> families{true, false};  // IPv4, IPv6; with both, connections take turns
  VlanId vlan = no_vlan;
  std::vector<std::uint32_t> engines;  // of each host; its NIC has as many queues, see port.rss
  std::uint32_t engines_reborn = 1;    // of a host that has restarted
  std::uint32_t handover_slots = 256;
  bool shared_listeners = false;  // every engine listens on every port, or each port has its engine
  std::vector<CongestionKind> congestion;  // by host
  std::vector<Narrowing> narrow;           // by host: what it sends; healing does not widen a path

  [[nodiscard]] bool several_engines() const noexcept {
    return std::any_of(engines.begin(), engines.end(), [](auto count) { return count > 1; });
  }
  /// One of its hosts crashes at some time.
  [[nodiscard]] bool crosses_a_crash(const ConnectionPlan& connection) const noexcept {
    return std::any_of(incidents.begin(), incidents.end(), [&](const Incident& i) {
      return i.kind == IncidentKind::crash &&
             (i.host == connection.from || i.host == connection.to);
    });
  }
  static constexpr std::uint32_t ports = 4;  // servers' ports: one for the clients of each engine
  [[nodiscard]] static std::uint16_t port_of(std::uint32_t client_engine) noexcept {
    return static_cast<std::uint16_t>(7000 + client_engine);
  }
  [[nodiscard]] bool listens(std::uint32_t service, std::uint32_t engine,
                             std::uint32_t of) const noexcept {
    return shared_listeners || service % of == engine;
  }
  [[nodiscard]] bool over_ipv6(std::uint32_t connection) const noexcept {
    return families[1] && (!families[0] || connection % 2 == 1);
  }
  /// Of host number `host`, from 0.
  [[nodiscard]] static IpAddress address(std::uint32_t host, bool ipv6) noexcept {
    IpAddress out = IpAddress::v4(0x0a00'0001U + host);
    if (ipv6) out = {{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, std::uint8_t(host + 1)}};
    return out;
  }
};

namespace detail {

inline LossyFaults random_lossy(Prng& prng, const std::array<bool, 4>& enabled) {
  LossyFaults out;
  if (enabled[0]) {
    out.drop_ppm = static_cast<std::uint32_t>(prng.below(160'000));  // twice on the way: 30 %
    out.drop_burst_max = 1 + static_cast<std::uint32_t>(prng.below(3));
  }
  if (enabled[1]) out.duplicate_ppm = static_cast<std::uint32_t>(prng.below(100'000));
  if (enabled[2]) {
    out.corrupt_ppm = static_cast<std::uint32_t>(prng.below(50'000));
    out.corruption = prng.chance(1, 2) ? Corruption::single_bit : Corruption::random_bytes;
    // ARP has no checksum of its own: what Ethernet's FCS protects is left alone there.
    out.corrupt_from_byte = 60;
    if (prng.chance(1, 2)) out.corrupt_from_byte = 42;
  }
  if (enabled[3]) {
    out.reorder_ppm = static_cast<std::uint32_t>(prng.below(100'000));
    out.reorder_delay_max = Duration{static_cast<std::int64_t>(1 + prng.below(300'000))};
  }
  return out;
}

inline Instant random_instant(Prng& prng, Duration below) {
  return Instant{
      Duration{static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(below.count())))}};
}

inline ConnectionPlan random_connection(Prng& prng, const EnginePlan& plan,
                                        std::uint32_t messages_max) {
  ConnectionPlan out;
  switch (prng.below(16)) {
    case 0:
      out.fate = Fate::reset;
      break;
    case 1:
      out.fate = Fate::refused;
      break;
    case 2:
      out.fate = prng.chance(1, 3) ? Fate::nobody : Fate::early_close;
      break;
    case 3:
      out.fate = Fate::early_close;
      break;
    default:
      break;
  }
  out.from = static_cast<std::uint32_t>(prng.below(plan.hosts));
  out.to = static_cast<std::uint32_t>(prng.below(plan.hosts));
  if (out.from == out.to && !prng.chance(1, 4)) out.to = (out.to + 1) % plan.hosts;
  if (prng.chance(1, 2)) out.start = random_instant(prng, plan.chaos / 4);
  out.reset_at = out.start + random_instant(prng, 10ms).time_since_epoch();
  out.closer = static_cast<std::uint32_t>(prng.below(3));
  Plan sizes;
  sizes.message_bytes_max = plan.message_bytes_max;
  sizes.pairs = 2;
  for (std::uint32_t end = 0; end < 2; ++end)
    out.script[end] = random_script(prng, sizes, messages_max);
  if (out.fate == Fate::early_close) {
    out.closer = static_cast<std::uint32_t>(prng.below(2));
    out.script[1 - out.closer].messages.clear();
  }
  return out;
}

/// Each direction of each cable loses in bursts of its own length, or not at all.
inline SimLoss random_loss(Prng& prng) {
  SimLoss out;
  if (prng.chance(1, 2)) return out;
  out.enter_ppm = static_cast<std::uint32_t>(prng.below(30'000));
  out.leave_ppm = 50'000 + static_cast<std::uint32_t>(prng.below(900'000));  // 1 to 20 frames
  out.bad_ppm = 300'000 + static_cast<std::uint32_t>(prng.below(700'000));
  if (prng.chance(1, 4)) out.good_ppm = static_cast<std::uint32_t>(prng.below(10'000));
  return out;
}

/// Cables differ between hosts, and the directions of one cable too.
inline void random_links(Prng& prng, EnginePlan& plan) {
  const bool lossy = prng.chance(1, 4), uneven = prng.chance(1, 4);
  plan.ecn = prng.chance(1, 4);
  if (plan.ecn && prng.chance(2, 3)) plan.port.link.mark_above = kib(8 + prng.below(120));
  if (plan.ecn && prng.chance(1, 3))
    plan.port.link.mark_ppm = static_cast<std::uint32_t>(prng.below(200'000));
  for (std::uint32_t i = 0; i < plan.hosts; ++i) {
    SimLinkOptions link = plan.port.link;
    if (lossy) link.to_switch = random_loss(prng);
    if (lossy) link.to_port = random_loss(prng);
    if (uneven) link.delay = std::chrono::microseconds{1 + prng.below(500)};
    if (uneven && prng.chance(1, 2)) link.bits_per_second /= 1 + prng.below(20);
    plan.links.push_back(link);
  }
}

inline void random_crash(Prng& prng, EnginePlan& plan) {
  Incident i;
  i.kind = IncidentKind::crash;
  i.host = static_cast<std::uint32_t>(prng.below(plan.hosts));
  i.at = random_instant(prng, std::min<Duration>(plan.chaos, 20ms));
  plan.crashes = true;
  plan.incidents.push_back(i);
}

/// Each seed knows only some kinds of incidents (swarm testing, Groce et al., ISSTA 2012).
inline void random_incidents(Prng& prng, EnginePlan& plan) {
  std::vector<IncidentKind> kinds;
  for (std::uint32_t kind = 0; kind < incident_kinds; ++kind)
    if (prng.chance(1, 2)) kinds.push_back(static_cast<IncidentKind>(kind));
  for (auto n = kinds.empty() ? 0 : prng.below(5); n > 0; --n) {
    Incident i;
    i.kind = kinds[prng.below(kinds.size())];
    i.host = static_cast<std::uint32_t>(prng.below(plan.hosts));
    i.peers = static_cast<std::uint32_t>(1 + prng.below((1U << plan.hosts) - 1));
    // Most of what hosts have to say is said soon.
    i.at = random_instant(prng, prng.chance(2, 3) ? plan.chaos / 16 : plan.chaos);
    constexpr std::array<std::int64_t, 4> lengths_us{100, 1'000, 20'000, 200'000};
    i.length = std::chrono::microseconds{lengths_us[prng.below(4)]};
    plan.incidents.push_back(i);
  }
  if (prng.chance(1, 8)) random_crash(prng, plan);
}

/// A third of the runs has several engines on some hosts, and NICs that hash as some cloud's do.
inline void random_engines(Prng& prng, EnginePlan& plan) {
  plan.engines.assign(plan.hosts, 1);
  if (!prng.chance(1, 3)) return;
  for (auto& count : plan.engines) count = 1U << prng.below(3);
  plan.engines.front() = 2U << prng.below(2);
  plan.engines_reborn = 1U << prng.below(3);
  constexpr std::array hashes{SimRss::opaque, SimRss::symmetric, SimRss::ordered, SimRss::low_bits,
                              SimRss::constant};
  plan.port.rss = hashes[prng.below(hashes.size())];
  plan.shared_listeners = prng.chance(1, 2);
  if (prng.chance(1, 4)) plan.handover_slots = 16;
  for (auto n = prng.chance(1, 2) ? 1 + prng.below(3) : 0; n > 0; --n) {
    Incident i;
    i.kind = IncidentKind::new_hash;
    i.host = static_cast<std::uint32_t>(prng.below(plan.hosts));
    i.at = random_instant(prng, prng.chance(2, 3) ? plan.chaos / 16 : plan.chaos);
    plan.incidents.push_back(i);
  }
  if (prng.chance(1, 8)) random_crash(prng, plan);
}

/// Which controllers, and paths that become narrow.
inline void random_transport(Prng& prng, EnginePlan& plan) {
  plan.narrow.resize(plan.hosts);
  const bool narrows = prng.chance(1, 4);
  constexpr std::uint32_t least = 1280 + ethernet_header_bytes + 4;  // RFC 8200; a VLAN's tag
  for (std::uint32_t i = 0; i < plan.hosts; ++i) {
    plan.congestion.push_back(random_congestion(prng));
    if (narrows && prng.chance(1, 2))
      plan.narrow[i] = random_narrowing(prng, plan.chaos, least, plan.port.frame_bytes_max);
  }
}

}  // namespace detail

inline EnginePlan make_engine_plan(std::uint64_t seed) {
  Prng prng{seed ^ 0x656e'6769'6e65'0000U};
  EnginePlan plan;
  plan.seed = seed;
  plan.hosts = 2 + static_cast<std::uint32_t>(prng.below(prng.chance(1, 8) ? 7 : 3));
  plan.switching = prng.chance(1, 2) ? SimSwitching::learning : SimSwitching::fixed;
  std::array<bool, 4> enabled{};
  for (auto& on : enabled) on = prng.chance(1, 2);
  for (auto& faults : plan.faults) faults = detail::random_lossy(prng, enabled);
  if (prng.chance(1, 4)) plan.port.link.bits_per_second = 1'000'000'000;
  if (prng.chance(1, 6)) plan.port.link.queue_limit = kib(64);
  if (prng.chance(1, 6)) plan.port.descriptors = 64;
  if (prng.chance(1, 6)) plan.port.pool_packets = 256;
  if (prng.chance(1, 4)) plan.port.link.delay = std::chrono::microseconds{100};
  detail::random_links(prng, plan);
  if (prng.chance(1, 4)) {
    plan.mtu_bytes = 9000;
    plan.port.frame_bytes_max = 9014;
  }
  plan.application_has_no_room = prng.chance(1, 4);
  plan.chaos = Duration{static_cast<std::int64_t>(1'000'000 + prng.below(300'000'000))};
  if (prng.chance(1, 4)) {
    plan.message_bytes_max = 256U << 10U;
    plan.receive_bytes = std::uint64_t{2} << 20U;
  }
  const auto count = 1 + prng.below(prng.chance(1, 8) ? 40 : 8);
  const auto messages_max = static_cast<std::uint32_t>(80 / count + prng.below(40));
  for (std::uint64_t i = 0; i < count; ++i)
    plan.connections.push_back(detail::random_connection(prng, plan, messages_max));
  if (prng.chance(1, 2)) detail::random_incidents(prng, plan);
  Prng network{seed ^ 0x6e65'7477'6f72'6bU};  // apart: the rest of a seed's plan stays what it was
  const auto families = network.below(3);
  plan.families = {families != 1, families != 0};
  if (network.chance(1, 4)) plan.vlan = static_cast<VlanId>(1 + network.below(vlan_max));
  Prng queues{seed ^ 0x7175'6575'6573U};  // apart as well
  detail::random_engines(queues, plan);
  std::stable_sort(plan.incidents.begin(), plan.incidents.end(),
                   [](const Incident& a, const Incident& b) { return a.at < b.at; });
  detail::random_transport(network, plan);
  return plan;
}

}  // namespace proa::sim
