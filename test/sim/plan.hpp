// Simulation: everything one seed decides before the run: faults, scripts, sizes. Swarm testing:
// each seed switches some faults off, so that every fault is also seen without the others.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>
#include <proa/transport/congestion.hpp>

#include "faults.hpp"
#include "narrow_path.hpp"

namespace proa::sim {

using namespace std::chrono_literals;

/// How a run ends.
enum class Mode : std::uint8_t {
  converge,     // heal, deliver everything, then close
  early_close,  // close right behind the last submit
  reset,        // one side resets in the middle
  partition,    // the network never comes back: both ends are told within the idle limit
  nobody,       // no listener and no answer: the connect ends at its deadline
};
inline constexpr std::array<const char*, 5> mode_names{"converge", "early_close", "reset",
                                                       "partition", "nobody"};

struct PlannedMessage {
  std::uint32_t length = 0;
  Duration gap{};  // after the previous submit
  bool notify = false;
};

struct Script {
  std::vector<PlannedMessage> messages;
  Duration lease_max{};  // how long the application keeps what it received
};

struct Plan {
  std::uint64_t seed = 0;
  Mode mode = Mode::converge;
  std::array<LinkFaults, 2> faults;  // [0]: towards host 0
  std::vector<Blackhole> blackholes;
  std::vector<Clog> clogs;
  Duration delay = 20us;  // one way; a quarter of it is the switch's business elsewhere
  std::uint64_t bits_per_second = 25'000'000'000;
  std::uint64_t queue_bytes = std::uint64_t{1} << 20U;
  std::uint32_t stall_ppm = 0;  // per step: a host is not polled for up to stall_max
  Duration stall_max{};
  Duration chaos = 50ms;  // then the network heals
  Instant end_at{};       // reset, partition: when
  std::uint32_t pairs = 1;
  std::uint32_t packet_bytes = 1472;
  std::uint32_t message_bytes_max = 8U << 20U;
  std::uint64_t receive_bytes = std::uint64_t{64} << 20U;
  std::uint32_t closer = 0;                   // which host closes or resets; 2: both close
  std::vector<std::array<Script, 2>> script;  // per pair, per host

  CongestionKind congestion = CongestionKind::swift;  // of both hosts
  bool udp_checksum = false;  // instead of CRC-32C; never where several bits of a packet change
  std::array<Narrowing, 2> narrow;  // [0]: towards host 0; healing does not widen a path
  std::uint32_t packets_in_flight_max = 16384;  // what a sender remembers

