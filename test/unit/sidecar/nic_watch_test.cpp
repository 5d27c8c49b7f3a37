// sidecar: an operator hears of a NIC's trouble once, and once that it is over.
#include <catch2/catch.hpp>

#include <vector>

#include "../../../sidecar/nic_watch.hpp"

using namespace proa;
using namespace proa::sidecar;
using namespace std::chrono_literals;

namespace {

struct Heard {
  std::vector<NicNotice> notices;
  bool deaf = false;
  bool operator()(const NicNotice& notice) {
    if (!deaf) notices.push_back(notice);
    return !deaf;
  }
};

}  // namespace

TEST_CASE("a counter that grows at every look is said once, and its sum when it rests") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  counters.nic.rx_missed = 1000;  // from before: nobody's trouble now
  Instant now = Instant{} + 1s;
  watch.look(now, true, counters, heard);
  CHECK(heard.notices.empty());
  for (int i = 0; i < 100; ++i) {
    counters.nic.rx_missed += 7;
    watch.look(now += 1s, true, counters, heard);
  }
  REQUIRE(heard.notices.size() == 1);
  CHECK(heard.notices[0].what == NicTrouble::rx_overrun);
  CHECK_FALSE(heard.notices[0].over);
  for (int i = 0; i < 9; ++i) watch.look(now += 1s, true, counters, heard);
  CHECK(heard.notices.size() == 1);
  watch.look(now += 1s, true, counters, heard);
  REQUIRE(heard.notices.size() == 2);
  CHECK(heard.notices[1].over);
  CHECK(heard.notices[1].times == 700);
  CHECK(heard.notices[1].lasted == 99s);
  CHECK(text(heard.notices[1]) == "over, 700 times in 99.0 s: the receive ring overran");
}

TEST_CASE(
    "a link's episode is over as soon as it is up, also one that began before the first look") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  Instant now{};
  watch.look(now, false, counters, heard);
  watch.look(now += 1s, false, counters, heard);
  watch.look(now += 1s, true, counters, heard);
  counters.nic.link_downs = 1;
  watch.look(now += 1s, false, counters, heard);
  REQUIRE(heard.notices.size() == 3);
  CHECK(text(heard.notices[0]) == "the link is down");
  CHECK(text(heard.notices[1]) == "over after 2.0 s: the link is down");
  CHECK_FALSE(heard.notices[2].over);
}

TEST_CASE("a peer that is not served is said until the link is up, also one from before the look") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  counters.nic.mismatches = 1;
  Instant now{};
  watch.look(now, false, counters, heard);
  for (int i = 0; i < 30; ++i) watch.look(now += 1s, false, counters, heard);
  REQUIRE(heard.notices.size() == 2);  // and that the link is down
  CHECK(heard.notices[1].what == NicTrouble::mismatch);
  CHECK_FALSE(heard.notices[1].over);
  watch.look(now += 1s, true, counters, heard);
  watch.look(now += 1s, false, counters, heard);  // the next one goes: that is all
  REQUIRE(heard.notices.size() == 5);
  CHECK(text(heard.notices[3]).starts_with("over after 31.0 s: the peer has fewer queue pairs"));
  CHECK(text(heard.notices[4]) == "the link is down");
}

TEST_CASE("a link that goes and comes back between two looks is said too") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  counters.nic.link_downs = 3;  // from before
  Instant now{};
  watch.look(now, true, counters, heard);
  CHECK(heard.notices.empty());
  ++counters.nic.link_downs;
  watch.look(now += 1s, true, counters, heard);
  REQUIRE(heard.notices.size() == 1);
  CHECK(text(heard.notices[0]) == "the link is down");
  watch.look(now += 1s, true, counters, heard);
  REQUIRE(heard.notices.size() == 2);
  CHECK(heard.notices[1].over);
}

TEST_CASE("what could not be told is told at the next look, so that nobody waits for its end") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  Instant now{};
  watch.look(now, true, counters, heard);
  heard.deaf = true;
  watch.look(now += 1s, false, counters, heard);
  heard.deaf = false;
  watch.look(now += 1s, false, counters, heard);
  REQUIRE(heard.notices.size() == 1);
  heard.deaf = true;
  watch.look(now += 1s, true, counters, heard);
  heard.deaf = false;
  watch.look(now += 1s, true, counters, heard);
  REQUIRE(heard.notices.size() == 2);
  CHECK(heard.notices[1].over);
  watch.look(now += 1s, true, counters, heard);
  CHECK(heard.notices.size() == 2);
}

TEST_CASE("what has been counted and could not be told is told although it no longer grows") {
  NicWatch watch;
  Heard heard;
  EngineCounters counters;
  Instant now{};
  watch.look(now, true, counters, heard);
  heard.deaf = true;
  counters.nic.rx_missed = 7;
  watch.look(now += 1s, true, counters, heard);
  heard.deaf = false;
  watch.look(now += 1s, true, counters, heard);
  REQUIRE(heard.notices.size() == 1);
  CHECK(heard.notices[0].what == NicTrouble::rx_overrun);
  CHECK(heard.notices[0].times == 7);
  watch.look(now += 1s, true, counters, heard);
  CHECK(heard.notices.size() == 1);
}

TEST_CASE("a trouble of all engines of an interface is said once, with what they counted") {
  using enum NicTrouble;
  InterfaceTroubles troubles;
  for (std::uint32_t engine = 0; engine < 4; ++engine) {
    CHECK(troubles.heard(engine, {link_down, false, 0, {}}).has_value() == (engine == 0));
    CHECK(troubles.heard(engine, {tx_ring_full, false, 1, {}}).has_value() == (engine == 0));
  }
  CHECK_FALSE(troubles.heard(2, {link_down, false, 0, {}}));  // its last word was lost
  for (std::uint32_t engine = 0; engine < 4; ++engine) {
    const auto over = troubles.heard(engine, {tx_ring_full, true, 10, (engine + 1) * 1s});
    REQUIRE(over.has_value() == (engine == 3));
    if (over) CHECK(text(*over) == "over, 40 times in 4.0 s: the transmit ring is full");
    CHECK(troubles.heard(engine, {link_down, true, 0, 2s}).has_value() == (engine == 3));
  }
  CHECK_FALSE(troubles.heard(1, {link_down, true, 0, 2s}));  // its first word was lost
  CHECK(troubles.heard(1, {tx_ring_full, false, 1, {}})->times == 1);
  CHECK(troubles.heard(1, {tx_ring_full, true, 5, 1s})->times == 5);
}

TEST_CASE("every trouble has its own counter and its own words") {
  std::vector<std::string> words;
  const auto grown = [&](std::uint64_t& counter, EngineCounters& counters) {
    NicWatch watch;
    Heard heard;
    watch.look(Instant{}, true, counters, heard);
    ++counter;
    watch.look(Instant{} + 1s, true, counters, heard);
    REQUIRE(heard.notices.size() == 1);
    words.push_back(text(heard.notices[0]));
  };
  EngineCounters c;
  for (std::uint64_t* counter :
       {&c.nic.resets, &c.nic.removals, &c.nic.rx_missed, &c.nic.rx_no_buffer, &c.nic.rx_errors,
        &c.tx_ring_full, &c.tx_pool_empty, &c.nic.tx_errors})
    grown(*counter, c);
  CHECK(words == std::vector<std::string>{
                     "the driver asked for a reset", "the device went away",
                     "the receive ring overran", "no buffer for received packets", "receive errors",
                     "the transmit ring is full", "no packet to send with", "transmit errors"});
}
