// engine: a peer that is silent: its path may be broken, or it does not run.
#include <catch2/catch.hpp>

#include "../../sim/path_world.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t client = 2, server = 3;
constexpr Duration rtt = 40us;

/// A flow that has found its paths, and what it says now and then.
struct Talk {
  explicit Talk(std::uint64_t seed, bool ipv6 = false) : world(seed, host(ipv6), host(ipv6)) {
    world.listen(world.b, server);
    world.b.sides[server]->echo = true;
    flow = &world.connect(client);
    flow->to_send = 1000;
    world.run(100ms);
    REQUIRE(flow->received == 1000);
  }
  static PathHostOptions host(bool ipv6) {
    return {.engines = 4,
            .rss = SimRss::opaque,
            .handover_slots = 256,
            .link_delay = rtt / 4,
            .ipv6 = ipv6};
  }
  /// Says a word and waits for its echo; how long that took.
  Duration say() {
    const Instant began = world.now;
    ++flow->to_send;
    REQUIRE(world.run_until([&] { return flow->to_send == 0 && flow->received == flow->sent; },
                            began + 10s));
    const Duration took = world.now - began;
    world.run(2ms);
    return took;
  }
  /// The same to an engine that does not run for `pause`.
  void say_to_nobody(Duration pause) {
    world.b.stalled_until[server] = world.now + pause;
    CHECK(say() >= pause);
  }
  /// Says a word while the server has no memory, until the flow has left its pair. The memory is
  /// back then, and the server's engine has noticed.
  void say_to_the_full() {
    const UdpPorts former = path();
    HeapMemory& memory = world.b.sides[server]->memory(0);
    std::vector<MessageBlock> taken;
    for (std::uint32_t bytes = 1U << 20U; bytes != 0; bytes /= 2)
      while (const auto block = memory.reserve(bytes)) taken.push_back(*block);
    if (const auto block = memory.reserve_last(1U << 20U)) taken.push_back(*block);
    ++flow->to_send;
    REQUIRE(world.run_until([&] { return !(path() == former); }, world.now + 1s));
    world.run(rtt);  // what goes by the other pair is refused as well
    for (const MessageBlock& block : taken) memory.release(block);
    (void)world.b.engines[server]->turn([this] { return world.now; });
  }
  /// Waits for the echoes.
  void hear() {
    REQUIRE(world.run_until([&] { return flow->received == flow->sent; }, world.now + 10s));
    world.run(2ms);
  }
  [[nodiscard]] UdpPorts path() const { return *world.a.engines[client]->path_of(flow->key); }
  [[nodiscard]] std::uint64_t handed_over() const {
    return world.a.counters().handed_over + world.b.counters().handed_over;
  }

  PathWorld world;
  PathEnd* flow;
};

}  // namespace

TEST_CASE("A peer that does not run for a while costs its flow no good path", "[rfc3522]") {
  const Duration pause = GENERATE(15ms, 40ms);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed, pause.count());
    Talk talk{seed, seed % 2 == 0};
    const UdpPorts good = talk.path();
    for (int i = 0; i < 5; ++i) talk.say_to_nobody(pause);  // meanwhile it finds others to try
    const std::uint64_t astray = talk.handed_over();
    const std::uint64_t returns = talk.world.a.counters().path_returns;
    for (int i = 0; i < 20; ++i) talk.say_to_nobody(pause);
    CHECK(talk.handed_over() == astray);
    CHECK(talk.world.a.counters().path_returns == returns + 20);
    CHECK(talk.path() == good);
  }
}

