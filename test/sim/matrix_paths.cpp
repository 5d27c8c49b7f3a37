// TEST-MATRIX A24: several engines behind NICs whose hash nobody can read or set.
// Tests tagged [long] run more seeds: `meson test --suite long`.
#include <catch2/catch.hpp>

#include <cmath>

#include "mesh.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

void row_24(std::uint64_t seed, std::uint32_t engines, SimRss rss, bool ipv6) {
  CAPTURE(seed, engines, static_cast<int>(rss), ipv6);
  Mesh mesh{seed, engines, rss, ipv6};
  for (int change = 0; change < 3; ++change) {
    mesh.talk(150);
    mesh.require_all_delivered();
    mesh.require_every_engine_reached();
    const std::uint64_t before = mesh.handed_over();
    mesh.talk(10);
    CAPTURE(change);
    if (mesh.hash_reaches_all())
      CHECK(mesh.handed_over() == before);
    else
      CHECK(mesh.handed_over() > before);
    if (change == 0) mesh.talk_through([&] { mesh.change_hash(); });
    if (change == 1) mesh.talk_through([&] { mesh.replace_nics(); });
  }
  mesh.require_all_delivered();
  const EngineCounters a = mesh.world.a.counters(), b = mesh.world.b.counters();
  CHECK(a.drops[Drop::handover_full] + b.drops[Drop::handover_full] == 0);
  if (mesh.hash_reaches_all()) CHECK(a.paths.searches_in_vain + b.paths.searches_in_vain == 0);
}

/// TARGETS 13: a search of both directions takes 2 N + 2 probes in the mean. Engines learn on the
/// way what leads to others, so theirs take fewer. Searches that have come to their end count: no
/// flow ends, so nobody's is broken off, and none is begun beside a pair that is known.
void searches_cost(std::uint32_t engines, bool ipv6) {
  std::uint64_t probes = 0, searches = 0;
  for (std::uint64_t seed = 1; searches < 1000; ++seed) {
    Mesh mesh{seed, engines, SimRss::opaque, ipv6};
    mesh.talk(100);
    mesh.require_all_delivered();
    mesh.require_searches_ended();
    const EngineCounters a = mesh.world.a.counters(), b = mesh.world.b.counters();
    CHECK(a.path_returns + b.path_returns == 0);
    CHECK(a.paths.searches_in_vain + b.paths.searches_in_vain == 0);
    probes += a.paths.probes_sent + b.paths.probes_sent;
    searches += a.paths.searches + b.paths.searches;
  }
  const double both_ways = 2.0 * static_cast<double>(probes) / static_cast<double>(searches);
  CAPTURE(engines, ipv6, probes, searches, both_ways);
  // Three standard errors of the mean of a geometric distribution, as in sim_paths.
  const double noise = 3 * 1.5 * engines / std::sqrt(static_cast<double>(searches));
  CHECK(both_ways <= 2.0 * engines + 2 + noise);
  CHECK(both_ways >= engines);
}

/// Engine 0 of a has talked to engine 3 of b and heard from misses what leads to the others.
class Hearsay {
 public:
  static constexpr std::uint32_t engines = 4;

  Hearsay(std::uint64_t seed, bool ipv6)
      : world(seed, host(engines, SimRss::opaque, ipv6), host(engines, SimRss::opaque, ipv6)) {
    serve();
    for (int i = 0; i < 3; ++i) {
      flows.push_back(&world.connect(0, 7003));
      talk(100);
    }
    world.run(50ms);
  }
  void restart_peer(std::uint64_t seed) {
    world.b.restart(seed, world.now);
    serve();
  }
  /// The first flows to those engines that were only heard of.
  void connect_to_the_others(std::uint32_t from) {
    flows.clear();
    slowest_connect = {};
    for (std::uint16_t engine = 0; engine < 3; ++engine) {
      const Instant began = world.now;
      PathEnd& flow = world.connect(from, static_cast<std::uint16_t>(7000 + engine));
      REQUIRE(world.run_until([&] { return flow.open; }, began + 1s));
      slowest_connect = std::max(slowest_connect, world.now - began);
      flows.push_back(&flow);
    }
  }
  void talk(std::uint32_t messages) {
    for (std::uint32_t n = 0; n < messages; ++n) {
      for (PathEnd* flow : flows) ++flow->to_send;
      world.run(5 * rtt);
    }
  }
  [[nodiscard]] std::uint64_t handed_over() const {
    return world.a.counters().handed_over + world.b.counters().handed_over;
  }

  PathWorld world;
  std::vector<PathEnd*> flows;
  Duration slowest_connect{};

 private:
  void serve() {
    for (std::uint32_t i = 0; i < engines; ++i) {
      world.listen(world.b, i, static_cast<std::uint16_t>(7000 + i));
      world.b.sides[i]->echo = true;
    }
  }
};

struct Repair {
  std::uint64_t probes = 0, searches = 0;  // by a, in its direction
};

