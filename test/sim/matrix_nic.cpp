// TEST-MATRIX A25 and A26: what happens to NICs and to threads; flows resume, nothing is silent.
#include <catch2/catch.hpp>

#include "incast.hpp"
#include "probe_wait.hpp"
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

namespace {

enum class Ways : std::uint8_t { one_flow, two_flows, both };  // both: two flows from either host

/// Backlogged flows; both engines stall now and then. Rings and queue hold every window: nothing is
/// lost.
class Stalling {
 public:
  Stalling(std::uint64_t seed, CongestionKind kind, Ways ways)
      : world_(2, options(seed, kind)), prng_(seed) {
    for (std::uint32_t i = 0; i < (ways == Ways::one_flow ? 1U
                                   : ways == Ways::both   ? 4U
                                                          : 2U);
         ++i) {
      LoadFlowOptions flow;
      flow.from = ways == Ways::both ? 1 - i % 2 : 1;
      flow.to = 1 - flow.from;
      flow.outstanding = 4;
      flow.start = never;
      world_.add(flow);
    }
    world_.start_together();
    world_.run_for(5ms);
    for (int i = 0; i < 200; ++i, world_.run_for(rtt))
      for (const std::uint32_t host : {0U, 1U}) {
        trough_[host] = std::min(trough_[host], window_of(host));
        for (const FlowInfo& info : infos())
          undisturbed_ = std::max(undisturbed_, info.smoothed_rtt);
      }
  }
  /// Both, or one of them; then the windows are watched for ten round trips.
  void stall(Duration time) {
    const std::vector<FlowInfo> before = infos();
    const auto who = static_cast<std::uint32_t>(prng_.below(3));
    if (who != 1) world_.stall(0, world_.now() + time);
    if (who != 0) world_.stall(1, world_.now() + time);
    world_.run_for(time);
    const std::vector<FlowInfo> at_end = infos();
    for (int i = 0; i < 10; ++i) {
      world_.run_for(rtt);
      note_windows(at_end);
    }
    world_.run_for(Duration{static_cast<std::int64_t>(prng_.below(1'000'000))});
    for (std::size_t i = 0; i < before.size(); ++i) judge(before[i], world_.info(i), time);
  }
  /// The lowest window of any host's flows together in a round trip after a stall, as a part of
  /// what it was at least while nobody stalled.
  [[nodiscard]] double lowest_window() const noexcept { return lowest_; }
  /// The longest smoothed round trip after a stall, and while nobody stalled.
  [[nodiscard]] Duration slowest() const noexcept { return slowest_; }
  [[nodiscard]] Duration undisturbed() const noexcept { return undisturbed_; }
  [[nodiscard]] LoadWorld<>& world() noexcept { return world_; }

 private:
  static LoadOptions options(std::uint64_t seed, CongestionKind kind) {
    LoadOptions out = load(seed, seed % 2);
    out.flow.congestion = kind;
    out.port.descriptors = 4096;
    out.port.link.queue_limit = mib(4);
    return out;
  }
  [[nodiscard]] std::vector<FlowInfo> infos() const {
    std::vector<FlowInfo> out;
    for (std::size_t i = 0; i < world_.flows().size(); ++i) out.push_back(world_.info(i));
    return out;
  }
  [[nodiscard]] double window_of(std::uint32_t host) const {
    double out = 0;
    for (std::size_t i = 0; i < world_.flows().size(); ++i)
      if (world_.flows()[i].options.from == host) out += world_.info(i).window_bytes;
    return out;
  }
  /// As long as a sender has not been answered it takes the silence for congestion.
  void note_windows(const std::vector<FlowInfo>& at_end) {
    std::array<bool, 2> answered{true, true};
    for (std::size_t i = 0; i < at_end.size(); ++i) {
      const bool silent = world_.info(i).packets_received == at_end[i].packets_received;
      if (silent) answered[world_.flows()[i].options.from] = false;
      if (!silent) slowest_ = std::max(slowest_, world_.info(i).smoothed_rtt);
    }
    for (const std::uint32_t host : {0U, 1U})
      if (answered[host] && trough_[host] > 0)
        lowest_ = std::min(lowest_, window_of(host) / trough_[host]);
  }
  /// Nothing is lost here: every resend is needless. A sender hears nothing during the stall and
  /// the round trip in which it began; in that time it may probe once per backed-off timeout, and
  /// once more when the first answer comes: the backoff begins anew then, from the last packet
  /// sent, which was long ago (RFC 9002 6.2.1).
  static void judge(const FlowInfo& before, const FlowInfo& after, Duration stall) {
    const std::uint64_t probes = after.probes - before.probes;
    const std::uint64_t allowed = probes_within(before, stall + before.smoothed_rtt);
    CHECK(probes <= allowed + (allowed == 0 ? 0 : 1));
    CHECK(after.resent_bytes - before.resent_bytes <= probes * before.packet_bytes);
    CHECK(after.packets_lost == before.packets_lost);
  }

