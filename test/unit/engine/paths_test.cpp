// engine: the memory of paths: known pairs, their ageing, searches.
#include <catch2/catch.hpp>

#include <set>
#include <vector>

#include <proa/engine/paths.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

constexpr PortRange range{};
const PathTarget target{IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 3};

UdpPorts pair_of(std::uint16_t n) { return {n, static_cast<std::uint16_t>(n + 1)}; }

std::vector<PathProbe::Probe> probes_due(Paths& paths, Instant now) {
  std::vector<PathProbe::Probe> out;
  paths.poll(
      now, range, [](std::uint32_t) { return 100us; },
      [&](std::uint32_t, const PathProbe::Probe& probe) { out.push_back(probe); });
  return out;
}

}  // namespace

TEST_CASE(
    "Up to four pairs are known per target and taken in turn; the longest unused goes first") {
  Paths paths{8, 1};
  const Instant now{1s};
  const auto at = paths.join(target, 7);
  CHECK_FALSE(paths.take(at, now));
  for (std::uint16_t n = 1; n <= 4; ++n) paths.learn(at, pair_of(n), now + n * 1ms);
  std::set<std::uint16_t> taken;
  for (int i = 0; i < 4; ++i) taken.insert(paths.take(at, now + 10ms + i * 1ms)->source);
  CHECK(taken == std::set<std::uint16_t>{1, 2, 3, 4});
  CHECK(paths.take(at, now + 20ms)->source == 1);
  paths.learn(at, pair_of(5), now + 30ms);  // instead of 2
  taken.clear();
  for (int i = 0; i < 8; ++i) taken.insert(paths.take(at, now + 40ms)->source);
  CHECK(taken == std::set<std::uint16_t>{1, 3, 4, 5});
  CHECK(paths.take(at, now + 50ms, now + 4ms)->source == 5);  // the only one learned after that
  paths.forget(at, pair_of(5));
  CHECK_FALSE(paths.take(at, now + 50ms, now + 4ms));
  CHECK(paths.pair_count(at) == 3);
}

TEST_CASE("Who doubts a pair takes another known one; who knows one only has no other") {
  Paths paths{8, 1};
  const Instant now{1s};
  const auto at = paths.join(target, 7);
  CHECK_FALSE(paths.take_other(at, pair_of(1), now));
  paths.learn(at, pair_of(1), now);
  CHECK_FALSE(paths.take_other(at, pair_of(1), now));
  CHECK(paths.take_other(at, pair_of(2), now) == pair_of(1));
  paths.learn(at, pair_of(2), now);
  paths.learn(at, pair_of(3), now);
  UdpPorts present = pair_of(1);
  std::set<std::uint16_t> taken;
  for (int i = 0; i < 6; ++i) {
    const auto other = paths.take_other(at, present, now);
    REQUIRE(other);
    CHECK_FALSE(*other == present);
    taken.insert((present = *other).source);
  }
  CHECK(taken == std::set<std::uint16_t>{1, 2, 3});
}

TEST_CASE("A spare pair is looked for beside the only one that is known") {
  Paths paths{8, 1};
  const Instant now{1s};
  const auto at = paths.join(target, 7);
  paths.search_spare(at, 11, now);
  CHECK(paths.next_timeout() == never);  // nothing is known: search() finds the first
  paths.learn(at, pair_of(1), now);
  paths.search_spare(at, 11, now);
  const auto probes = probes_due(paths, now);
  REQUIRE(probes.size() == 2);
  for (const auto& probe : probes) CHECK_FALSE(probe.ports == pair_of(1));
  REQUIRE(paths.on_result(at, {probes[0].tag, 3, 4}, now));
  CHECK(paths.pair_count(at) == 2);
  paths.search_spare(at, 11, now);
  CHECK(paths.next_timeout() == never);  // there is one
}

TEST_CASE("Pairs are dropped when the peer restarts, and after ten minutes unused") {
  Paths paths{8, 1};
  Instant now{1s};
  const auto at = paths.join(target, 7);
  paths.learn(at, pair_of(1), now);
  CHECK(paths.join(target, 7) == at);
  CHECK(paths.pair_count(at) == 1);
  paths.leave(at, 0, pair_of(1), now);
  paths.leave(at, 0, pair_of(1), now + 5min);
  now += 14min;
  REQUIRE(paths.join(target, 7) == at);
  CHECK(paths.take(at, now));  // used nine minutes ago
  paths.leave(at, 0, pair_of(1), now);
  now += 10min + 1s;
  REQUIRE(paths.join(target, 7) == at);
  CHECK_FALSE(paths.take(at, now));
  paths.learn(at, pair_of(2), now);
  REQUIRE(paths.join(target, 8) == at);
  CHECK_FALSE(paths.take(at, now));
}

TEST_CASE("One search serves all flows of a route; misses are remembered for other engines") {
  Paths paths{8, 1};
  const Instant now{1s};
  const auto at = paths.join(target, 7);
  REQUIRE(paths.join(target, 7) == at);
  paths.search(at, 11, now);
  paths.search(at, 12, now);
  CHECK(paths.next_timeout() == now);
  const auto probes = probes_due(paths, now);
  REQUIRE(probes.size() == 2);
  CHECK(paths.next_timeout() == now + 100us);
  CHECK_FALSE(paths.on_result(at, {probes[0].tag, 1, 4}, now));
  const auto found = paths.on_result(at, {probes[1].tag, 3, 4}, now);
  REQUIRE(found);
  CHECK(*found == probes[1].ports);
  CHECK(paths.next_timeout() == never);
  CHECK(paths.take(at, now) == probes[1].ports);
  PathTarget other = target;
  other.engine = 1;
  CHECK(paths.take(paths.join(other, 99), now) == probes[0].ports);
  CHECK(paths.counters().hits == 1);
  CHECK(paths.counters().misses == 1);
  CHECK(paths.counters().searches == 1);
}

TEST_CASE("A search ends with the flow that carries it; another may begin") {
  Paths paths{8, 1};
  const Instant now{1s};
  const auto at = paths.join(target, 7);
  REQUIRE(paths.join(target, 7) == at);
  paths.search(at, 11, now);
  paths.leave(at, 12, {}, now);
  CHECK(paths.next_timeout() == now);
  paths.leave(at, 11, {}, now);
  CHECK(paths.next_timeout() == never);
  REQUIRE(paths.join(target, 7) == at);
  paths.search(at, 13, now);
  CHECK(probes_due(paths, now).size() == 2);
}

TEST_CASE("A full table forgets routes nobody uses, and no others") {
  Paths paths{4, 1};
  const Instant now{1s};
  std::vector<std::uint32_t> routes;
  PathTarget t = target;
  for (std::uint8_t engine = 0; engine < 4; ++engine) {
    t.engine = engine;
    routes.push_back(paths.join(t, 7));
    REQUIRE(routes.back() != Paths::none);
    paths.learn(routes.back(), pair_of(engine), now);
  }
  t.engine = 9;
  CHECK(paths.join(t, 7) == Paths::none);
  paths.leave(routes[2], 0, {}, now);
  CHECK(paths.join(t, 7) == routes[2]);
  CHECK(paths.pair_count(routes[2]) == 0);
  t.engine = 1;
  CHECK(paths.join(t, 7) == routes[1]);
  CHECK(paths.pair_count(routes[1]) == 1);
}
