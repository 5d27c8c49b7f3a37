// The engine under more than it can take: it never sees the end of its ring, or of its inbox.
#include <catch2/catch.hpp>

#include "toy.hpp"

using namespace toy;

namespace {

constexpr Duration turn_time = 20us;
constexpr std::uint32_t ring = 256, burst = 32;

/// `b` receives a message in every place of its ring, turn after turn.
struct Flooded : World<ToyPolicy> {
  explicit Flooded(const EngineOptions& of_b = {}) : World(EngineOptions{}, of_b) {
    for (auto* host : {&a, &b}) host->port.set_link({.delay = 0us, .bits_per_second = 0});
    REQUIRE(b.engine.listen(0, 7000));
    key = connect();
    feed(1);
    run(100us);
    flow = &flow_of(b, b.side.take(FlowEventKind::accepted).at(0).key);
    (void)b.side.take(FlowEventKind::message);
  }
  void feed(std::uint32_t messages) {
    for (std::uint32_t i = 0; i < messages; ++i)
      REQUIRE(a.engine.submit(now, key, a.side.message(0, "x"), false));
    for (std::uint32_t i = 0; i <= messages / burst; ++i) (void)a.engine.turn([&] { return now; });
    network.advance(now);
  }
  TurnReport turn_after(Duration gap) {
    now += gap;
    const TurnReport report = b.engine.turn([&] { return now; });
    (void)b.side.take(FlowEventKind::message);
    return report;
  }
  void fill_ring() { feed(ring - static_cast<std::uint32_t>(b.port.backlog(0))); }
  void flood_for(int turns) {
    for (int i = 0; i < turns; ++i) {
      fill_ring();
      REQUIRE(turn_after(turn_time).received == burst);
    }
  }
  /// Flows of the same peer, beside the first, each with a timer that is due then.
  std::vector<ToyFlow<HeapMemory>*> open_flows(int count, Duration timer) {
    std::vector<FlowKey> keys;
    for (int i = 0; i < count; ++i) {
      const FlowKey one = connect();
      REQUIRE(a.engine.submit(now, one, a.side.message(0, "x"), false));
      run(20us);
      for (const auto& event : b.side.take(FlowEventKind::accepted)) keys.push_back(event.key);
    }
    REQUIRE(keys.size() == static_cast<std::size_t>(count));
    (void)b.side.take(FlowEventKind::message);
    std::vector<ToyFlow<HeapMemory>*> out;
    for (const FlowKey key_of_b : keys) {
      out.push_back(&flow_of(b, key_of_b));
      out.back()->timer = now + timer;
      out.back()->timeouts = 0;
      REQUIRE(
          b.engine.submit(now, key_of_b, b.side.message(0, "x"), false));  // looked at next turn
    }
    return out;
  }
  /// Packets received until a timer fires that is due in the first turn. The last gap goes on.
  std::uint32_t received_until_timer(const std::vector<Duration>& gaps) {
    std::uint32_t received = 0;
    flow->timer = now + gaps[0];
    flow->timeouts = 0;
    for (std::size_t i = 0; flow->timeouts == 0 && received < 100 * ring; ++i) {
      fill_ring();
      received += turn_after(gaps[std::min(i, gaps.size() - 1)]).received;
    }
    return received;
  }

  FlowKey key;
  ToyFlow<HeapMemory>* flow = nullptr;
};

/// An engine of two with an inbox of 64 places, which the other one never lets become empty.
struct FullInbox : Flooded {
  static constexpr std::uint32_t slots = 64;

  static EngineOptions options() {
    EngineOptions out;
    out.group = std::make_shared<EngineGroup>(
        EngineGroupOptions{.engines = 2, .handover_slots = slots, .payload_bytes_max = 1500});
    return out;
  }
  FullInbox() : Flooded(options()) {
    PacketHeader header;
    header.destination_flow = flow->identity().local_id;
    header.write(std::span{bytes}.first<PacketHeader::size>());
    Crc32c::seal(bytes);
    arrival.source = a.address;
    arrival.destination = b.address;
    arrival.payload = bytes;
  }
  void fill() {
    while (b.engine.group().inbox(0).put(arrival, Via::engine, 1)) {
    }
  }

  std::array<std::byte, PacketHeader::size + Crc32c::trailer_bytes> bytes{};
  UdpArrival arrival;
};

}  // namespace

TEST_CASE("An overloaded engine's timers go on while it is not late", "[engine]") {
  Flooded world;
  world.flood_for(50);
  CHECK(world.received_until_timer({turn_time}) <= 2 * burst);  // the first turn arms it
}

TEST_CASE("After a late turn an overloaded engine's timers wait for one ring's worth of packets",
          "[engine]") {
  Flooded world;
  world.flood_for(50);
  CHECK(world.received_until_timer({1ms, turn_time}) == burst + ring);
}

TEST_CASE("An overloaded engine whose every turn is late has timers nevertheless", "[engine]") {
  Flooded world;
  for (int i = 0; i < 5; ++i) CHECK(world.received_until_timer({150us}) <= burst + ring);
}

TEST_CASE("An engine that is always late serves as many timers as it has turns for", "[engine]") {
  EngineOptions options;
  options.timers_per_turn = 2;
  Flooded world{options};
  const auto flows = world.open_flows(24, 150us);
  const auto waits = [](const auto* flow) { return flow->timeouts == 0; };
  std::uint32_t received = 0;
  while (std::any_of(flows.begin(), flows.end(), waits) && received < 100 * ring) {
    world.fill_ring();
    received += world.turn_after(150us).received;
  }
  CHECK(received <= 2 * (burst + ring));  // some are only found out in the second round
}

TEST_CASE("A gap of another order makes an engine that catches up begin anew", "[engine]") {
  Flooded world;
  world.flood_for(50);
  CHECK(world.received_until_timer({150us, 150us, 200us, 1ms, 150us, 20us}) == 4 * burst + ring);
}

TEST_CASE("How long a packet may have lain unread is bounded by what the ring holds", "[engine]") {
  Flooded world;
  constexpr int turns_per_ring = ring / burst;
  for (int turn = 0; turn < 1000; ++turn) {
    world.flood_for(1);
    REQUIRE(world.flow->uncertainty <= (2 * turns_per_ring + 1) * turn_time);
    // It may really be as old as a whole ring.
    if (turn > turns_per_ring) REQUIRE(world.flow->uncertainty >= turns_per_ring * turn_time);
  }
}

TEST_CASE("A late engine's timers wait for what its inbox holds, if that never becomes empty",
          "[engine]") {
  FullInbox world;
  world.flow->timer = world.now + 1ms;
  world.flow->timeouts = 0;
  world.fill();
  std::uint32_t received = world.turn_after(1ms).received;
  for (int turn = 0; turn < 100 && world.flow->timeouts == 0; ++turn) {
    world.fill();
    received += world.turn_after(turn_time).received;
  }
  CHECK(received == burst + FullInbox::slots);
}

TEST_CASE("How long something may have waited in a full inbox is bounded by what that holds",
          "[engine]") {
  FullInbox world;
  constexpr int turns_per_inbox = FullInbox::slots / burst;
  for (int turn = 0; turn < 1000; ++turn) {
    world.fill();
    REQUIRE(world.turn_after(turn_time).received == burst);
    REQUIRE(world.flow->uncertainty <= (2 * turns_per_inbox + 1) * turn_time);
    if (turn > turns_per_inbox) REQUIRE(world.flow->uncertainty >= turns_per_inbox * turn_time);
  }
}
