// engine: links that are lost and ports that are set up anew, however short: neighbours hear of us
// and prove themselves, and one engine of the port speaks for all.
#include <memory>

#include <catch2/catch.hpp>

#include "../../sim/path_world.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// Host a has four engines; one of them has an open flow to host b.
struct Flapping {
  explicit Flapping(bool ipv6, std::uint32_t speaker)
      : world(5, {.engines = 4, .ipv6 = ipv6, .announce = true}, {.engines = 1, .ipv6 = ipv6}),
        announced_each(ipv6 ? 4 : 2) {  // twice; of IPv6 the link-local address, too
    world.listen(world.b, 0);
    flow = &world.connect(speaker);
    talk(5s);
    REQUIRE(flow->received == 0);
    REQUIRE(world.b.sides[0]->ends()[0]->received == flow->sent);
  }
  void talk(Duration how_long) {
    for (const Instant end = world.now + how_long; world.now < end;) {
      ++flow->to_send;
      world.run(10ms);
    }
  }
  [[nodiscard]] std::uint64_t announced() const {
    return sum([](const InterfaceCounters& c) { return c.announcements_sent; });
  }
  [[nodiscard]] std::uint64_t asked() const {
    return sum(
        [](const InterfaceCounters& c) { return c.arp_requests_sent + c.solicitations_sent; });
  }

  PathWorld world;
  PathEnd* flow = nullptr;
  std::uint64_t announced_each;

 private:
  template <class One>
  [[nodiscard]] std::uint64_t sum(One&& one) const {
    std::uint64_t all = 0;
    for (const auto& engine : world.a.engines) all += one(engine->interface().counters());
    return all;
  }
};

void flap(SimPort& port) {
  port.set_link_up(false);
  port.set_link_up(true);
}

}  // namespace

TEST_CASE("At start one engine of a port announces its addresses for all") {
  for (const bool ipv6 : {false, true}) {
    Flapping host{ipv6, 0};
    CHECK(host.announced() == host.announced_each);
  }
}

TEST_CASE("A link that is lost for 10 ms is announced, and neighbours are re-checked",
          "[rfc5227-2.3][rfc4861-7.2.6]") {
  for (const bool ipv6 : {false, true})
    for (const Duration since_a_look : {0ms, 30ms, 60ms}) {  // engines look every 100 ms
      CAPTURE(ipv6, since_a_look.count());
      Flapping host{ipv6, 0};
      host.talk(since_a_look);
      const auto announced = host.announced(), asked = host.asked();
      host.world.a.port.set_link_up(false);
      host.talk(10ms);
      host.world.a.port.set_link_up(true);
      host.talk(5s);
      CHECK(host.announced() == announced + host.announced_each);
      CHECK(host.asked() > asked);  // silence alone asks, too
      CHECK(host.flow->sent == host.world.b.sides[0]->ends()[0]->received);
    }
}

TEST_CASE("A port that was reset or replaced is announced, and neighbours are re-checked") {
  for (const bool replaced : {false, true}) {
    CAPTURE(replaced);
    Flapping host{false, 0};
    const auto announced = host.announced(), asked = host.asked();
    if (replaced) host.world.a.port.set_rss(SimRss::opaque);
    host.world.a.port.reset();
    host.talk(5s);
    CHECK(host.announced() == announced + host.announced_each);
    CHECK(host.asked() == asked + 1);
  }
}

TEST_CASE("A link that is lost and back while all engines sleep is announced when one wakes") {
  Flapping host{false, 2};
  const auto announced = host.announced(), asked = host.asked();
  for (auto& until : host.world.a.stalled_until) until = host.world.now + 10s;
  host.world.run(3s);
  flap(host.world.a.port);
  host.world.run(3s);
  CHECK(host.announced() == announced);
  host.talk(10s);
  CHECK(host.announced() == announced + host.announced_each);
  CHECK(host.asked() == asked + 1);
}

TEST_CASE("Whichever engine sees first that the link was lost announces, the others do not") {
  Flapping host{false, 3};
  const auto announced = host.announced();
  for (std::uint32_t i = 0; i < 3; ++i) host.world.a.stalled_until[i] = host.world.now + 20s;
  flap(host.world.a.port);
  host.talk(5s);
  CHECK(host.announced() == announced + host.announced_each);
  for (std::uint32_t i = 0; i < 3; ++i) host.world.connect(i);  // it wakes them
  host.talk(20s);
  CHECK(host.announced() == announced + host.announced_each);
  flap(host.world.a.port);
  host.talk(5s);
  CHECK(host.announced() == announced + 2 * host.announced_each);
}

TEST_CASE("A link that is up for the first time is announced although nobody counted it down") {
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}}};
  struct DownAtFirst : SimNic {
    using SimNic::SimNic;
    bool link_up() const noexcept { return up; }
    bool up = false;
  } nic{port, 0};
  PathSide side{0};
  InterfaceOptions at;
  at.mac = port.options().mac;
  at.addresses = {{IpAddress::v4(10, 0, 0, 1), 24}};
  EngineOptions options;
  options.flows_max = 16;
  options.interface = InterfacePlan::make(at).value();
  Engine<DownAtFirst, PathSide> engine{nic, side, options, Instant{1s}};
  const auto turn = [&](Instant now) {
    for (int i = 0; i < 4; ++i) static_cast<void>(engine.turn([&] { return now; }));
  };
  turn(Instant{1s});
  turn(Instant{4s});
  const auto before = std::as_const(engine).interface().counters().announcements_sent;
  nic.up = true;
  turn(Instant{5s});
  turn(Instant{8s});
  CHECK(std::as_const(engine).interface().counters().announcements_sent == before + 2);
}

TEST_CASE("An engine that takes the place of the one that announced announces anew") {
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}, .queues = 2}};
  PathSide side{0}, other_side{1};
  InterfaceOptions at;
  at.mac = port.options().mac;
  at.addresses = {{IpAddress::v4(10, 0, 0, 1), 24}};
  EngineOptions options;
  options.flows_max = 16;
  options.interface = InterfacePlan::make(at).value();
  EngineGroupOptions together;
  together.engines = 2;
  options.group = std::make_shared<EngineGroup>(together);
  SimNic first = port.nic(0), second = port.nic(1);
  const auto announced = [](auto& engine) {
    for (const Instant now : {Instant{1s}, Instant{4s}, Instant{7s}})
      for (int i = 0; i < 4; ++i) static_cast<void>(engine.turn([&] { return now; }));
    return std::as_const(engine).interface().counters().announcements_sent;
  };
  auto engine = std::make_unique<Engine<SimNic, PathSide>>(first, side, options, Instant{1s});
  CHECK(announced(*engine) == 2);
  options.index = 1;
  Engine<SimNic, PathSide> other{second, other_side, options, Instant{1s}};
  CHECK(announced(other) == 0);
  engine.reset();
  options.index = 0;
  engine = std::make_unique<Engine<SimNic, PathSide>>(first, side, options, Instant{1s});
  CHECK(announced(*engine) == 2);
}
