// TEST-MATRIX A27: paths move under way, and the queues between engines are full.
// Tests tagged [long] run more seeds: `meson test --suite long`.
#include <catch2/catch.hpp>

#include <array>

#include "mesh.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

struct Goodput {
  std::uint64_t bytes = 0;
  FlowInfo info;
  EngineCounters receiver;
};

/// An engine that a constant hash does not choose.
std::uint32_t not_the_queue_of(const SimPort& port) {
  std::array<std::byte, 60> frame{};
  store_be(frame.data() + 12, std::uint16_t{0x0800});
  frame[14] = std::byte{0x45};
  return (port.queue_of(frame) + 1) % port.queue_count();
}

/// One flow sends as fast as it can for 20 ms; `disturb` is called before every step.
template <class Disturb>
Goodput stream(std::uint64_t seed, const PathHostOptions& receiver, Disturb disturb) {
  PathWorld world{seed, host(4, SimRss::opaque, receiver.ipv6), receiver};
  world.grain = 2us;
  const std::uint32_t owner = not_the_queue_of(world.b.port);
  world.listen(world.b, owner);
  PathEnd& flow = world.connect(1);
  flow.bytes = 16'000;
  flow.to_send = 1'000'000;
  world.run(5ms);
  const auto received = [&] {
    std::uint64_t messages = 0;
    for (const auto& end : world.b.sides[owner]->ends()) messages += end->received;
    return messages * flow.bytes;
  };
  const std::uint64_t before = received();
  world.each_step = [&] { disturb(world); };
  world.run(20ms);
  Goodput out;
  out.bytes = received() - before;
  world.each_step = nullptr;
  flow.to_send = 0;
  REQUIRE(world.run_until([&] { return received() == std::uint64_t{flow.sent} * flow.bytes; },
                          world.now + 10s));  // nothing lost
  out.info = world.a.engines[1]->info(flow.key).value();
  out.receiver = world.b.counters();
  return out;
}

void nothing(PathWorld&) {}

void path_moves(std::uint64_t seed, bool ipv6) {
  CAPTURE(seed, ipv6);
  const Goodput calm = stream(seed, host(4, SimRss::opaque, ipv6), nothing);
  Instant next{};
  const Goodput moved = stream(seed, host(4, SimRss::opaque, ipv6), [&](PathWorld& world) {
    if (world.now < next) return;
    next = world.now + 10 * rtt;
    world.b.port.set_rss(SimRss::opaque);
    world.a.port.set_rss(SimRss::opaque);
  });
  CAPTURE(calm.bytes, moved.bytes, moved.info.resent_bytes, moved.info.packets_lost);
  CHECK(moved.receiver.handed_over > 100);
  CHECK(moved.bytes >= calm.bytes * 8 / 10);
  // Nothing was lost on the way, so whatever was sent again was sent needlessly.
  const std::uint64_t dropped = moved.receiver.drops[Drop::handover_full];
  CHECK(dropped == 0);
  CHECK(moved.info.resent_bytes * 100 <= moved.bytes);
}

/// Hashes change every 10 round trips under flows that say a word now and then: a message goes on
/// the old path or on the new one and waits for neither: it takes half a round trip, and no longer
/// than the few frames before it on the cable.
void moves_delay_nothing(std::uint64_t seed, SimRss rss, bool ipv6) {
  CAPTURE(seed, static_cast<int>(rss), ipv6);
  Mesh mesh{seed, 4, rss, ipv6};
  mesh.talk(20);
  mesh.require_all_delivered();
  static_cast<void>(mesh.take_slowest());
  const std::uint64_t changes = mesh.path_changes(), handed_over = mesh.handed_over();
  for (int move = 0; move < 100; ++move) {
    mesh.change_hash();
    mesh.talk(2);
  }
  mesh.require_all_delivered();
  const Duration slowest = mesh.take_slowest();
  CAPTURE(slowest.count());
  CHECK(mesh.path_changes() - changes > 50);
  CHECK(mesh.handed_over() - handed_over > 500);
  CHECK(slowest <= rtt / 2 + 1us);
}

/// One queue receives everything; the owner of the flow stands still for 100 us every 2 ms and its
/// inbox, with room for 32 packets of the 200 that arrive meanwhile, overflows each time.
void handover_full(std::uint64_t seed, bool ipv6) {
  CAPTURE(seed, ipv6);
  PathHostOptions roomy = host(4, SimRss::constant, ipv6);
  roomy.handover_slots = 4096;
  PathHostOptions tight = roomy;
  tight.handover_slots = 32;
  const auto stalls = [](PathWorld& world) {
    if (world.now.time_since_epoch() % 2ms > 100us) return;
    const Instant until{world.now.time_since_epoch() / 2ms * 2ms + 100us};
    world.b.stalled_until[not_the_queue_of(world.b.port)] = until;
  };
  const Goodput awake = stream(seed, roomy, nothing);
  const Goodput calm = stream(seed, roomy, stalls);
  const Goodput full = stream(seed, tight, stalls);
  const std::uint64_t dropped = full.receiver.drops[Drop::handover_full];
  CAPTURE(awake.bytes, calm.bytes, full.bytes, dropped, full.info.resent_bytes,
          full.info.packets_lost, full.info.packets_sent);
  WARN((ipv6 ? "IPv6" : "IPv4") << ", seed " << seed << ": goodput with a full queue is "
                                << 100 * full.bytes / calm.bytes << " % of that with room, "
                                << 100 * full.bytes / awake.bytes
                                << " % of that of an engine that does not stand still; "
                                << full.info.resent_bytes / full.info.packet_bytes
                                << " packets resent for " << dropped << " dropped");
  CHECK(calm.receiver.drops[Drop::handover_full] == 0);
  CHECK(dropped > 0);
  CHECK(full.bytes >= calm.bytes * 8 / 10);
  CHECK(full.bytes >= awake.bytes * 8 / 10);
  CHECK(full.info.packets_lost <= dropped + full.info.packets_sent / 100);
  // What was dropped has to be sent again, and at most one byte in a hundred needlessly.
  CHECK(full.info.resent_bytes <= dropped * full.info.packet_bytes + full.bytes / 100);
}

}  // namespace

TEST_CASE("A27: no message waits because its path moves", "[A27]") {
  const bool ipv6 = GENERATE(false, true);
  for (const SimRss rss : {SimRss::opaque, SimRss::symmetric, SimRss::ordered})
    moves_delay_nothing(1, rss, ipv6);
}

TEST_CASE("A27: the path moves every 10 round trips", "[A27]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) path_moves(seed, ipv6);
}

TEST_CASE("A27: the hand-over queue is full", "[A27]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) handover_full(seed, ipv6);
}

TEST_CASE("A27 with 50 seeds", "[A27][.long]") {
  const bool ipv6 = GENERATE(false, true);
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    path_moves(seed, ipv6);
    moves_delay_nothing(seed, SimRss::opaque, ipv6);
    handover_full(seed, ipv6);
  }
}
