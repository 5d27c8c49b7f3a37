// TEST-MATRIX A15 and A18: long paths are filled; CE marks slow a flow down without loss.
#include <catch2/catch.hpp>

#include "incast.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr double bdp_max_bytes = 16.0 * 1024 * 1024;

/// Two hosts, four cables to a round trip; the rate is scaled so that the BDP is at most 16 MiB.
struct LongPath {
  explicit LongPath(Duration one_way) : rtt(2 * one_way) {
    bits_per_second = std::min(base_bits_per_second, bdp_max_bytes * 8 / seconds_of(rtt));
    constexpr double packet_bytes = 1472, with_headers_bytes = 1538;  // preamble and gap too
    bdp = bits_per_second * seconds_of(rtt) / 8 * packet_bytes / with_headers_bytes;
  }
  Duration rtt;
  double bits_per_second = 0, bdp = 0;  // BDP in bytes of Proa packets
};

LoadOptions load_of(const LongPath& path, std::uint64_t seed, CongestionKind congestion) {
  LoadOptions out;
  out.seed = seed;
  out.turn_time = std::max<Duration>(500ns, path.rtt / 4000);
  out.port.link.delay = path.rtt / 4;
  out.port.link.bits_per_second = static_cast<std::uint64_t>(path.bits_per_second);
  out.port.link.queue_limit = ByteCount{static_cast<std::uint64_t>(path.bdp)};
  out.flow.congestion = congestion;
  // What such a path needs: credit and a queue of more than one BDP.
  out.flow.credit_window_max = 64U << 20U;
  out.flow.send_queue_bytes_max = 64U << 20U;
  return out;
}

}  // namespace

TEST_CASE("a path of 1 to 750 ms one way connects and is filled by one BDP", "[A15]") {
  const auto controllers = in_full() ? std::vector{CongestionKind::swift, CongestionKind::cubic}
                                     : std::vector{CongestionKind::swift};
  for (const auto seed : seeds(1, 3))
    for (const CongestionKind congestion : controllers)
      for (const Duration one_way :
           {Duration{1ms}, Duration{10ms}, Duration{100ms}, Duration{750ms}}) {
        if (in_brief() && one_way == 100ms) continue;
        const LongPath path{one_way};
        LoadWorld<> world(2, load_of(path, seed, congestion));
        LoadFlowOptions flow;
        // Larger ones wait for the block of each, about one and a half of them per round trip.
        flow.message_bytes = 64U << 10U;
        flow.outstanding = 640;
        flow.start = never;
        world.add(flow);
        world.start_together();
        double filled = 0;
        int rounds = 0;
        for (; rounds < 60 && filled < path.bdp; ++rounds) {
          world.run_for(path.rtt);
          filled = std::max(filled, static_cast<double>(world.info(0).in_flight_bytes));
        }
        CAPTURE(seed, one_way.count(), congestion, path.bdp, filled, rounds,
                world.info(0).packets_lost);
        CHECK(filled >= path.bdp);
        CHECK(world.info(0).window_bytes >= path.bdp);
        const std::uint64_t before = world.engine(0).counters().rx_bytes;
        world.run_for(4 * path.rtt);
        const auto carried = static_cast<double>(world.engine(0).counters().rx_bytes - before);
        CHECK(carried >= 0.8 * 4 * path.bdp);
        world.converge(200s);
      }
}

TEST_CASE("10 % of CE marks bring a flow to 70 % of its rate within 10 RTT, without loss",
          "[A18]") {
  for (const auto seed : seeds(5, 100))
    for (const CongestionKind congestion : {CongestionKind::swift, CongestionKind::cubic}) {
      LoadOptions load;
      load.seed = seed;
      load.flow.ecn = true;
      load.flow.congestion = congestion;
      load.port.link.queue_limit = ByteCount{static_cast<std::uint64_t>(bdp_bytes)};
      LoadWorld<> world(2, load);
      LoadFlowOptions flow;
      flow.message_bytes = 64U << 10U;
      flow.outstanding = 64;
      flow.start = never;
      world.add(flow);
      world.start_together();
      world.run_for(10ms);
      const auto rate_of = [&](Duration time) {
        const std::uint64_t before = world.engine(0).counters().rx_bytes;
        world.run_for(time);
        return static_cast<double>(world.engine(0).counters().rx_bytes - before) / seconds_of(time);
      };
      const double unmarked = rate_of(2ms);
      const bool cubic = congestion == CongestionKind::cubic;
      const Duration rtt = cubic ? world.info(0).smoothed_rtt : 40us;
      const std::uint32_t window = world.info(0).window_bytes;
      const std::uint64_t lost = world.info(0).packets_lost;
      SimLinkOptions marking = world.port_of(0).options().link;
      marking.mark_ppm = 100'000;
      world.port_of(0).set_link(marking);
      world.run_for(8 * rtt);
      const double marked = rate_of(2 * rtt);
      CAPTURE(seed, congestion, unmarked, marked);
      CHECK(unmarked * 8 > 0.8 * base_bits_per_second);
      // Cubic keeps more than a BDP of queue: its window falls first, the rate once that is
      // drained.
      if (cubic)
        CHECK(world.info(0).window_bytes <= 0.7 * window);
      else
        CHECK(marked <= 0.7 * unmarked);
      CHECK(world.info(0).packets_lost == lost);
      CHECK(world.network().counters().marked > 0);
      world.converge();
    }
}