TEST_CASE("A flow whose pair of ports leads nowhere takes another at the second repetition") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Talk talk{seed, seed % 2 == 0};
    const UdpPorts broken = talk.path();
    const std::uint64_t changes = talk.world.a.counters().path_changes;
    std::uint64_t lost = 0;
    talk.world.a.lost = [&](UdpPorts ports) {
      lost += ports == broken ? 1U : 0U;
      return ports == broken;
    };
    CHECK(talk.say() < 10 * rtt);
    CHECK(talk.world.a.counters().path_changes == changes + 1);
    CHECK(talk.world.a.counters().path_returns == 0);
    CHECK_FALSE(talk.path() == broken);
    const std::uint64_t lost_then = lost;
    for (int i = 0; i < 20; ++i) talk.say_to_nobody(15ms);
    CHECK(lost == lost_then);  // it was forgotten
    for (int i = 0; i < 50; ++i) talk.say();
    const std::uint64_t before = talk.handed_over();
    for (int i = 0; i < 100; ++i) CHECK(talk.say() < 2 * rtt);
    CHECK(talk.handed_over() == before);
  }
}

TEST_CASE("When all pairs a flow knows lead nowhere it tries others after a pause") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Talk talk{seed};
    for (int i = 0; i < 10; ++i) talk.say_to_nobody(5ms);  // it learns of others
    const Instant broken_at = talk.world.now;
    std::vector<UdpPorts> used;
    talk.world.a.lost = [&](UdpPorts ports) {
      if (talk.world.now < broken_at + 90ms && std::count(used.begin(), used.end(), ports) == 0)
        used.push_back(ports);
      return std::count(used.begin(), used.end(), ports) != 0;
    };
    CHECK(talk.say() < 300ms);
    CHECK(used.size() >= 2);
  }
}

TEST_CASE("A flow that the peer ends while it is silent does not go back to its broken pair") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Talk talk{seed};
    auto& world = talk.world;
    const UdpPorts broken = talk.path();
    world.a.lost = [&](UdpPorts ports) { return ports == broken; };
    ++talk.flow->to_send;
    REQUIRE(world.run_until([&] { return !(talk.path() == broken); }, world.now + 1s));
    world.a.lost = [](UdpPorts) { return true; };  // the peer has nothing new to acknowledge
    const auto& ends = world.b.sides[server]->ends();
    const auto end =
        std::find_if(ends.begin(), ends.end(), [](const auto& one) { return one->open; });
    REQUIRE(end != ends.end());
    REQUIRE(world.b.engines[server]->close(world.now, (*end)->key, world.now));
    REQUIRE(world.run_until([&] { return talk.flow->closed; }, world.now + 1s));
    world.run(5ms);
    CHECK(world.a.counters().path_returns == 0);
  }
}

TEST_CASE("A flow whose way back is broken keeps its own pair") {
  Talk talk{1};
  const UdpPorts good = talk.path();
  const Instant back_at = talk.world.now + 5ms;
  talk.world.b.lost = [&](UdpPorts) { return talk.world.now < back_at; };
  CHECK(talk.say() >= 5ms);
  CHECK(talk.path() == good);
  CHECK(talk.world.a.counters().path_returns == 1);
}

namespace {

/// The server has stopped to answer: it only acknowledges.
struct Lecture : Talk {
  explicit Lecture(std::uint64_t seed) : Talk{seed, seed % 2 == 0} {
    world.b.sides[server]->echo = false;
  }
  /// Says a word and waits until it is acknowledged; how long that took.
  Duration tell() {
    const Instant began = world.now;
    ++flow->to_send;
    REQUIRE(world.run_until(
        [&] {
          return flow->to_send == 0 &&
                 world.a.engines[client]->info(flow->key)->queued_messages == 0;
        },
        began + 100ms));
    const Duration took = world.now - began;
    world.run(2ms);
    return took;
  }
  [[nodiscard]] UdpPorts path_of_server() const {
    const PathEnd& end = *world.b.sides[server]->ends().front();
    return *world.b.engines[server]->path_of(end.key);
  }
};

}  // namespace