  LoadWorld<> world_;
  Prng prng_;
  std::array<double, 2> trough_{1e12, 1e12};  // by host
  double lowest_ = 1;
  Duration slowest_{}, undisturbed_{};
};

}  // namespace

TEST_CASE("engines stall 0.1, 1 or 20 ms at random: hardly a packet is resent, no window collapses",
          "[A26]") {
  constexpr std::array kinds{CongestionKind::swift, CongestionKind::cubic,
                             CongestionKind::fixed_window};
  for (const auto seed : seeds(3, 99))
    for (const Ways ways : {Ways::one_flow, Ways::two_flows, Ways::both})
      for (const Duration stall : {Duration{100us}, Duration{1ms}, Duration{20ms}}) {
        const CongestionKind kind = kinds[(seed - 1) % kinds.size()];
        CAPTURE(seed, kind, ways, stall.count());
        Stalling stalling{seed, kind, ways};
        for (int i = 0; i < 20; ++i) stalling.stall(stall);
        // Swift where both ways are busy: the burst after a stall meets the other end's, and Swift
        // takes the queue that both make for the path's (test/README.md, deviations).
        const bool bursts_meet = kind == CongestionKind::swift && ways == Ways::both;
        if (bursts_meet)
          CHECK(stalling.lowest_window() >= (in_full() ? 0.05 : 0.1));
        else
          CHECK(stalling.lowest_window() >= 0.7);
        // A queue at most: a stall is no delay of the path.
        CHECK(stalling.slowest() <
              std::max<Duration>(2 * rtt + 25us, stalling.undisturbed() * 5 / 4));
        LoadWorld<>& world = stalling.world();
        for (const std::uint32_t host : {0U, 1U}) CHECK(world.counters(host).nic.rx_missed == 0);
        for (const LoadFlow& flow : world.flows()) CHECK(flow.ended == std::array{false, false});
        world.converge();
      }
}

namespace {

/// What a flow carries while both engines run for 0.1 ms and then not for 3 to 10 ms: others are
/// busy on their processors, from the beginning on or after that much time without them.
std::uint64_t delivered_while_starved(std::uint64_t seed, CongestionKind kind, Duration before,
                                      Duration time) {
  LoadOptions options = load(seed, seed % 2);
  options.flow.congestion = kind;
  options.port.descriptors = 4096;
  LoadWorld<> world{2, options};
  Prng prng{seed};
  LoadFlowOptions flow;
  flow.outstanding = 4;
  flow.message_bytes = 1U << 20U;
  world.add(flow);
  world.run_for(before);
  const std::uint64_t first = world.flows()[0].delivered_bytes;
  std::array<Instant, 2> runs_until{};
  for (const Instant end = world.now() + time; world.now() < end; world.run_for(50us))
    for (const std::uint32_t host : {0U, 1U}) {
      if (world.now() < runs_until[host]) continue;
      const Duration pause{3'000'000 + static_cast<std::int64_t>(prng.below(7'000'000))};
      world.stall(host, world.now() + pause);
      runs_until[host] = world.now() + pause + 100us;
    }
  const std::uint64_t bytes = world.flows()[0].delivered_bytes - first;
  CHECK(world.info(0).packets_lost == 0);
  world.converge();
  return bytes;
}

}  // namespace

TEST_CASE("A26: engines that hardly run give a flow the window that their pauses need", "[A26]") {
  for (const auto seed : seeds(3, 99))
    for (const CongestionKind kind : {CongestionKind::swift, CongestionKind::cubic})
      for (const Duration before : {Duration{}, Duration{20ms}}) {
        CAPTURE(seed, kind, before.count());
        // A megabyte in each of some 40 pauses of both; it was a tenth once. Swift has grown up to
        // its link before, and grows on slowly.
        const bool grown = kind == CongestionKind::swift && before != Duration{};
        CHECK(delivered_while_starved(seed, kind, before, 500ms) >= (grown ? 8U : 40U) << 20U);
      }
}
