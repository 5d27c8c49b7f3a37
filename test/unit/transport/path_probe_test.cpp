// transport: the search for a path, as arithmetic; what a path change means for a flow.
#include <catch2/catch.hpp>

#include <cmath>
#include <set>

#include <proa/transport/path_probe.hpp>

#include "flow_pair.hpp"

using namespace proa;

namespace {

constexpr PortRange ports{50'000, 50'999};
constexpr Duration wave = 100us;

/// Sends every probe that is due; answers each at once with what `engine_of` says.
template <class EngineOf>
std::uint32_t search(PathProbe& probe, Instant& now, Prng& random, std::uint32_t engines,
                     EngineOf engine_of) {
  std::uint32_t sent = 0;
  while (probe.searching()) {
    now = std::max(now, probe.next_timeout());
    std::vector<PathProbe::Probe> sent_now;
    while (const auto p = probe.poll(now, wave, ports, random)) sent_now.push_back(*p);
    sent += static_cast<std::uint32_t>(sent_now.size());
    for (const auto& p : sent_now)
      (void)probe.on_result({p.tag, static_cast<std::uint8_t>(engine_of(p.ports)),
                             static_cast<std::uint8_t>(engines)});
  }
  return sent;
}

}  // namespace

TEST_CASE("Probes go in waves of two, one wave per answer time, and stop at the first hit") {
  Prng random{1};
  PathProbe probe;
  Instant now{1s};
  REQUIRE(probe.start(now, 3, {}));
  CHECK_FALSE(probe.start(now, 3, {}));
  const auto first = probe.poll(now, wave, ports, random);
  const auto second = probe.poll(now, wave, ports, random);
  REQUIRE((first && second));
  CHECK_FALSE(probe.poll(now, wave, ports, random));
  CHECK(probe.next_timeout() == now + wave);
  CHECK_FALSE(probe.on_result({first->tag, 1, 4})->hit);
  CHECK_FALSE(probe.on_result({first->tag, 3, 4}));  // answered already
  CHECK_FALSE(probe.on_result({first->tag + 1, 3, 4}));
  now += wave;
  REQUIRE(probe.poll(now, wave, ports, random));
  const auto hit = probe.on_result({second->tag, 3, 4});  // late: it counts
  REQUIRE(hit);
  CHECK((hit->hit && hit->ports == second->ports && hit->engine == 3));
  CHECK_FALSE(probe.searching());
  CHECK(probe.next_timeout() == never);
  CHECK_FALSE(probe.poll(now + 1s, wave, ports, random));
}

