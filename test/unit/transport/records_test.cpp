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

TEST_CASE("a flow that only receives after a repaired loss keeps no record while it rests") {
  FlowPair<> pair;
  pair.options.keepalive = 100ms;
  pair.connect();
  pair.run_for(1ms);
  int seen = 0;
  pair.lose = [&](int from, const auto&) { return from == 0 && seen++ == 0; };
  for (unsigned i = 0; i < 6; ++i) REQUIRE(pair.send(0, pattern(1400, i)));
  pair.run_for(150us);  // the first is lost and repaired at once
  REQUIRE(pair.side[1].messages.size() == 6);
  CHECK(pair.side[0].pool.arena().used() != 0);
  for (unsigned i = 0; i < 2000; ++i) {
    REQUIRE(pair.send(1, pattern(10, i)));
    pair.run_for(60us);
    REQUIRE(pair.side[0].messages.size() == i + 1);
  }
  pair.run_for(300ms);
  CHECK(pair.side[0].pool.arena().used() == 0);
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

/// All of a pool, for a while.
class UsedUp {
 public:
  explicit UsedUp(ScratchPool& pool) : pool_(&pool) {
    for (std::size_t size = 1U << 20U; size >= 64; size /= 2)
      while (std::byte* const block = pool.allocate(size)) taken_.push_back(block);
  }
  UsedUp(const UsedUp&) = delete;
  UsedUp& operator=(const UsedUp&) = delete;
  ~UsedUp() {
    for (std::byte* const block : taken_) pool_->release(block);
  }

 private:
  ScratchPool* pool_;
  std::vector<std::byte*> taken_;
};

TEST_CASE("without any memory left a flow that only receives still acknowledges") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(1, pattern(10, 0)));
  pair.run_for(1s);
  {
    const UsedUp all{pair.side[0].pool};
    for (unsigned i = 1; i < 9; ++i) REQUIRE(pair.send(1, pattern(10, i)));
    pair.run_for(200us);
    CHECK(pair.side[0].messages.size() == 9);
    CHECK(pair.side[1].flow->info().queued_messages == 0);
    CHECK_FALSE(pair.send(0, pattern(10, 9)));  // nothing to remember it with
  }
  REQUIRE(pair.send(0, pattern(10, 9)));
  pair.run_for(1ms);
  CHECK(pair.side[1].messages.size() == 1);
}

TEST_CASE("control that finds no memory is tried again, and not all the time") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  auto& flow = *pair.side[0].flow;
  {
    const UsedUp all{pair.side[0].pool};
    flow.reset(pair.now, Reason::reset_by_application);
    pair.drain(0);
    CHECK_FALSE(flow.wants_transmit(pair.now));  // an engine would ask it in every turn
    CHECK(flow.next_timeout() <= pair.now + 1ms);
    int tries = 0;
    for (const Instant end = pair.now + 20ms; pair.now < end && tries < 1000; ++tries)
      (void)pair.step(end);
    CHECK(tries <= 25);
    CHECK(pair.side[1].flow->state() == FlowState::open);
  }
  pair.run_for(10ms);
  CHECK(pair.count(1, FlowEventKind::closed) == 1);
}

TEST_CASE("what happens while a flow waits for memory does not make it wait for ever") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  auto& flow = *pair.side[0].flow;
  REQUIRE(pair.send(0, pattern(10, 0)));  // there is a queue for messages, and no record yet
  {
    const UsedUp all{pair.side[0].pool};
    pair.drain(0);
    REQUIRE_FALSE(flow.wants_transmit(pair.now));
    pair.now += 100us;
    REQUIRE(pair.send(0, pattern(10, 1)));
    flow.handle_timeout(pair.now);
    CHECK(flow.broken_invariant() == nullptr);
  }
  pair.run_for(3ms);
  CHECK(pair.side[1].messages.size() == 2);
}

TEST_CASE("what cannot be remembered as lost for want of memory is lost a little later") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  // Out of order, so that there is memory for what is acknowledged, and none for what is lost.
  for (unsigned i = 0; i < 2; ++i) {
    REQUIRE(pair.send(0, pattern(1000, i)));
    pair.drain(0);
  }
  REQUIRE(pair.wire.size() == 2);
  std::swap(pair.wire[0].bytes, pair.wire[1].bytes);
  pair.run_for(1ms);
  int seen = 0;
  pair.lose = [&](int from, const auto&) { return from == 0 && seen++ < 2; };
  for (unsigned i = 0; i < 6; ++i) REQUIRE(pair.send(0, pattern(1000, i)));
  pair.drain(0);
  {
    const UsedUp all{pair.side[0].pool};
    int tries = 0;
    for (const Instant end = pair.now + 5ms; pair.now < end && tries < 1000; ++tries)
      (void)pair.step(end);
    CHECK(tries < 300);
  }
  pair.run_for(1s);
  CHECK(pair.side[1].messages.size() == 8);
}

TEST_CASE("a connect that finds no memory is tried again") {
  FlowPair<> pair;
  {
    const UsedUp all{pair.side[0].pool};
    pair.connect();
    int tries = 0;
    for (const Instant end = pair.now + 20ms; pair.now < end && tries < 1000; ++tries)
      (void)pair.step(end);
    CHECK(tries <= 25);
    CHECK_FALSE(pair.side[1].flow);
  }
  pair.run_for(10ms);
  CHECK(pair.count(0, FlowEventKind::connected) == 1);
}
