// TEST-MATRIX A25 and A26: what happens to NICs and to threads; flows resume, nothing is silent.
#include <catch2/catch.hpp>

#include "incast.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr Duration rtt = 40us;

/// One busy flow from host 1 to host 0, past its start-up.
struct Busy {
  explicit Busy(const LoadOptions& options) : world(2, options) {
    LoadFlowOptions flow;
    flow.outstanding = 4;
    flow.start = never;
    world.add(flow);
    world.start_together();
    world.run_for(5ms);
  }
  [[nodiscard]] std::uint64_t delivered() const { return world.flows()[0].delivered; }
  /// Messages go on being delivered at more than half of the link's rate.
  void demand_resumed(double part = 0.5) {
    const std::uint64_t before = delivered();
    world.run_for(20ms);
    const double bytes = static_cast<double>(delivered() - before) * (256U << 10U);
    CHECK(bytes * 8 / 0.02 >= part * base_bits_per_second);
    world.converge();
  }
  [[nodiscard]] EngineCounters counters(std::uint32_t host) {
    return world.engine(host).counters();
  }

  LoadWorld<> world;
};

LoadOptions load(std::uint64_t seed) {
  LoadOptions out;
  out.seed = seed;
  return out;
}

}  // namespace

TEST_CASE("a link that goes down for 100 us to 100 ms is counted and the flow resumes", "[A25]") {
  for (const auto seed : seeds(3, 50))
    for (const std::uint32_t host : {0U, 1U})
      for (const Duration time : {Duration{100us}, Duration{2ms}, Duration{100ms}}) {
        CAPTURE(seed, host, time.count());
        Busy busy{load(seed)};
        const NicCounters before = busy.counters(host).nic;
        busy.world.port_of(host).set_link_up(false);
        busy.world.run_for(time);
        const std::uint64_t stopped = busy.delivered();
        busy.world.run_for(1us);
        CHECK(busy.delivered() == stopped);
        busy.world.port_of(host).set_link_up(true);
        CHECK(busy.counters(host).nic.link_downs == before.link_downs + 1);
        // Whoever has to wait for answers may not try to send within 100 us.
        if (time > rtt * 10) CHECK(busy.counters(host).nic.tx_errors > before.tx_errors);
        busy.world.run_for(time + 2ms);  // at most one backed-off probe later it goes on
        busy.demand_resumed();
      }
}

TEST_CASE("a port that is reset loses what was in its rings, counted, and the flow resumes",
          "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    CAPTURE(seed);
    Busy busy{load(seed)};
    busy.world.stall(0, busy.world.now() + 50us);
    busy.world.run_for(40us);  // frames wait
    REQUIRE(busy.world.port_of(0).backlog(0) > 0);
    busy.world.port_of(0).reset();
    busy.world.port_of(1).reset();
    CHECK(busy.counters(0).nic.rx_missed > 0);
    busy.world.run_for(2ms);
    CHECK(busy.world.info(0).packets_lost > 0);
    busy.demand_resumed();
  }
}

TEST_CASE("a receive ring that runs over is counted and the flow resumes", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    CAPTURE(seed);
    LoadOptions options = load(seed);
    options.port.descriptors = 64;  // less than a window
    Busy busy{options};
    const std::uint64_t before = busy.counters(0).nic.rx_missed;
    busy.world.stall(0, busy.world.now() + 1ms);
    busy.world.run_for(2ms);
    CHECK(busy.counters(0).nic.rx_missed > before);
    busy.demand_resumed();
  }
}

TEST_CASE("a transmit ring that is full is counted and delays, but loses nothing", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    CAPTURE(seed);
    LoadOptions options = load(seed);
    options.port.descriptors = 32;
    options.flow.congestion = CongestionKind::fixed_window;  // 256 KiB: more than the ring
    LoadWorld<> world(2, options);
    SimLinkOptions slow = world.port_of(1).options().link;
    slow.bits_per_second = 1'000'000'000;
    world.port_of(1).set_link(slow);
    LoadFlowOptions flow;
    flow.outstanding = 4;
    flow.start = never;
    world.add(flow);
    world.start_together();
    world.run_for(50ms);
    CHECK(world.engine(1).counters().tx_ring_full > 0);
    CHECK(world.info(0).packets_lost == 0);
    CHECK(static_cast<double>(world.flows()[0].delivered_bytes) * 8 / 0.05 >= 0.85e9);
    world.converge();
  }
}

TEST_CASE("an empty pool is counted at both ends and the flow resumes", "[A25]") {
  for (const auto seed : seeds(5, 50)) {
    CAPTURE(seed);
    LoadOptions options = load(seed);
    options.port.pool_packets = 34;  // the engine keeps up to 32 of them
    Busy busy{options};
    CHECK(busy.counters(1).tx_pool_empty > 0);
    busy.world.stall(0, busy.world.now() + 200us);
    busy.world.run_for(1ms);
    CHECK(busy.counters(0).nic.rx_no_buffer > 0);
    busy.demand_resumed(0.1);
  }
}

TEST_CASE("engines stall 0.1, 1 or 20 ms at random: hardly a packet is resent, no window collapses",
          "[A26]") {
  for (const auto seed : seeds(4, 100))
    for (const Duration stall : {Duration{100us}, Duration{1ms}, Duration{20ms}}) {
      CAPTURE(seed, stall.count());
      Busy busy{load(seed)};
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
      CHECK(busy.counters(0).nic.rx_missed == 0);  // nothing was lost: every resend is needless
      const std::uint64_t resent = (after.resent_bytes - before.resent_bytes + 1471) / 1472;
      CHECK(resent <= after.probes - before.probes);  // one packet per probe timeout
      CHECK(after.packets_lost == before.packets_lost);
      CHECK(world.flows()[0].ended == std::array{false, false});
      busy.demand_resumed();
    }
}