TEST_CASE("Pairs that were good once are tried before random ones") {
  Prng random{2};
  PathProbe probe;
  const std::array<UdpPorts, 2> known{{{1, 2}, {3, 4}}};
  REQUIRE(probe.start(Instant{}, 0, known));
  CHECK(probe.poll(Instant{}, wave, ports, random)->ports == known[1]);
  CHECK(probe.poll(Instant{}, wave, ports, random)->ports == known[0]);
  const UdpPorts third = probe.poll(Instant{} + wave, wave, ports, random)->ports;
  CHECK((third.source >= 50'000 && third.source <= 50'999 && third.destination >= 50'000 &&
         third.destination <= 50'999));
}

TEST_CASE("A search in vain ends after 16 probes per engine; rests double from 1 s to 5 min") {
  Prng random{3};
  PathProbe probe;
  Instant now{1s};
  Duration rest = 1s;
  for (int round = 0; round < 12; ++round) {
    REQUIRE(probe.start(now, 5, {}));
    CHECK(search(probe, now, random, 8, [](UdpPorts) { return 0; }) == 16 * 8);
    CHECK_FALSE(probe.start(now + rest - 1ns, 5, {}));
    now += rest;
    rest = std::min<Duration>(2 * rest, 5min);
  }
  REQUIRE(probe.start(now, 5, {}));  // a hit makes the next rest short again
  search(probe, now, random, 8, [](UdpPorts) { return 5; });
  REQUIRE(probe.start(now, 5, {}));
  search(probe, now, random, 8, [](UdpPorts) { return 0; });
  CHECK(probe.start(now + 1s, 5, {}));
}

TEST_CASE("The mean cost of a search is that of waves of two: about N + 1/2") {
  Prng random{4};
  for (const std::uint32_t engines : {2U, 4U, 8U, 16U}) {
    double sum = 0;
    constexpr int searches = 20'000;
    for (int i = 0; i < searches; ++i) {
      PathProbe probe;
      Instant now{1s};
      (void)probe.start(now, 1, {});
      sum += search(probe, now, random, engines, [&](UdpPorts) { return random.below(engines); });
    }
    const double n = engines;
    const double exact = 2 / (1 - std::pow(1 - 1 / n, 2));
    CAPTURE(engines, exact);
    CHECK(sum / searches == Approx(exact).epsilon(0.03));
    CHECK(exact <= n + 1);
  }
}

TEST_CASE("A result names an engine that exists") {
  std::array<std::byte, PathResultBody::size> bytes;
  const PathResultBody result{0xa1b2'c3d4, 15, 16};
  result.write(bytes);
  PathResultBody read;
  REQUIRE(PathResultBody::parse(bytes, read) == Drop::none);
  CHECK(read == result);
  bytes[5] = std::byte{15};
  CHECK(PathResultBody::parse(bytes, read) == Drop::protocol_violation);
  bytes[5] = std::byte{0};
  CHECK(PathResultBody::parse(bytes, read) == Drop::protocol_violation);
  CHECK(PathResultBody::parse(ByteView{bytes}.first(5), read) == Drop::truncated);
  PathProbeBody probe;
  CHECK(PathProbeBody::parse(ByteView{bytes}.first(3), probe) == Drop::truncated);
}

TEST_CASE("A misrouted flow says so in every packet until told otherwise") {
  proa::test::FlowPair<> pair;
  pair.connect();
  pair.run_for(10ms);
  const auto flags_of_next = [&] {
    std::uint8_t flags = 0;
    pair.lose = [&](int from, const std::vector<std::byte>& bytes) {
      if (from == 0) flags = std::to_integer<std::uint8_t>(bytes[1]);
      return false;
    };
    pair.send(0, "x");
    pair.run_for(1ms);
    return flags & static_cast<std::uint8_t>(HeaderFlag::misrouted);
  };
  CHECK(flags_of_next() == 0);
  pair.side[0].flow->say_misrouted(true);
  CHECK(flags_of_next() != 0);
  pair.side[0].flow->say_misrouted(false);
  CHECK(flags_of_next() == 0);
}

TEST_CASE("For two round trips after a path change packets that overtake others are no loss") {
  for (const bool changed : {false, true}) {
    proa::test::FlowPair<> pair;
    pair.connect();
    pair.run_for(10ms);
    for (int i = 0; i < 50; ++i) {
      pair.send(0, "warm");
      pair.run_for(200us);
    }
    // The first of these packets takes 4 us longer than the others: the path it was sent by.
    std::size_t sent = 0;
    pair.lose = [&](int from, const std::vector<std::byte>& bytes) {
      if (from != 0 || bytes.size() < 1000 || sent++ != 0) return false;
      pair.wire.push_back({pair.now + pair.delay + 4us, 1, bytes});
      return true;
    };
    pair.send(0, std::string(1150, 'a'));
    pair.drain(0);
    if (changed) pair.side[0].flow->on_path_change(pair.now);
    const auto late = pair.wire.back();
    pair.wire.pop_back();
    for (int i = 0; i < 8; ++i) pair.send(0, std::string(1150, 'b'));
    pair.drain(0);
    pair.wire.push_back(late);
    pair.run_for(10ms);
    CAPTURE(changed);
    CHECK(pair.side[1].messages.size() == 59);
    CHECK((pair.side[0].flow->info().packets_lost == 0) == changed);
  }
}