  // What the flows are told; the seeds leave it alone.
  std::uint32_t send_queue_bytes_max = 32U << 20U;  // what an application may have outstanding
  std::uint32_t credit_window_max = 4U << 20U;
  Duration idle_limit = 30s;
  std::optional<std::uint32_t> first_number;  // of both ends' packets; else random
  std::uint32_t incarnation = 0;              // of both hosts; names their flow ids too
};

namespace detail {

inline LinkFaults random_faults(Prng& prng, const std::array<bool, 4>& enabled) {
  LinkFaults out;
  if (enabled[0] && prng.chance(3, 4)) {
    out.loss_ppm = static_cast<std::uint32_t>(prng.below(300'001));
    out.burst_max = 1 + static_cast<std::uint32_t>(prng.below(3));
  }
  if (enabled[1]) out.duplicate_ppm = static_cast<std::uint32_t>(prng.below(200'000));
  if (enabled[2]) {
    out.corrupt_ppm = static_cast<std::uint32_t>(prng.below(100'000));
    out.single_bit = prng.chance(1, 2);
  }
  if (enabled[3]) {
    out.reorder_ppm = static_cast<std::uint32_t>(prng.below(300'000));
    out.reorder_max = Duration{static_cast<std::int64_t>(1 + prng.below(500'000))};
  }
  return out;
}

/// Mostly small; now and then one of the kinds with a boundary behind it.
inline std::uint32_t random_length(Prng& prng, std::uint32_t max, std::uint32_t& large_left) {
  const auto up_to = [&](std::uint32_t n) {
    return static_cast<std::uint32_t>(prng.below(std::min(n, max) + 1));
  };
  switch (prng.below(16)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return up_to(64);
    case 3:
      return std::min(max, 1400 + up_to(100));
    case 4:
      return up_to(64 * 1024);
    case 5:
      if (large_left == 0) return up_to(4096);
      --large_left;
      return prng.chance(1, 8) ? max : up_to(max / 4);
    default:
      return up_to(1024);
  }
}

inline Script random_script(Prng& prng, const Plan& plan, std::uint32_t messages_max) {
  Script out;
  std::uint32_t large_left = plan.pairs == 1 ? 2 : 1;
  if (!prng.chance(1, 6)) large_left = 0;
  const bool spaced = prng.chance(1, 2);
  const bool notify_all = prng.chance(1, 2);
  const auto count = prng.below(messages_max + 1);
  for (std::uint64_t i = 0; i < count; ++i) {
    PlannedMessage m;
    m.length = random_length(prng, plan.message_bytes_max, large_left);
    if (spaced && prng.chance(1, 3))
      m.gap = Duration{static_cast<std::int64_t>(prng.below(300'000))};
    m.notify = notify_all || prng.chance(1, 4);
    out.messages.push_back(m);
  }
  if (prng.chance(1, 3)) out.lease_max = Duration{static_cast<std::int64_t>(prng.below(2'000'000))};
  return out;
}

/// Black holes, or clogs; each begins before `latest`.
template <class Outage>
void random_outages(Prng& prng, const Plan& plan, Duration latest, std::vector<Outage>& out) {
  for (auto n = prng.below(3); n > 0; --n) {
    Outage outage;
    const auto from = prng.below(static_cast<std::uint64_t>(latest.count()));
    outage.from = Instant{Duration{static_cast<std::int64_t>(from)}};
    constexpr std::array<std::int64_t, 3> round_trips{2, 20, 200};  // TEST-MATRIX A5
    outage.to = outage.from + plan.delay * 2 * round_trips[prng.below(3)];
    const auto which = prng.below(3);
    outage.direction = {which != 0, which != 1};
    out.push_back(outage);
  }
}

inline Mode random_mode(Prng& prng) {
  switch (prng.below(20)) {
    case 0:
      return Mode::reset;
    case 1:
      return Mode::partition;
    case 2:
      return prng.chance(1, 4) ? Mode::nobody : Mode::reset;
    case 3:
    case 4:
    case 5:
      return Mode::early_close;
    default:
      return Mode::converge;
  }
}

/// Half of the runs have the default.
inline CongestionKind random_congestion(Prng& prng) {
  constexpr std::array<CongestionKind, 4> kinds{CongestionKind::swift, CongestionKind::swift,
                                                CongestionKind::cubic,
                                                CongestionKind::fixed_window};
  return kinds[prng.below(kinds.size())];
}

/// At some time nothing above a size from `least` to `most` gets through; often for good.
inline Narrowing random_narrowing(Prng& prng, Duration chaos, std::uint32_t least,
                                  std::uint32_t most) {
  const auto until = [&](Duration most_ns) {
    return Duration{
        static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(most_ns.count())))};
  };
  Narrowing out;
  out.from = Instant{until(prng.chance(2, 3) ? chaos / 16 : chaos)};
  if (prng.chance(1, 2)) out.to = out.from + until(chaos);
  out.bytes_max = least + static_cast<std::uint32_t>(prng.below(most - least + 1));
  return out;
}

/// Drawn apart: the rest of a seed's plan stays what it was.
inline void random_transport(Plan& plan) {
  Prng prng{plan.seed ^ 0x7472'616e'7370'6f72U};
  plan.congestion = random_congestion(prng);
  const bool bits_only = std::all_of(plan.faults.begin(), plan.faults.end(), [](const auto& f) {
    return f.corrupt_ppm == 0 || f.single_bit;
  });
  plan.udp_checksum = prng.chance(1, 6) && bits_only;
  if (prng.chance(1, 4))  // then acknowledgements alone may fill it
    plan.packets_in_flight_max = 16U << prng.below(4);
  constexpr std::uint32_t least = 1232 + 2;  // what every path carries, and a UDP checksum
  if (plan.packet_bytes <= least || !prng.chance(1, 4)) return;
  const auto which = prng.below(3);
  for (std::uint32_t to = 0; to < 2; ++to)
    if (which != to) plan.narrow[to] = random_narrowing(prng, plan.chaos, least, plan.packet_bytes);
}

}  // namespace detail

/// `loss_ppm_max` bounds the loss of each direction.
inline Plan make_plan(std::uint64_t seed) {
  Prng prng{seed ^ 0x0070'6c61'6e00'0000U};
  Plan plan;
  plan.seed = seed;
  plan.mode = detail::random_mode(prng);
  std::array<bool, 4> enabled{};
  for (auto& on : enabled) on = prng.chance(1, 2);
  for (auto& faults : plan.faults) faults = detail::random_faults(prng, enabled);
  constexpr std::array<std::int64_t, 4> delays_us{5, 20, 20, 200};
  plan.delay = std::chrono::microseconds{delays_us[prng.below(4)]};
  if (prng.chance(1, 4)) plan.bits_per_second = 1'000'000'000;
  if (prng.chance(1, 8)) plan.queue_bytes = 64U << 10U;
  plan.chaos = Duration{static_cast<std::int64_t>(1'000'000 + prng.below(100'000'000))};
  if (prng.chance(1, 3)) detail::random_outages(prng, plan, plan.chaos, plan.blackholes);
  if (prng.chance(1, 4)) {
    plan.stall_ppm = 2'000;
    plan.stall_max = Duration{static_cast<std::int64_t>(1 + prng.below(2'000'000))};
  }
  plan.end_at = Instant{Duration{static_cast<std::int64_t>(prng.below(20'000'000))}};
  if (prng.chance(1, 3)) plan.pairs = 2 + static_cast<std::uint32_t>(prng.below(6));
  constexpr std::array<std::uint32_t, 4> packet_sizes{1232, 1472, 1472, 8972};
  plan.packet_bytes = packet_sizes[prng.below(4)];
  if (prng.chance(1, 4)) {  // memory pressure
    plan.message_bytes_max = 256U << 10U;
    plan.receive_bytes = prng.chance(1, 2) ? std::uint64_t{1} << 20U : std::uint64_t{640} << 10U;
  }
  plan.closer = static_cast<std::uint32_t>(prng.below(3));
  const bool both_send = plan.mode != Mode::early_close;
  if (!both_send) plan.closer = static_cast<std::uint32_t>(prng.below(2));
  const auto messages_max = static_cast<std::uint32_t>(60 / plan.pairs + prng.below(60));
  for (std::uint32_t pair = 0; pair < plan.pairs; ++pair) {
    std::array<Script, 2> both;
    for (std::uint32_t host = 0; host < 2; ++host)
      if (both_send || host == plan.closer)
        both[host] = detail::random_script(prng, plan, messages_max);
    plan.script.push_back(std::move(both));
  }
  // Then submit is often refused.
  if (plan.message_bytes_max > 1U << 20U && prng.chance(1, 4))
    plan.send_queue_bytes_max = 64U << 10U;
  detail::random_transport(plan);
  Prng clogs{seed ^ 0x0063'6c6f'6773'0000U};  // apart as well
  const Duration soon = plan.chaos / 16;      // most of what flows have to say is said by then
  if (clogs.chance(1, 4)) detail::random_outages(clogs, plan, soon, plan.clogs);
  return plan;
}

}  // namespace proa::sim