TEST_CASE("An end that only acknowledges leaves a pair of ports that leads nowhere") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Lecture lecture{seed};
    const UdpPorts good = lecture.path(), broken = lecture.path_of_server();
    lecture.world.b.lost = [&](UdpPorts ports) { return ports == broken; };
    CHECK(lecture.tell() < 100 * rtt);
    CHECK_FALSE(lecture.path_of_server() == broken);
    CHECK(lecture.path() == good);
    for (int i = 0; i < 50; ++i) CHECK(lecture.tell() < 2 * rtt);
  }
}

TEST_CASE("Acknowledgements that get lost now and then move nobody who only acknowledges") {
  Lecture lecture{1};
  const std::uint64_t changes = lecture.world.b.counters().path_changes;
  Prng random{1};
  lecture.world.b.lost = [&](UdpPorts) { return random.chance(1, 10); };
  for (int i = 0; i < 5000; ++i) lecture.tell();
  CHECK(lecture.world.b.counters().path_changes == changes);
}

TEST_CASE("A peer that had no memory for a while costs its flow no good path") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Talk talk{seed, seed % 2 == 0};
    const UdpPorts good = talk.path();
    for (int i = 0; i < 5; ++i) {  // meanwhile it finds others to try
      talk.say_to_the_full();
      talk.hear();
      CHECK(talk.path() == good);
    }
    CHECK(talk.world.b.counters().drops[Drop::no_memory] != 0);
    CHECK(talk.world.a.counters().path_returns == 5);
    const std::uint64_t astray = talk.handed_over();
    for (int i = 0; i < 20; ++i) {
      talk.say_to_the_full();
      talk.hear();
    }
    CHECK(talk.handed_over() == astray);
    CHECK(talk.path() == good);
  }
}

TEST_CASE("A pair that broke is left for good although the peer had no memory meanwhile") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Talk talk{seed, seed % 2 == 0};
    const UdpPorts broken = talk.path();
    std::uint64_t lost = 0;
    talk.world.a.lost = [&](UdpPorts ports) {
      lost += ports == broken ? 1U : 0U;
      return ports == broken;
    };
    talk.say_to_the_full();  // it goes back once, for nobody said which pair was refused
    const Instant began = talk.world.now;
    talk.hear();
    CHECK(talk.world.now - began < 2ms + 20 * rtt);
    CHECK_FALSE(talk.path() == broken);
    const std::uint64_t lost_then = lost;
    for (int i = 0; i < 20; ++i) talk.say_to_nobody(15ms);
    CHECK(lost == lost_then);  // it was forgotten
  }
}

TEST_CASE("A flow does not go back to a pair that the peer complained of before it fell silent") {
  int complaints = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Talk talk{seed};
    const auto searches = [&] { return talk.world.a.counters().paths.searches; };
    const std::uint64_t before = searches();
    talk.world.b.port.set_rss(SimRss::opaque);
    const auto complained = [&] { return searches() > before; };
    for (int i = 0; i < 200 && !complained(); ++i) {
      ++talk.flow->to_send;
      talk.world.run_until(complained, talk.world.now + 100us);
    }
    if (!complained()) continue;  // a pair that it knew leads there now
    ++complaints;
    const UdpPorts astray = talk.path();
    talk.world.b.stalled_until[server] = talk.world.now + 15ms;
    talk.say();
    CHECK_FALSE(talk.path() == astray);
  }
  CHECK(complaints > 0);
}

TEST_CASE("What a client learns of its first path is that of the SYN which was answered") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    PathWorld world{seed, Talk::host(false), Talk::host(false)};
    world.listen(world.b, server);
    (void)world.connect(client);  // resolves the neighbour
    world.run(20ms);
    world.b.stalled_until[server] = world.now + 10ms;
    const PathEnd& flow = world.connect(client);
    world.run(10us);
    const UdpPorts first = *world.a.engines[client]->path_of(flow.key);
    REQUIRE(world.run_until([&] { return flow.open; }, world.now + 1s));
    CHECK(world.a.counters().path_returns == 1);
    CHECK(*world.a.engines[client]->path_of(flow.key) == first);
  }
}
