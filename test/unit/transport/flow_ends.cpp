// How flows end when packets are lost or never leave: what the simulator found.
#include <catch2/catch.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

TEST_CASE("a connect whose SYN never left is told when its deadline passes") {
  for (const bool next_hop_silent : {true, false}) {
    FlowPair<> pair;
    pair.connect(pair.now + 5ms);
    auto& flow = *pair.side[0].flow;
    pair.now += 5ms;
    flow.handle_timeout(pair.now, next_hop_silent);
    const auto event = flow.poll_event();
    REQUIRE(event);
    CHECK(event->kind == FlowEventKind::closed);
    CHECK(event->reason == (next_hop_silent ? Reason::peer_unreachable : Reason::cannot_send));
    CHECK(flow.finished());
  }
}

TEST_CASE("a reset flow acknowledges no message it will not deliver") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(0, "on its way", true));
  pair.drain(0);
  pair.side[1].flow->reset(pair.now, Reason::reset_by_application);
  // The message arrives before the thread comes round to sending the RESET.
  pair.now = pair.wire.front().at;
  pair.deliver(pair.wire.front());
  pair.wire.pop_front();
  pair.run_for(50us);
  CHECK(pair.count(0, FlowEventKind::sent) == 0);
  CHECK(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[1].messages.empty());
}

TEST_CASE("a server that ends a flow whose SYN-ACKs are lost still tells its client why",
          "[rfc9293-3.10.7.3]") {
  FlowPair<> pair;
  pair.lose = [](int, const std::vector<std::byte>& bytes) {
    return (std::to_integer<int>(bytes[0]) & 0xf) == static_cast<int>(PacketType::syn_ack);
  };
  pair.connect(pair.now + 10s);
  pair.run_for(500us);
  REQUIRE(pair.side[1].flow);
  REQUIRE(pair.side[0].flow->info().state == FlowState::syn_sent);
  pair.side[1].flow->reset(pair.now, Reason::stack_shutdown);
  pair.run_for(2 * pair.delay);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::stack_shutdown);
  CHECK(pair.side[1].flow->info().state == FlowState::lingering);  // it need not say it again
  pair.run_for(1s);
  CHECK(pair.side[0].flow->finished());
  CHECK(pair.side[1].flow->finished());
}

TEST_CASE("the tenth RESET still names the SYN it ends, though one before was lost",
          "[rfc9293-3.10.7.3]") {
  FlowPair<> pair;
  pair.delay = 5ms;
  int syns = 0, resets = 0;
  pair.lose = [&](int from, const std::vector<std::byte>& bytes) {
    const auto type = static_cast<PacketType>(std::to_integer<int>(bytes[0]) & 0xf);
    if (type == PacketType::syn) return ++syns == 2;  // a gap
    return from == 1 && (type == PacketType::syn_ack || ++resets < 10);
  };
  pair.connect(pair.now + 4s);
  pair.run_for(20ms);
  REQUIRE(syns >= 3);
  pair.side[1].flow->reset(pair.now, Reason::not_permitted);
  pair.run_for(2s);
  CHECK(resets >= 10);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::not_permitted);
}

TEST_CASE("an ended flow answers as long as its peer repeats itself") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(0, "the last words"));
  // Every answer is lost for a while: far longer than three probe intervals.
  const Instant deaf_until = pair.now + 60ms;
  pair.lose = [&](int from, const auto&) { return from == 1 && pair.now < deaf_until; };
  REQUIRE(pair.side[0].flow->close(pair.now, never));
  pair.run_for(500ms);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::closed_by_application);
  CHECK(pair.side[1].messages == std::vector<std::string>{"the last words"});
  CHECK(pair.side[0].flow->finished());
  CHECK(pair.side[1].flow->finished());
}

TEST_CASE(
    "a closer whose acknowledgements are lost for seconds still hears that all was delivered") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(0, "the last words", true));
  const Instant deaf_until = pair.now + 3s;
  pair.lose = [&](int from, const auto&) { return from == 1 && pair.now < deaf_until; };
  REQUIRE(pair.side[0].flow->close(pair.now, never));
  pair.run_for(2900ms);
  CHECK(pair.count(0, FlowEventKind::closed) == 0);
  CHECK_FALSE(pair.side[1].flow->finished());
  pair.run_for(10s);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.count(0, FlowEventKind::sent) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::closed_by_application);
  CHECK(pair.side[0].flow->finished());
  CHECK(pair.side[1].flow->finished());
}
