// What a flow does when its sender can remember no more packets.
#include <catch2/catch.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {
std::string pattern(std::size_t size, unsigned seed) {
  std::string s(size, '\0');
  for (std::size_t i = 0; i < size; ++i) s[i] = static_cast<char>((i * 131 + seed * 7) & 0xff);
  return s;
}
}  // namespace

TEST_CASE("a sender whose records are all settled, the oldest one lost a moment ago, goes on") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 32;
  pair.connect();
  pair.run_for(1ms);
  int seen = 0;
  pair.lose = [&](int from, const auto&) { return from == 0 && seen++ == 0; };
  for (unsigned i = 0; i < 100; ++i) REQUIRE(pair.send(0, pattern(1400, i)));
  pair.run_for(2ms);
  CHECK(pair.side[1].messages.size() == 100);
}

TEST_CASE("a flow that only receives after a repaired loss never runs out of records") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 64;
  pair.connect();
  pair.run_for(1ms);
  int seen = 0;
  pair.lose = [&](int from, const auto&) { return from == 0 && seen++ == 0; };
  for (unsigned i = 0; i < 6; ++i) REQUIRE(pair.send(0, pattern(1400, i)));
  pair.run_for(150us);  // the first is lost and repaired at once
  REQUIRE(pair.side[1].messages.size() == 6);
  for (unsigned i = 0; i < 2000; ++i) {
    REQUIRE(pair.send(1, pattern(10, i)));
    pair.run_for(60us);
    REQUIRE(pair.side[0].messages.size() == i + 1);
  }
  CHECK(pair.side[1].flow->info().queued_messages <= 1);
}

TEST_CASE("a flow whose own message stays lost goes on acknowledging, and repairs it later") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 16;
  pair.connect();
  pair.run_for(1ms);
  bool deaf = true;  // to what holds a message; acknowledgements pass
  pair.lose = [&](int from, const auto& packet) {
    return deaf && from == 0 && packet.size() > 900;
  };
  REQUIRE(pair.send(0, pattern(1000, 1)));
  for (unsigned i = 0; i < 200; ++i) {
    REQUIRE(pair.send(1, pattern(10, i)));
    pair.run_for(60us);
    REQUIRE(pair.side[0].messages.size() == i + 1);
  }
  CHECK(pair.side[1].flow->info().queued_messages <= 1);
  CHECK(pair.side[1].messages.empty());
  deaf = false;
  pair.run_for(3s);
  CHECK(pair.side[1].messages.size() == 1);
}

TEST_CASE("data leaves room for the records of control and probes") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 32;
  pair.options.congestion = CongestionKind::fixed_window;
  pair.delay = 1ms;
  pair.connect();
  for (unsigned i = 0; i < 600; ++i) {
    REQUIRE(pair.send(0, pattern(1400, i)));
    if (i % 100 == 99 && i < 500) pair.run_for(50ms);  // the last hundred finds credit for all
  }
  pair.drain(0);
  REQUIRE(pair.side[0].flow->info().in_flight_bytes >= 28 * 1400);
  for (int i = 0; i < 4; ++i) {
    pair.side[0].flow->on_packet_too_big();  // a ping follows
    pair.run_for(100us);
  }
  pair.run_for(3s);
  CHECK(pair.side[1].messages.size() == 600);
  CHECK(pair.side[0].flow->info().packets_lost == 0);  // none had to be given up for them
  CHECK(pair.side[0].flow->info().resent_bytes == 0);
}

TEST_CASE("a flow whose records are all of packets under way still probes") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 16;
  pair.connect();
  pair.run_for(1ms);
  bool deaf = true;
  pair.lose = [&](int, const auto&) { return deaf; };
  for (unsigned i = 0; i < 40; ++i) REQUIRE(pair.send(0, pattern(1400, i)));
  pair.run_for(200ms);
  REQUIRE(pair.side[0].flow->info().probes > 4);
  deaf = false;
  pair.run_for(1s);
  CHECK(pair.side[1].messages.size() == 40);
}

TEST_CASE("without any memory left a flow that only receives still acknowledges") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(1, pattern(10, 0)));
  pair.run_for(1s);
  auto& pool = pair.side[0].pool;
  std::vector<std::byte*> taken;
  for (std::size_t size = 1U << 20U; size >= 64; size /= 2)
    while (std::byte* const block = pool.allocate(size)) taken.push_back(block);
  for (unsigned i = 1; i < 9; ++i) REQUIRE(pair.send(1, pattern(10, i)));
  pair.run_for(200us);
  CHECK(pair.side[0].messages.size() == 9);
  CHECK(pair.side[1].flow->info().queued_messages == 0);
  CHECK_FALSE(pair.send(0, pattern(10, 9)));  // nothing to remember it with
  for (std::byte* const block : taken) pool.release(block);
  REQUIRE(pair.send(0, pattern(10, 9)));
  pair.run_for(1ms);
  CHECK(pair.side[1].messages.size() == 1);
}
