// A complaint about a pair of ports that is heard late, when the flow has left that pair.
#include <catch2/catch.hpp>

#include "../../sim/path_world.hpp"

using namespace proa;
using namespace proa::sim;

TEST_CASE(
    "A remembered pair is not forgotten for a complaint about the one before that is heard late") {
  constexpr std::uint32_t client = 2, server = 5;
  std::uint64_t wrong = 0, flows = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const PathHostOptions host{
        .engines = 8, .rss = SimRss::opaque, .handover_slots = 256, .link_delay = 10us};
    PathWorld world{seed, host, host};
    world.listen(world.b, server);
    for (auto& side : world.b.sides) side->echo = true;
    PathEnd& first = world.connect(client);
    first.to_send = 100;
    world.run(100ms);
    REQUIRE(first.received == 100);
    const auto probes = [&] {
      return world.a.counters().paths.probes_sent + world.b.counters().paths.probes_sent;
    };
    for (int i = 0; i < 10; ++i) {
      const auto before = probes();
      PathEnd& next = world.connect(client);
      REQUIRE(world.run_until([&] { return next.open; }, world.now + 1s));
      next.to_send = 1;
      world.run(15us);
      next.to_send = 1;
      world.run(12us);  // the first is there, and the server has moved to a remembered pair
      world.b.stalled_until[server] = world.now + 1ms;
      world.run(5ms);
      CHECK(next.received == 2);
      ++flows;
      wrong += probes() != before ? 1 : 0;
    }
  }
  CAPTURE(wrong, flows);
  CHECK(wrong < flows / 8);  // 169 when the complaint is believed; the rest were handed over late
}
