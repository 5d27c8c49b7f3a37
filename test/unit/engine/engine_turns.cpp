// The engine's turns, with a toy flow: events, fairness, memory, gaps, what the NIC does not take.
#include <catch2/catch.hpp>

#include "toy.hpp"

using namespace toy;

using Toys = World<ToyPolicy>;

TEST_CASE("Events wait in their flow until the application has room", "[engine]") {
  EngineOptions options;
  options.apps_max = 2;
  Toys world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  REQUIRE(world.b.engine.listen(1, 7001));
  const FlowKey key = world.connect();
  const auto other = world.a.engine.connect(world.now, {1, 0}, {world.b.address, 7001}, never);
  world.run(200us);
  world.b.side.set_room(0, 2);
  for (int i = 0; i < 10; ++i)
    REQUIRE(
        world.a.engine.submit(world.now, key, world.a.side.message(0, std::to_string(i)), false));
  REQUIRE(world.a.engine.submit(world.now, *other, world.a.side.message(1, "free"), false));
  world.run(200us);
  CHECK(world.b.side.events.size() == 4);  // accepted and "0", accepted and "free"
  world.b.side.set_room(0, 100);
  world.run(2us);
  const auto got = world.b.side.take(FlowEventKind::message);
  REQUIRE(got.size() == 11);
  CHECK(got.back().text == "9");
}

TEST_CASE("A large sender does not starve a small one", "[engine]") {
  EngineOptions options;
  options.tx_packets_per_turn = 8;
  options.quantum_bytes = 4000;
  Toys world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey large = world.connect({0, 1});
  const FlowKey small = world.connect({0, 2});
  for (int i = 0; i < 1000; ++i)
    REQUIRE(world.a.engine.submit(world.now, large, world.a.side.message(0, std::string(1000, 'L')),
                                  false));
  REQUIRE(world.a.engine.submit(world.now, small, world.a.side.message(0, "s"), false));
  world.run(100us);
  const auto got = world.b.side.take(FlowEventKind::message);
  std::size_t before = 0;
  while (before < got.size() && got[before].text != "s") ++before;
  REQUIRE(before < got.size());
  CHECK(before <= 4);
}

TEST_CASE("Memory goes to the flow that has waited longest, per application", "[engine]") {
  EngineOptions options;
  options.apps_max = 2;
  Toys world{options, 256 << 10};
  REQUIRE(world.b.engine.listen(0, 7000));
  std::vector<FlowKey> keys;
  for (int i = 0; i < 3; ++i) keys.push_back(world.connect({0, 0}));
  auto other = world.a.engine.connect(world.now, {1, 0}, {world.b.address, 7000}, never);
  world.run(200us);
  auto& memory = world.a.side.memory(0);
  std::vector<MessageBlock> held;
  while (auto block = memory.reserve(64 << 10)) held.push_back(*block);
  for (const FlowKey key : keys) {
    auto& flow = flow_of(world.a, key);
    flow.want_memory(64 << 10);
    flow.timer = world.now;  // makes the engine look at the flow
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, ""), false));
    world.run(5us);
  }
  flow_of(world.a, *other).want_memory(64 << 10);
  REQUIRE(world.a.engine.submit(world.now, *other, world.a.side.message(1, ""), false));
  world.run(5us);
  CHECK(flow_of(world.a, *other).reserved);
  for (const FlowKey key : keys) CHECK_FALSE(flow_of(world.a, key).reserved);
  for (std::size_t i = 0; i < keys.size() && i < held.size(); ++i) {
    memory.release(held[i]);
    world.run(2us);
    for (std::size_t k = 0; k < keys.size(); ++k)
      CHECK(flow_of(world.a, keys[k]).reserved.has_value() == (k <= i));
  }
}

TEST_CASE("A dead application's flows are reset and leave nothing behind", "[engine]") {
  EngineOptions options;
  options.apps_max = 2;
  Toys world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  REQUIRE(world.a.engine.listen(0, 1));
  REQUIRE(world.a.engine.listen(1, 2));
  const FlowKey dead = world.connect({0, 0});
  const FlowKey alive = world.connect({1, 0});
  world.a.side.events.clear();
  REQUIRE(world.a.engine.submit(world.now, dead, world.a.side.message(0, "never sent"), false));
  world.a.engine.abandon(world.now, 0, Reason::application_gone);
  world.run(3ms);
  CHECK(world.a.engine.flow_count(0) == 0);
  CHECK(world.a.engine.flow_count(1) == 1);
  CHECK(world.a.side.events.empty());
  CHECK(world.a.side.memory(0).send_arena().used() == 0);
  CHECK(world.a.engine.listen(1, 1));
  CHECK(world.a.engine.listen(0, 2).error() == Reason::port_in_use);
  CHECK(world.a.engine.submit(world.now, alive, world.a.side.message(1, "hello"), false));
}

TEST_CASE("A flow its listener's application does not take is reset", "[engine]") {
  Toys world;
  REQUIRE(world.b.engine.listen(0, 7000));
  world.b.side.refuse_accepts = true;
  const FlowKey key = world.connect();
  REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
  world.run(3ms);
  CHECK(world.b.engine.flow_count() == 0);
  CHECK(world.b.side.events.empty());
}

