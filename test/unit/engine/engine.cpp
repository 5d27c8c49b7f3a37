// The engine's own work, with a toy flow: requests, connections, limits, answers.
#include <catch2/catch.hpp>

#include "toy.hpp"

using namespace toy;

namespace {

using Toys = World<ToyPolicy>;

}  // namespace

TEST_CASE("Two engines connect, resolve their neighbours and exchange messages", "[engine]") {
  Toys world;
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect({0, 77});
  const auto connected = world.a.side.take(FlowEventKind::connected);
  REQUIRE(connected.size() == 1);
  CHECK(connected[0].cookie == AppCookie{0, 77});
  for (const char* text : {"one", "", "three"})
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, text), false));
  world.run(200us);
  const auto accepted = world.b.side.take(FlowEventKind::accepted);
  REQUIRE(accepted.size() == 1);
  const auto got = world.b.side.take(FlowEventKind::message);
  REQUIRE(got.size() == 3);
  CHECK(got[0].text == "one");
  CHECK(got[1].text.empty());
  CHECK(got[2].text == "three");
  CHECK(got[0].cookie == accepted[0].cookie);

  REQUIRE(
      world.b.engine.submit(world.now, accepted[0].key, world.b.side.message(0, "back"), false));
  world.run(200us);
  CHECK(world.a.side.take(FlowEventKind::message).size() == 1);
  CHECK(world.a.side.memory(0).send_arena().used() == 0);
}

TEST_CASE("A closed flow tells its application once, is forgotten and its key is stale",
          "[engine]") {
  Toys world;
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect();
  CHECK(world.a.engine.flow_count() == 1);
  REQUIRE(world.a.engine.close(world.now, key, never));
  world.run(10us);
  REQUIRE(world.a.side.take(FlowEventKind::closed).size() == 1);
  CHECK(world.a.engine.submit(world.now, key, {}, false).error() == Reason::no_such_flow);
  world.run(2ms);
  CHECK(world.a.engine.flow_count() == 0);
  CHECK(world.a.engine.close(world.now, key, never).error() == Reason::no_such_flow);
  CHECK_FALSE(world.a.engine.info(key));
  world.run(200ms, 1ms);  // the neighbour cache has looked at its deadlines once more
  CHECK(world.a.engine.next_timeout() == never);
}

TEST_CASE("Connecting is refused without a route, with bad arguments or at the limit", "[engine]") {
  EngineOptions options;
  options.flows_max = 2;
  Toys world{options};
  const auto connect = [&](const IpAddress& to, std::uint16_t port, std::uint32_t app = 0) {
    return world.a.engine.connect(world.now, {app, 0}, {to, port}, never);
  };
  CHECK(connect(IpAddress::v4(192, 168, 0, 1), 1).error() == Reason::no_route);
  CHECK(connect(world.b.address, 0).error() == Reason::invalid_argument);
  CHECK(connect(world.b.address, 1, 9).error() == Reason::invalid_argument);
  REQUIRE(connect(world.b.address, 1));
  REQUIRE(connect(world.b.address, 2));
  CHECK(connect(world.b.address, 3).error() == Reason::too_many_flows);
}

TEST_CASE("A port belongs to one application until it gives it up", "[engine]") {
  EngineOptions options;
  options.apps_max = 2;
  Toys world{options};
  auto& engine = world.a.engine;
  CHECK(engine.listen(0, 0).error() == Reason::invalid_argument);
  CHECK(engine.listen(2, 80).error() == Reason::invalid_argument);
  REQUIRE(engine.listen(0, 80));
  CHECK(engine.listen(1, 80).error() == Reason::port_in_use);
  CHECK_FALSE(engine.unlisten(1, 80));
  CHECK(engine.unlisten(0, 80));
  CHECK(engine.listen(1, 80));
}

TEST_CASE("A connection nobody listens for is refused with a reason", "[engine]") {
  Toys world;
  world.connect();
  const auto closed = world.a.side.take(FlowEventKind::closed);
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].reason == Reason::connection_refused);
  CHECK(world.b.engine.counters().drops[Drop::no_listener] == 1);
  CHECK(world.b.engine.counters().answers_refuse == 1);
  CHECK(world.b.engine.flow_count() == 0);
}

TEST_CASE("A connect that waits for its peer's address asks the engine for little", "[engine]") {
  World<DefaultPolicy> world;
  REQUIRE(world.a.engine.connect(world.now, {0, 5}, {IpAddress::v4(10, 0, 0, 99), 7000},
                                 world.now + 10s));
  std::uint32_t looks = 0;
  for (const Instant end = world.now + 2s; world.now < end; world.now += 100us)
    looks += world.a.engine.turn([&] { return world.now; }).timers;
  CHECK(looks <= 150);  // every 20 ms, and what the neighbour's own questions take
}

TEST_CASE("A connect to a host that does not exist ends as unreachable at its deadline",
          "[engine]") {
  World<DefaultPolicy> world;
  const Instant deadline = world.now + 3s;
  const auto key =
      world.a.engine.connect(world.now, {0, 5}, {IpAddress::v4(10, 0, 0, 99), 7000}, deadline);
  REQUIRE(key);
  world.run(2900ms, 1ms);
  CHECK(world.a.side.take(FlowEventKind::closed).empty());
  world.run(200ms, 1ms);
  const auto closed = world.a.side.take(FlowEventKind::closed);
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].reason == Reason::peer_unreachable);
  CHECK(world.a.engine.flow_count() == 0);
}