/// Pairs that are only known from misses belong to no incarnation of the peer and outlive it: the
/// incarnation is each engine's own, and a miss does not tell that of the engine it came to. A flow
/// tries them as it would try random ones: that may cost it a few probes, and nothing else.
Repair meets_others(std::uint64_t seed, bool ipv6, bool restarts) {
  CAPTURE(seed, ipv6, restarts);
  Hearsay hearsay{seed, ipv6};
  PathWorld& world = hearsay.world;
  const auto paths_of_a = [&] { return world.a.engines[0]->counters().paths; };
  const PathCounters before = paths_of_a();
  if (restarts) hearsay.restart_peer(seed + 1000);
  hearsay.connect_to_the_others(1);  // so that their engines know where a is
  for (auto* end : {&world.a, &world.b})
    for (auto& side : end->sides) side->slowest = {};
  hearsay.connect_to_the_others(0);
  hearsay.talk(100);
  const std::uint64_t astray = hearsay.handed_over();
  hearsay.talk(20);
  CHECK(hearsay.handed_over() == astray);
  for (const PathEnd* flow : hearsay.flows)
    CHECK((flow->open && !flow->closed && flow->received == flow->sent && flow->to_send == 0));
  CHECK(hearsay.slowest_connect <= rtt + rtt / 10);
  for (auto* end : {&world.a, &world.b})
    for (auto& side : end->sides) CHECK(side->slowest <= rtt / 2 + 1us);
  const PathCounters after = paths_of_a();
  CHECK(after.searches_in_vain == 0);
  return {after.probes_sent - before.probes_sent, after.searches - before.searches};
}

/// A flow has found its paths when one of its pairs stops to lead anywhere. Nobody after it is to
/// run into that: the pair is forgotten.
void silent_pair_is_forgotten(std::uint64_t seed, bool ipv6) {
  CAPTURE(seed, ipv6);
  PathWorld world{seed, host(4, SimRss::opaque, ipv6), host(4, SimRss::opaque, ipv6)};
  world.listen(world.b, 3);
  world.b.sides[3]->echo = true;
  const auto say = [&](PathEnd& flow) {
    ++flow.to_send;
    REQUIRE(world.run_until([&] { return flow.to_send == 0 && flow.received == flow.sent; },
                            world.now + 1s));
    world.run(5 * rtt);
  };
  PathEnd& flow = world.connect(2);
  for (int i = 0; i < 200; ++i) say(flow);
  const UdpPorts broken = *world.a.engines[2]->path_of(flow.key);
  std::uint64_t lost = 0;
  world.a.lost = [&](UdpPorts ports) {
    lost += ports == broken ? 1U : 0U;
    return ports == broken;
  };
  for (int i = 0; i < 100; ++i) say(flow);
  CHECK(lost > 0);
  const std::uint64_t lost_by_first = lost;
  for (int i = 0; i < 8; ++i) {
    PathEnd& next = world.connect(2);
    for (int n = 0; n < 100; ++n) say(next);
  }
  const std::uint64_t lost_by_others = lost - lost_by_first;
  CHECK(lost_by_others == 0);
}

/// The peer's hash changes under flows that use all pairs which are known. Each learns that its own
/// leads astray, and those that come later take none of them.
void complained_pairs_are_forgotten(std::uint64_t seed, bool ipv6) {
  CAPTURE(seed, ipv6);
  PathWorld world{seed, host(4, SimRss::opaque, ipv6), host(4, SimRss::opaque, ipv6)};
  world.listen(world.b, 3);
  std::vector<PathEnd*> flows;
  const auto add_and_talk = [&](int more) {
    for (int i = 0; i < more; ++i) flows.push_back(&world.connect(2));
    for (int n = 0; n < 200; ++n) {
      for (PathEnd* flow : flows) ++flow->to_send;
      world.run(5 * rtt);
    }
  };
  add_and_talk(12);
  world.b.port.set_rss(SimRss::opaque);
  add_and_talk(0);
  const auto searches = [&] { return world.a.engines[2]->counters().paths.searches; };
  const std::uint64_t before = searches();
  add_and_talk(12);
  const std::uint64_t searches_of_later_flows = searches() - before;
  CHECK(searches_of_later_flows == 0);
}

}  // namespace

TEST_CASE("A24: every engine is reached under every hash, nothing is lost, hand-overs go to zero",
          "[A24]") {
  const bool ipv6 = GENERATE(false, true);
  for (const std::uint32_t engines : {1U, 2U, 4U, 8U, 16U})
    for (const SimRss rss : every_hash) row_24(engines, engines, rss, ipv6);
}

TEST_CASE("A24: engines find a path with as few probes as promised", "[A24]") {
  const bool ipv6 = GENERATE(false, true);
  for (const std::uint32_t engines : {2U, 4U, 8U, 16U}) searches_cost(engines, ipv6);
}

TEST_CASE("A24: what is remembered of a peer's other engines does no harm when it has restarted",
          "[A24]") {
  const bool ipv6 = GENERATE(false, true);
  Repair same, restarted;
  for (std::uint64_t seed = 1; seed <= 40; ++seed)
    for (const bool restarts : {false, true}) {
      const Repair one = meets_others(seed, ipv6, restarts);
      Repair& all = restarts ? restarted : same;
      all.probes += one.probes;
      all.searches += one.searches;
    }
  CAPTURE(same.probes, same.searches, restarted.probes, restarted.searches);
  CHECK(same.searches < restarted.searches);  // where it is right it saves searches ...
  // ... and where it is wrong it costs one what any costs that knows nothing: N + 1/2 in the mean,
  // and three standard errors of a geometric distribution.
  const auto searches = static_cast<double>(restarted.searches);
  const double noise = 3.0 * Hearsay::engines / std::sqrt(searches);
  CHECK(static_cast<double>(restarted.probes) / searches <= Hearsay::engines + 0.5 + noise);
}

TEST_CASE("A24: a pair that fell silent is forgotten", "[A24]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) silent_pair_is_forgotten(seed, ipv6);
}

TEST_CASE("A24: pairs that are complained of are forgotten", "[A24]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) complained_pairs_are_forgotten(seed, ipv6);
}

TEST_CASE("A24 with 20 seeds", "[A24][.long]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    for (const std::uint32_t engines : {2U, 4U, 8U, 16U})
      for (const SimRss rss : every_hash) row_24(seed * 100, engines, rss, ipv6);
}