TEST_CASE("Two applications of one engine reach each other without the NIC", "[engine]") {
  EngineOptions options;
  options.apps_max = 2;
  Toys world{options};
  REQUIRE(world.a.engine.listen(1, 7000));
  const auto key = world.a.engine.connect(world.now, {0, 1}, {world.a.address, 7000}, never);
  REQUIRE(key);
  world.run(20us);
  CHECK(world.a.side.take(FlowEventKind::connected).size() == 1);
  for (int i = 0; i < 200; ++i)
    REQUIRE(
        world.a.engine.submit(world.now, *key, world.a.side.message(0, std::to_string(i)), false));
  world.run(20us);
  const auto got = world.a.side.take(FlowEventKind::message);
  REQUIRE(got.size() == 200);
  CHECK(got[199].text == "199");
  CHECK(got[0].cookie.app == 1);
  CHECK(world.a.engine.counters().nic.tx_packets == 0);
}

TEST_CASE("After a long gap no timer fires before a burst returned short", "[engine]") {
  Toys world;
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect();
  REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
  world.run(100us);
  const auto accepted = world.b.side.take(FlowEventKind::accepted);
  auto& flow = flow_of(world.b, accepted.at(0).key);
  for (int i = 0; i < 100; ++i)
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
  for (int i = 0; i < 100; ++i) (void)world.a.engine.turn([&] { return world.now += 1us; });
  flow.timer = world.now + 1us;
  flow.timeouts = 0;
  world.now += 1ms;
  const auto late = [&] { return world.now; };
  (void)world.b.engine.turn(late);  // 32 of 100
  (void)world.b.engine.turn(late);
  (void)world.b.engine.turn(late);
  CHECK(flow.timeouts == 0);
  CHECK(world.b.engine.needs_turn());
  CHECK(flow.uncertainty > 900us);
  (void)world.b.engine.turn(late);
  CHECK(flow.timeouts == 1);
  CHECK(world.b.side.take(FlowEventKind::message).size() == 101);
  CHECK(world.b.engine.counters().late_turns > 0);
}

TEST_CASE("A turn sends one burst and receives one, so that answers do not wait for the rest",
          "[engine]") {
  Toys world;
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect();
  world.run(100us);
  for (int i = 0; i < 100; ++i)
    REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
  const auto turn = [&](auto& host) { return host.engine.turn([&] { return world.now; }); };
  CHECK(turn(world.a).sent == 32);
  for (int i = 0; i < 5; ++i) (void)turn(world.a);
  world.now += 1ms;
  (void)turn(world.b);  // reads the clock
  CHECK(turn(world.b).received == 32);
  CHECK(world.b.engine.needs_turn());
  CHECK(turn(world.b).received == 32);
}

TEST_CASE("What the NIC does not take is kept and sent later, in order", "[engine]") {
  EngineOptions options;
  options.tx_packets_per_turn = 64;
  Toys world{options};
  world.a.port.set_link({.bits_per_second = 100'000'000});  // 256 descriptors fill up
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect();
  for (int i = 0; i < 600; ++i)
    REQUIRE(
        world.a.engine.submit(world.now, key, world.a.side.message(0, std::to_string(i)), false));
  world.run(20ms);
  CHECK(world.a.engine.counters().tx_ring_full > 0);
  const auto got = world.b.side.take(FlowEventKind::message);
  REQUIRE(got.size() == 600);
  for (int i = 0; i < 600; ++i) CHECK(got[static_cast<std::size_t>(i)].text == std::to_string(i));
}

TEST_CASE("Who finds the ring full keeps its place, also when every second turn finds it full",
          "[engine]") {
  for (const int turns_before : {40, 41}) {
    Toys world;
    world.a.port.set_link({.bits_per_second = 100'000'000});
    REQUIRE(world.b.engine.listen(0, 7000));
    const FlowKey large = world.connect({0, 1});
    const FlowKey small = world.connect({0, 2});
    const auto turn = [&] { (void)world.a.engine.turn([&] { return world.now; }); };
    for (int i = 0; i < 1000; ++i)
      REQUIRE(world.a.engine.submit(world.now, large,
                                    world.a.side.message(0, std::string(1000, 'L')), false));
    for (int i = 0; i < turns_before; ++i) turn();
    REQUIRE(world.a.engine.counters().tx_ring_full > 0);
    REQUIRE(world.a.engine.submit(world.now, small, world.a.side.message(0, "s"), false));
    int pairs = 0;
    while (flow_of(world.a, small).wants_transmit(world.now) && pairs < 50) {
      world.now += 250us;  // for three packets
      turn();
      turn();
      ++pairs;
    }
    CHECK(pairs <= 2);
  }
}

TEST_CASE("An engine gives every packet and block back when it goes", "[engine]") {
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}}};
  {
    Toys world;
    REQUIRE(world.b.engine.listen(0, 7000));
    const FlowKey key = world.connect();
    for (int i = 0; i < 100; ++i)
      REQUIRE(world.a.engine.submit(world.now, key, world.a.side.message(0, "x"), false));
    world.run(3us);
  }
  CHECK(ToyFlow<HeapMemory>::alive == 0);
}

TEST_CASE("when its link comes back an engine re-checks its neighbours while it uses them",
          "[engine]") {
  World<ToyPolicy> world;
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey flow = world.connect();
  const auto asked = [&] { return world.a.engine.interface().counters().arp_requests_sent; };
  const auto before = asked();
  world.run(400ms, 1ms);
  REQUIRE(asked() == before);
  world.a.port.set_link_up(false);
  world.run(200ms, 1ms);
  CHECK(world.a.engine.next_timeout() <= world.now + 100ms);  // it looks whether it is back
  world.a.port.set_link_up(true);
  world.run(200ms, 1ms);
  REQUIRE(world.a.engine.submit(world.now, flow, world.a.side.message(0, "still here"), false));
  world.run(2ms);
  CHECK(asked() == before + 1);
  CHECK(world.b.side.take(FlowEventKind::message).size() == 1);
}