TEST_CASE("A connect for which no packet is left is told of this host, not of the peer",
          "[engine]") {
  World<DefaultPolicy> world;
  std::vector<Packet> taken(4096);
  std::size_t count = 0;
  const auto take_all_but = [&](std::size_t left) {
    count += world.a.nic.allocate(std::span{taken}.subspan(count, taken.size() - count - left));
  };
  const auto reason_of_connect = [&] {
    REQUIRE(world.a.engine.connect(world.now, {}, {world.b.address, 7000}, world.now + 50ms));
    for (int i = 0; i < 100; ++i) {
      take_all_but(0);
      world.run(1ms, 100us);
    }
    const auto closed = world.a.side.take(FlowEventKind::closed);
    REQUIRE(closed.size() == 1);
    return closed[0].reason;
  };
  SECTION("not even for the question where the peer is") {
    CHECK(reason_of_connect() == Reason::cannot_send);
  }
  SECTION("although it is known where the peer is") {
    take_all_but(40);
    REQUIRE(world.b.engine.listen(0, 7000));
    const FlowKey flow = world.connect();
    REQUIRE(world.a.side.take(FlowEventKind::connected).size() == 1);
    world.a.port.set_link({.bits_per_second = 1000});  // what is sent stays with the NIC
    for (int i = 0; i < 40; ++i) {                     // the engine has taken some in advance
      REQUIRE(world.a.engine.submit(world.now, flow, world.a.side.message(0, "x"), false));
      take_all_but(0);
      world.run(1us);
    }
    REQUIRE(world.a.engine.counters().tx_pool_empty > 0);
    CHECK(reason_of_connect() == Reason::cannot_send);
  }
  world.a.nic.release(std::span{taken}.first(count));
}

TEST_CASE("A question for a neighbour counts once the NIC has taken it", "[engine]") {
  World<DefaultPolicy> world;
  SimLinkOptions stuck = world.a.port.options().link;
  stuck.bits_per_second = 1;
  world.a.port.set_link(stuck);
  std::vector<Packet> frames(world.a.port.options().descriptors);
  REQUIRE(world.a.nic.allocate(frames) == frames.size());
  for (Packet& frame : frames) frame.set_length(60);
  for (Packet& frame : frames) std::memset(frame.storage().data(), 0, frame.length());
  REQUIRE(world.a.nic.tx_burst(world.now, frames) == frames.size());
  const auto ended = [&](Duration limit) {
    REQUIRE(world.a.engine.connect(world.now, {}, {IpAddress::v4(10, 0, 0, 99), 7000},
                                   world.now + limit));
    world.run(limit + 50ms, 1ms);
    const auto closed = world.a.side.take(FlowEventKind::closed);
    REQUIRE(closed.size() == 1);
    return closed[0].reason;
  };
  const auto asked = [&] { return world.a.engine.interface().counters().arp_requests_sent; };
  CHECK(ended(3s) == Reason::cannot_send);
  CHECK(asked() == 0);
  CHECK(world.a.engine.needs_turn());  // it goes as soon as the NIC takes something
  world.a.port.reset();
  world.run(90ms, 1ms);
  CHECK(asked() == 1);
  world.run(20ms, 1ms);
  CHECK(asked() == 2);
  CHECK(ended(2s) == Reason::peer_unreachable);
}

TEST_CASE("Packets of forgotten flows are answered with unknown flow, at a limited rate",
          "[engine]") {
  EngineOptions options;
  options.answers_per_second = 1;
  options.answers_burst = 2;
  Toys world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  std::vector<FlowKey> keys;
  for (int i = 0; i < 5; ++i) keys.push_back(world.connect());
  for (const FlowKey key : keys)
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
  world.run(100us);
  for (const auto& seen : world.b.side.take(FlowEventKind::accepted))
    REQUIRE(world.b.engine.reset(world.now, seen.key, Reason::reset_by_application));
  world.run(3ms);
  CHECK(world.b.engine.flow_count() == 0);
  for (const FlowKey key : keys)
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "y"), false));
  world.run(300us);
  CHECK(world.b.engine.counters().drops[Drop::unknown_flow] == 5);
  CHECK(world.b.engine.counters().answers_unknown_flow == 2);
  CHECK(world.a.side.take(FlowEventKind::closed).size() == 2);
}

TEST_CASE("A repeated SYN finds the flow it opened; the limit of half-open flows holds",
          "[engine]") {
  EngineOptions options;
  options.half_open_max = 3;
  Toys world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  world.b.port.set_link_up(true);
  for (std::uint32_t i = 0; i < 5; ++i)
    REQUIRE(world.a.engine.connect(world.now, {0, i}, {world.b.address, 7000}, never));
  world.run(1ms);
  CHECK(world.b.engine.flow_count() == 3);
  CHECK(world.b.engine.counters().drops[Drop::busy] == 2);
  CHECK(world.a.side.take(FlowEventKind::connected).size() == 3);
}

TEST_CASE("Under load a SYN leaves nothing behind until it comes back with its cookie",
          "[engine]") {
  EngineOptions options;
  options.half_open_free = 0;
  Toys deaf{options};  // toys do not answer RETRY: like spoofed addresses
  REQUIRE(deaf.b.engine.listen(0, 7000));
  for (std::uint32_t i = 0; i < 10; ++i)
    REQUIRE(deaf.a.engine.connect(deaf.now, {0, i}, {deaf.b.address, 7000}, never));
  deaf.run(5ms);
  CHECK(deaf.b.engine.flow_count() == 0);
  CHECK(deaf.b.engine.counters().answers_retry == 10);
  CHECK(deaf.b.engine.counters().drops[Drop::busy] == 10);

  World<DefaultPolicy> honest{options};
  REQUIRE(honest.b.engine.listen(0, 7000));
  (void)honest.connect();
  honest.run(1ms);
  CHECK(honest.a.side.take(FlowEventKind::connected).size() == 1);
  CHECK(honest.b.side.take(FlowEventKind::accepted).size() == 1);
  CHECK(honest.b.engine.counters().answers_retry == 1);
}
