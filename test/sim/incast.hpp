// Simulation under load: N hosts send to one at the same time, and what became of it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "load_world.hpp"

namespace proa::sim {

/// TEST-MATRIX part A: RTT 40 us, 25 Gbit/s.
inline constexpr double base_bits_per_second = 25e9;
inline constexpr double base_rtt_s = 40e-6;
inline constexpr double bdp_bytes = base_bits_per_second * base_rtt_s / 8;

struct IncastOptions {
  std::uint64_t seed = 1;
  std::uint32_t senders = 8;
  double queue_bdp = 1;  // of the receiver's link
  std::uint32_t message_bytes = 256U << 10U;
  Duration time = 50ms;  // from the first messages on: start-up is part of it
  CongestionKind congestion = CongestionKind::swift;
  bool ecn = false;  // then a queue above mark_bdp marks
  double mark_bdp = 0.2;
};

struct IncastResult {
  double jain = 0;                       // index of the bytes each sender got through
  double goodput = 0;                    // of messages' bytes, as a part of the link's rate
  double p50 = 0, p99 = 0, longest = 0;  // completion of messages over their fair-share time
  std::uint64_t messages = 0, queue_drops = 0, packets_sent = 0, packets_lost = 0, probes = 0;
  std::uint64_t marked = 0;  // by the queue
};

inline double jain_index(const std::vector<double>& shares) {
  double sum = 0, squares = 0;
  for (const double x : shares) {
    sum += x;
    squares += x * x;
  }
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(shares.size()) * squares);
}
inline double seconds_of(Duration d) { return static_cast<double>(d.count()) / 1e9; }
/// What one message of each sender takes on the link, all together.
inline double fair_share_s(const IncastOptions& options) {
  return options.senders * options.message_bytes * 8.0 / base_bits_per_second;
}

/// Each sender keeps one message under way.
inline IncastResult judge_incast(LoadWorld<>& world, const IncastOptions& options) {
  IncastResult out;
  std::vector<double> shares, times;
  double bytes = 0;
  const double fair_s = fair_share_s(options);
  for (std::size_t i = 0; i < world.flows().size(); ++i) {
    const LoadFlow& flow = world.flows()[i];
    shares.push_back(static_cast<double>(flow.delivered_bytes));
    bytes += shares.back();
    for (const Duration d : flow.completions) times.push_back(seconds_of(d) / fair_s);
    // What still waits counts as if it were done: nobody is forgotten by starving.
    if (!flow.waiting_since.empty())
      times.push_back(seconds_of(world.now() - flow.waiting_since.front()) / fair_s);
    const FlowInfo info = world.info(i);
    out.packets_sent += info.packets_sent;
    out.packets_lost += info.packets_lost;
    out.probes += info.probes;
  }
  std::sort(times.begin(), times.end());
  out.jain = jain_index(shares);
  out.goodput = bytes * 8 / seconds_of(options.time) / base_bits_per_second;
  out.p50 = times[times.size() / 2];
  out.p99 = times[times.size() * 99 / 100];
  out.longest = times.back();
  out.messages = times.size();
  out.queue_drops = world.network().counters().queue_drops;
  out.marked = world.network().counters().marked;
  return out;
}

inline IncastResult run_incast(const IncastOptions& options) {
  LoadOptions load;
  load.seed = options.seed;
  load.flow.congestion = options.congestion;
  load.flow.ecn = options.ecn;
  LoadWorld<> world(options.senders + 1, load);
  SimLinkOptions bottleneck = world.port_of(0).options().link;
  bottleneck.queue_limit = ByteCount{static_cast<std::uint64_t>(options.queue_bdp * bdp_bytes)};
  if (options.ecn)
    bottleneck.mark_above = ByteCount{static_cast<std::uint64_t>(options.mark_bdp * bdp_bytes)};
  world.port_of(0).set_link(bottleneck);
  for (std::uint32_t i = 1; i <= options.senders; ++i) {
    LoadFlowOptions flow;
    flow.from = i;
    flow.message_bytes = options.message_bytes;
    flow.start = never;
    world.add(flow);
  }
  world.start_together();
  world.run_for(options.time);
  const IncastResult out = judge_incast(world, options);
  world.converge();
  return out;
}

}  // namespace proa::sim
