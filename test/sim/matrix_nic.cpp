// TEST-MATRIX A25 and A26: what happens to NICs and to threads; flows resume, nothing is silent.
#include <catch2/catch.hpp>

#include "incast.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr Duration rtt = 40us;

/// Busy flows from host 1 to host 0, one of each engine, past their start-up.
struct Busy {
  explicit Busy(const LoadOptions& options) : world(2, options) {
    LoadFlowOptions flow;
    flow.outstanding = 4;
    flow.start = never;
    for (std::uint32_t i = 0; i < options.engines; ++i) world.add(flow);
    world.start_together();
    world.run_for(5ms);
  }
  [[nodiscard]] std::uint64_t delivered() const {
    std::uint64_t out = 0;
    for (const LoadFlow& flow : world.flows()) out += flow.delivered;
    return out;
  }
  [[nodiscard]] std::uint64_t lost() const {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < world.flows().size(); ++i) out += world.info(i).packets_lost;
    return out;
  }
  /// Messages of every flow go on being delivered, all together at more than half of the link's
  /// rate.
  void demand_resumed() {
    const std::vector<LoadFlow> before = world.flows();
    const std::uint64_t messages = delivered();
    world.run_for(20ms);
    for (std::size_t i = 0; i < before.size(); ++i) {
      CAPTURE(i);
      CHECK(world.flows()[i].delivered > before[i].delivered + 2);
    }
    const double bytes = static_cast<double>(delivered() - messages) * (256U << 10U);
    CHECK(bytes * 8 / 0.02 >= 0.5 * base_bits_per_second);
    world.converge();
  }

  LoadWorld<> world;
};

/// `draw` varies what a row does not: the family, one engine a host or four on its one port. Any
/// four in a row are all there are.
LoadOptions load(std::uint64_t seed, std::uint64_t draw) {
  LoadOptions out;
  out.seed = seed;
  out.ipv6 = draw % 2 == 1;
  out.engines = draw % 4 < 2 ? 1 : 4;
  return out;
}

}  // namespace

TEST_CASE("a link that goes down for 100 us to 100 ms is counted and the flow resumes", "[A25]") {
  std::uint64_t draw = 0;
  for (const auto seed : seeds(3, 50))
    for (const std::uint32_t host : {0U, 1U})
      for (const Duration time : {Duration{100us}, Duration{2ms}, Duration{100ms}}) {
        const LoadOptions options = load(seed, draw++);
        CAPTURE(seed, host, time.count(), options.engines, options.ipv6);
        Busy busy{options};
        const NicCounters before = busy.world.counters(host).nic;
        busy.world.port_of(host).set_link_up(false);
        busy.world.run_for(time);
        const std::uint64_t stopped = busy.delivered();
        busy.world.run_for(1us);
        CHECK(busy.delivered() == stopped);
        busy.world.port_of(host).set_link_up(true);
        CHECK(busy.world.counters(host).nic.link_downs == before.link_downs + 1);
        // Whoever has to wait for answers may not try to send within 100 us.
        if (time > rtt * 10) CHECK(busy.world.counters(host).nic.tx_errors > before.tx_errors);
        busy.world.run_for(time + 2ms);  // at most one backed-off probe later it goes on
        busy.demand_resumed();
      }
}

TEST_CASE("a port that is reset loses what was in its rings, counted, and the flow resumes",
          "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    const LoadOptions options = load(seed, seed);
    CAPTURE(seed, options.engines, options.ipv6);
    Busy busy{options};
    const std::uint64_t lost = busy.lost();
    busy.world.stall(0, busy.world.now() + 50us);
    busy.world.run_for(40us);  // frames wait
    REQUIRE(busy.world.backlog(0) > 0);
    busy.world.port_of(0).reset();
    busy.world.port_of(1).reset();
    CHECK(busy.world.counters(0).nic.rx_missed > 0);
    busy.world.run_for(2ms);
    CHECK(busy.lost() > lost);
    busy.demand_resumed();
  }
}

TEST_CASE("a receive ring that runs over is counted and the flow resumes", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    LoadOptions options = load(seed, seed);
    CAPTURE(seed, options.engines, options.ipv6);
    options.port.descriptors = 64 / options.engines;  // all of them less than a window
    Busy busy{options};
    const std::uint64_t before = busy.world.counters(0).nic.rx_missed;
    busy.world.stall(0, busy.world.now() + 1ms);
    busy.world.run_for(2ms);
    CHECK(busy.world.counters(0).nic.rx_missed > before);
    busy.demand_resumed();
  }
}

