// What a flow promises of messages: limits, would_block and writable, sent, closing in time,
// packing.
#include <catch2/catch.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {

/// Submits and says why it was refused; a refused block goes back, as the caller owns it.
Reason submit(FlowPair<>& pair, int from, std::size_t bytes, bool notify = false) {
  auto& side = pair.side[from];
  const auto block = side.memory.allocate_send(static_cast<std::uint32_t>(bytes));
  REQUIRE(block);
  const auto done = side.flow->submit(pair.now, *block, notify);
  if (!done) side.memory.release(*block);
  return done ? Reason::none : done.error();
}

}  // namespace

TEST_CASE("A message above the smaller one of both ends' limits is refused") {
  FlowPair<> pair;
  pair.options.message_bytes_max = 1000;
  pair.connect();
  pair.run_for(1ms);
  CHECK(submit(pair, 0, 1001) == Reason::message_too_large);
  CHECK(submit(pair, 0, 1000) == Reason::none);
  pair.run_for(1ms);
  CHECK(pair.side[1].messages.size() == 1);
}

TEST_CASE(
    "A message queued before the peer told its smaller limit ends the flow, and both hear it") {
  for (const std::size_t bytes : {1000U, 1001U}) {
    FlowPair<> pair;
    pair.connect();
    REQUIRE(submit(pair, 0, bytes) == Reason::none);
    pair.drain(0);
    pair.now += pair.delay;
    pair.options.message_bytes_max = 1000;  // what the server is made with
    pair.deliver(pair.wire.front());
    pair.wire.pop_front();
    pair.drain(1);
    pair.options.message_bytes_max = 2000;
    pair.run_for(1ms);
    CAPTURE(bytes);
    CHECK(pair.side[1].messages.size() == (bytes == 1000 ? 1 : 0));
    REQUIRE(pair.count(0, FlowEventKind::closed) == (bytes == 1000 ? 0 : 1));
    if (bytes == 1000) continue;
    CHECK(pair.side[0].events.back().reason == Reason::message_too_large);
    CHECK(pair.side[0].memory.send_arena().used() == 0);
    REQUIRE(pair.count(1, FlowEventKind::closed) == 1);
    CHECK(pair.side[1].events.back().reason == Reason::message_too_large);
  }
}

TEST_CASE("With as many packets under way as may be none leaves until one is acknowledged") {
  FlowPair<> pair;
  pair.options.packets_in_flight_max = 32;
  pair.connect();
  pair.run_for(1ms);
  const auto before = pair.side[0].packets;
  for (int i = 0; i < 40; ++i) {
    REQUIRE(submit(pair, 0, 10) == Reason::none);
    pair.drain(0);
  }
  CHECK(pair.side[0].packets - before == 28);  // the rest is for control and probes
  CHECK_FALSE(pair.side[0].flow->wants_transmit(pair.now));
  pair.run_for(1ms);
  CHECK(pair.side[1].messages.size() == 40);
}

TEST_CASE("A full queue answers would_block and one writable follows when that size fits") {
  FlowPair<> pair;
  pair.options.send_queue_bytes_max = 100'000;
  pair.connect();
  pair.run_for(1ms);
  pair.lose = [](int, const auto&) { return true; };
  for (int i = 0; i < 10; ++i) REQUIRE(submit(pair, 0, 10'000) == Reason::none);
  CHECK(submit(pair, 0, 10'000) == Reason::would_block);
  CHECK(submit(pair, 0, 1) == Reason::would_block);
  CHECK(submit(pair, 0, 30'000) == Reason::would_block);  // the last one refused counts
  pair.run_for(1ms);
  CHECK(pair.count(0, FlowEventKind::writable) == 0);
  pair.lose = nullptr;
  while (pair.count(0, FlowEventKind::writable) == 0 && pair.step(pair.now + 1s)) {
  }
  CHECK(submit(pair, 0, 30'000) == Reason::none);
  pair.run_for(1s);
  CHECK(pair.count(0, FlowEventKind::writable) == 1);
  CHECK(pair.side[1].messages.size() == 11);
}

TEST_CASE("A single message may be larger than the queue's limit of bytes") {
  FlowPair<> pair;
  pair.options.send_queue_bytes_max = 1000;
  pair.connect();
  REQUIRE(submit(pair, 0, 500'000) == Reason::none);
  pair.run_for(10ms);
  REQUIRE(pair.side[1].messages.size() == 1);
  CHECK(pair.side[1].messages[0].size() == 500'000);
}

TEST_CASE("The number of messages in flight is limited too") {
  FlowPair<> pair;
  pair.options.send_queue_messages_max = 64;
  pair.connect();
  pair.run_for(1ms);
  pair.lose = [](int, const auto&) { return true; };
  for (int i = 0; i < 64; ++i) REQUIRE(submit(pair, 0, 0) == Reason::none);
  CHECK(submit(pair, 0, 0) == Reason::would_block);
}

TEST_CASE("Sent comes only on request, once the peer's transport has the message, not before") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(submit(pair, 0, 100) == Reason::none);
  pair.run_for(1ms);
  CHECK(pair.count(0, FlowEventKind::sent) == 0);
  REQUIRE(submit(pair, 0, 100, true) == Reason::none);
  pair.run_for(39us);
  CHECK(pair.count(0, FlowEventKind::sent) == 0);
  pair.run_for(100us);
  REQUIRE(pair.count(0, FlowEventKind::sent) == 1);
  CHECK(pair.side[0].events.back().number == MessageNumber{1});
}

TEST_CASE("Close gives up at its deadline what is not acknowledged; both ends hear why") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  bool cut = true;
  pair.lose = [&](int from, const auto&) { return cut && from == 0; };
  for (int i = 0; i < 5; ++i) REQUIRE(submit(pair, 0, 100'000) == Reason::none);
  REQUIRE(pair.side[0].flow->close(pair.now, pair.now + 10ms));
  CHECK(submit(pair, 0, 1) == Reason::flow_closing);
  pair.run_for(9ms);
  CHECK(pair.count(0, FlowEventKind::closed) == 0);
  pair.run_for(2ms);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::close_deadline);
  CHECK(pair.side[0].memory.send_arena().used() == 0);  // all five are the application's again
  cut = false;
  pair.run_for(200ms);
  REQUIRE(pair.count(1, FlowEventKind::closed) == 1);
  CHECK(pair.side[1].events.back().reason == Reason::close_deadline);
  CHECK(pair.side[1].memory.receive_arena().used() == 0);
}

TEST_CASE("A lone message leaves at once: no timer waits for more") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(submit(pair, 0, 10) == Reason::none);
  pair.run_for(pair.delay - 1ns);
  CHECK(pair.side[1].messages.empty());
  pair.run_for(1ns);
  CHECK(pair.side[1].messages.size() == 1);
}

TEST_CASE("What waits for the window is packed: small messages under load share packets") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  const auto before = pair.side[0].packets;
  for (int i = 0; i < 10'000; ++i) REQUIRE(submit(pair, 0, 64) == Reason::none);
  pair.run_for(50ms);
  REQUIRE(pair.side[1].messages.size() == 10'000);
  // 71 bytes each with their heads: 17 in 1232, 20 in 1472.
  CHECK(pair.side[0].packets - before < 10'000 / 16);
}