TEST_CASE("a transmit ring that is full is counted and delays, but loses nothing", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    LoadOptions options = load(seed, seed);
    CAPTURE(seed, options.engines, options.ipv6);
    options.port.descriptors = 32;
    options.flow.congestion = CongestionKind::fixed_window;  // 256 KiB: more than the ring
    Busy busy{options};
    const std::uint64_t lost = busy.lost();
    SimLinkOptions slow = busy.world.port_of(1).options().link;
    slow.bits_per_second = 1'000'000'000;
    busy.world.port_of(1).set_link(slow);
    busy.world.run_for(5ms);
    const std::uint64_t full = busy.world.counters(1).tx_ring_full, before = busy.delivered();
    busy.world.run_for(200ms);
    CHECK(busy.world.counters(1).tx_ring_full > full);
    CHECK(busy.lost() == lost);
    const double bytes = static_cast<double>(busy.delivered() - before) * (256U << 10U);
    CHECK(bytes * 8 / 0.2 >= 0.85e9);
    busy.world.converge();
  }
}

TEST_CASE("an empty pool is counted at both ends and the flow resumes", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    LoadOptions options = load(seed, seed);
    CAPTURE(seed, options.engines, options.ipv6);
    // Each of several engines has a pool of its own, in which a quarter of Swift's window has room.
    if (options.engines > 1) options.flow.congestion = CongestionKind::fixed_window;
    Busy busy{options};
    for (const std::uint32_t host : {0U, 1U})
      busy.world.port_of(host).set_pool(34);  // an engine keeps up to 32 of them
    busy.world.run_for(1ms);
    CHECK(busy.world.counters(1).tx_pool_empty > 0);
    busy.world.stall(0, busy.world.now() + 200us);
    busy.world.run_for(1ms);
    CHECK(busy.world.counters(0).nic.rx_no_buffer > 0);
    const std::uint64_t starved = busy.delivered();
    busy.world.run_for(5ms);
    CHECK(busy.delivered() > starved);  // slowly, but it goes on
    for (const std::uint32_t host : {0U, 1U})
      busy.world.port_of(host).set_pool(options.port.pool_packets);
    busy.world.run_for(1ms);
    busy.demand_resumed();
  }
}

TEST_CASE("engines stall 0.1, 1 or 20 ms at random: hardly a packet is resent, no window collapses",
          "[A26]") {
  for (const auto seed : seeds(4, 100))
    for (const Duration stall : {Duration{100us}, Duration{1ms}, Duration{20ms}}) {
      const LoadOptions options = load(seed, seed % 2);
      CAPTURE(seed, stall.count(), options.ipv6);
      Busy busy{options};
      LoadWorld<>& world = busy.world;
      Prng prng{seed};
      std::uint32_t trough = ~0U;  // the lowest point of the undisturbed window
      for (int i = 0; i < 200; ++i) {
        trough = std::min(trough, world.info(0).window_bytes);
        world.run_for(rtt);
      }
      const FlowInfo before = world.info(0);
      int collapsed = 0;
      Duration slowest{};
      for (int i = 0; i < 20; ++i) {
        const auto who = static_cast<std::uint32_t>(prng.below(3));
        if (who != 1) world.stall(0, world.now() + stall);
        if (who != 0) world.stall(1, world.now() + stall);
        world.run_for(stall + rtt);
        slowest = std::max(slowest, world.info(0).smoothed_rtt);
        world.run_for(9 * rtt);
        collapsed += world.info(0).window_bytes < trough / 2 ? 1 : 0;
        world.run_for(Duration{static_cast<std::int64_t>(prng.below(1'000'000))});
      }
      CHECK(collapsed == 0);
      CHECK(slowest < 2 * rtt + 25us);  // a queue at most: a stall is no delay of the path
      const FlowInfo after = world.info(0);
      CHECK(busy.world.counters(0).nic.rx_missed ==
            0);  // nothing was lost: every resend is needless
      const std::uint64_t resent =
          (after.resent_bytes - before.resent_bytes + after.packet_bytes - 1) / after.packet_bytes;
      CHECK(resent <= after.probes - before.probes);  // one packet per probe timeout
      CHECK(after.packets_lost == before.packets_lost);
      CHECK(world.flows()[0].ended == std::array{false, false});
      busy.demand_resumed();
    }
}
