// Attack tests: requests no correct client writes. The channel ends with its reason, nothing else.
#include <catch2/catch.hpp>

#include <fcntl.h>

#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;

constexpr std::uint32_t u32_max = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t u64_max = std::numeric_limits<std::uint64_t>::max();

/// Writes slots behind the client's back.
struct Forger {
  explicit Forger(ChannelPair& p)
      : pair(p),
        region(p.memory.send_region()),
        layout(send_layout(p.memory.geometry())),
        requests{slots(RegionLayout::ring_offset), layout.slots, &theirs()->reader},
        returns{slots(layout.second_offset()), layout.second_slots, &theirs()->second_reader} {}

  template <SlotContent T>
  void request(std::uint8_t kind, std::uint32_t handle, std::uint32_t length, const T& content) {
    put_head(requests.body(), {kind, 0, static_cast<std::uint16_t>(length), handle});
    put_content(requests.body(), content);
    requests.publish();
  }
  template <SlotContent T>
  void request(RequestKind kind, std::uint32_t handle, std::uint32_t length, const T& content) {
    request(static_cast<std::uint8_t>(kind), handle, length, content);
  }
  void give_back(std::uint32_t count, LeaseName name) {
    std::array<LeaseName, leases_per_slot> names{};
    names.fill(name);
    put_head(returns.body(), {0, 0, static_cast<std::uint16_t>(count), 0});
    put_content(returns.body(), names);
    returns.publish();
  }
  ChannelHead& head() { return *reinterpret_cast<ChannelHead*>(region); }
  ChannelFault verdict() {
    pair.engine.turn();
    return pair.server.fault();
  }

  RingSlot* slots(std::uint64_t at) { return reinterpret_cast<RingSlot*>(region + at); }
  const ChannelHead* theirs() {
    return reinterpret_cast<const ChannelHead*>(pair.memory.receive_region());
  }
  ChannelPair& pair;
  std::byte* region;
  RegionLayout layout;
  RingWriter requests;
  RingWriter returns;
};

void check_ashore(ChannelPair& pair) {
  CHECK_FALSE(pair.server.serving());
  CHECK(pair.server.room());  // an engine never waits for it
  pair.engine.turn();
  pair.engine.drop_all();
  CHECK(pair.server.idle());
}

}  // namespace

TEST_CASE("blocks outside the send arena, by every arithmetic trick", "[attack][c2][c3]") {
  const ChannelGeometry g = small_geometry();
  const std::uint64_t end = g.send_bytes;
  const SubmitBlock bad = GENERATE_COPY(
      SubmitBlock{end, 1, 0}, SubmitBlock{end - 1, 2, 0},
      SubmitBlock{0, g.message_bytes_max + 1, 0}, SubmitBlock{0, u32_max, 0},
      SubmitBlock{u64_max, 1, 0}, SubmitBlock{u64_max, u32_max, 0},
      SubmitBlock{u64_max - 99, 100, 0}, SubmitBlock{end + 1, 0, 0},
      SubmitBlock{std::uint64_t{1} << 63, 1, 0}, SubmitBlock{end - 100, 101, u32_max});
  const bool flow_exists = GENERATE(true, false);
  ChannelPair pair;
  Forger forger{pair};
  if (flow_exists) forger.request(RequestKind::connect, 0, 0, ConnectRequest{1, {{}, 7}, 0});
  forger.request(RequestKind::submit_block, 0, 0, bad);
  CHECK(forger.verdict() == ChannelFault::bad_range);
  check_ashore(pair);
}

TEST_CASE("blocks that touch the edges of the send arena are served", "[attack][c3]") {
  ChannelPair pair;
  Forger forger{pair};
  const ChannelGeometry g = small_geometry();
  forger.request(RequestKind::connect, 0, 0, ConnectRequest{1, {{}, 7}, 0});
  forger.request(RequestKind::submit_block, 0, 0, SubmitBlock{0, 0, 0});
  forger.request(RequestKind::submit_block, 0, 0, SubmitBlock{g.send_bytes, 0, 1});
  forger.request(RequestKind::submit_block, 0, 0, SubmitBlock{g.send_bytes - 1, 1, 2});
  forger.request(RequestKind::submit_block, 0, 0,
                 SubmitBlock{g.send_bytes - g.message_bytes_max, g.message_bytes_max, 3});
  CHECK(forger.verdict() == ChannelFault::none);
}

TEST_CASE("unknown kinds, lengths beyond the slot, names out of range", "[attack][c2]") {
  ChannelPair pair;
  Forger forger{pair};
  SECTION("kind 0") { forger.request(std::uint8_t{0}, 0, 0, CloseRequest{}); }
  SECTION("kind 7") { forger.request(std::uint8_t{7}, 0, 0, CloseRequest{}); }
  SECTION("kind 255") { forger.request(std::uint8_t{255}, 0, 0, CloseRequest{}); }
  SECTION("113 bytes in two slots") {
    forger.request(RequestKind::submit_inline, 0, 113, CloseRequest{});
  }
  SECTION("65535 bytes in two slots") {
    forger.request(RequestKind::submit_inline, 0, 65'535, CloseRequest{});
  }
  SECTION("7 leases in a slot") { forger.give_back(7, {}); }
  SECTION("65535 leases in a slot") { forger.give_back(65'535, {}); }
  SECTION("a flow name beyond the table") {
    forger.request(RequestKind::connect, ChannelHandle::make(false, 16, 0).value, 0,
                   ConnectRequest{});
  }
  SECTION("the largest flow name") {
    forger.request(RequestKind::connect, u32_max - 1, 0, ConnectRequest{});
  }
  SECTION("a flow name that is the sidecar's to choose") {
    forger.request(RequestKind::connect, 1, 0, ConnectRequest{});
  }
  SECTION("a port of more than 16 bits") {
    forger.request(RequestKind::connect, 0, 0, ConnectRequest{0, {{}, 65'536}, 0});
  }
  SECTION("a flow name in use") {
    forger.request(RequestKind::connect, 0, 0, ConnectRequest{0, {{}, 7}, 0});
    forger.request(RequestKind::connect, ChannelHandle::make(false, 0, 5).value, 0,
                   ConnectRequest{0, {{}, 7}, 0});
  }
  CHECK(forger.verdict() != ChannelFault::none);
  check_ashore(pair);
}

TEST_CASE("requests for flows that are not there do nothing", "[attack][c7]") {
  ChannelPair pair;
  Forger forger{pair};
  for (const std::uint32_t handle : {0U, 1U, 31U, 33U, u32_max, u32_max - 1, 0x8000'0000U}) {
    forger.request(RequestKind::close, handle, 0, CloseRequest{});
    forger.request(RequestKind::reset, handle, 0, CloseRequest{});
    forger.request(RequestKind::query, handle, 0, CloseRequest{});
    forger.request(RequestKind::submit_inline, handle, 5, CloseRequest{});
    forger.request(RequestKind::submit_block, handle, 0, SubmitBlock{0, 500, 1});
  }
  CHECK(forger.verdict() == ChannelFault::none);
  CHECK(pair.engine.sent.empty());
}

TEST_CASE("a flood of queries whose answers nobody reads", "[attack][c13]") {
  ChannelPair pair;
  Forger forger{pair};
  forger.request(RequestKind::connect, 0, 0, ConnectRequest{1, {{}, 7}, 0});
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    forger.request(RequestKind::query, i % 3, 0, NumberEvent{i});
    pair.engine.turn();
  }
  CHECK(pair.server.fault() == ChannelFault::none);
  CHECK(pair.server.requests_served() == 1'001);
}

TEST_CASE("every deadline is only a deadline", "[attack][c2]") {
  ChannelPair pair;
  Forger forger{pair};
  std::uint32_t index = 0;
  for (const std::int64_t ns :
       {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::int64_t>::max()}) {
    const auto handle = ChannelHandle::make(false, index++, 0).value;
    forger.request(RequestKind::connect, handle, 0, ConnectRequest{ns, {{}, 7}, 0});
    forger.request(RequestKind::close, handle, 0, CloseRequest{ns});
  }
  CHECK(forger.verdict() == ChannelFault::none);
}

TEST_CASE("a counter of consumed events that jumps or runs back", "[attack][c1]") {
  const std::uint32_t value = GENERATE(75U, 1000U, u32_max, 0x8000'0000U, 15U);
  ChannelPair pair;
  Forger forger{pair};
  for (std::uint32_t i = 0; i < 200; ++i) {
    if (i == 10) forger.head().reader.consumed = 16;
    if (i == 60) forger.head().reader.consumed = value;
    if (pair.server.room()) pair.server.deliver_connected({});
  }
  CHECK(pair.server.fault() == ChannelFault::bad_counter);
  check_ashore(pair);
}

TEST_CASE("a counter that changes at every look", "[attack][c1]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Prng prng{seed};
    ChannelPair pair;
    Forger forger{pair};
    for (std::uint32_t i = 0; i < 300; ++i) {
      forger.head().reader.consumed =
          prng.chance(1, 2) ? prng.next32() : pair.server.events_written();
      forger.head().sleep.word = prng.next32();
      forger.head().sleep.wants = prng.next32();
      if (pair.server.room()) pair.server.deliver_connected({});
      pair.server.publish();
    }
  }
}

TEST_CASE("more messages than the channel may have outstanding", "[attack][c7][c12]") {
  const bool inlined = GENERATE(true, false);
  ChannelPair pair;
  Forger forger{pair};
  pair.engine.hold = true;
  forger.request(RequestKind::connect, 0, 0, ConnectRequest{1, {{}, 7}, 0});
  for (int i = 0; i < 1000 && pair.server.serving(); ++i) {
    if (inlined)
      forger.request(RequestKind::submit_inline, 0, 5, CloseRequest{});
    else
      forger.request(RequestKind::submit_block, 0, 0, SubmitBlock{0, 500, 3});  // all the same one
    pair.engine.turn();
  }
  CHECK(pair.server.fault() == ChannelFault::too_many_messages);
  CHECK(pair.engine.sent.size() == (inlined ? 128U : 64U));
  check_ashore(pair);
}

TEST_CASE("leases returned twice, early, or never lent", "[attack][c7]") {
  ChannelPair pair;
  Forger forger{pair};
  forger.request(RequestKind::connect, 0, 0, ConnectRequest{1, {{}, 7}, 0});
  forger.request(RequestKind::submit_block, 0, 0, SubmitBlock{0, 500, 1});
  pair.engine.turn();
  pair.engine.turn();
  REQUIRE(pair.server.leases_out() == 1);
  SECTION("twice") {
    forger.give_back(1, {0, 1});
    CHECK(forger.verdict() == ChannelFault::none);
    forger.give_back(1, {0, 1});
  }
  SECTION("twice in one slot") { forger.give_back(2, {0, 1}); }
  SECTION("another generation") { forger.give_back(1, {0, 2}); }
  SECTION("an index never lent") { forger.give_back(1, {1, 1}); }
  SECTION("an index beyond the table") { forger.give_back(1, {u32_max, 1}); }
  CHECK(forger.verdict() == ChannelFault::bad_lease);
  check_ashore(pair);
}

TEST_CASE("a payload rewritten after submission harms its own message only", "[attack][c6]") {
  ChannelPair pair;
  const auto flow = pair.client->connect({IpAddress::v4(1), 7}, never);
  REQUIRE(flow);
  REQUIRE(pair.client->send(*flow, pattern(1, 5'000), false));
  pair.engine.hold = true;
  pair.engine.turn();
  REQUIRE(pair.engine.sent.size() == 1);
  std::memset(pair.memory.send_region() + send_layout(pair.memory.geometry()).arena_offset(), 0xee,
              64 * 1024);
  pair.engine.hold = false;
  pair.engine.turn();
  CHECK(pair.server.fault() == ChannelFault::none);
}

TEST_CASE("a region of garbage closes its channel or does nothing", "[attack][c8]") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    Prng prng{seed};
    ChannelPair pair;
    Forger forger{pair};
    const auto head_end = send_layout(pair.memory.geometry()).arena_offset();
    for (int round = 0; round < 4; ++round) {
      for (std::uint64_t at = 0; at < head_end; at += 8) {
        const std::uint64_t word = prng.next();
        std::memcpy(forger.region + at, &word, sizeof word);
      }
      // Garbage never has the right sequence numbers: give it some, and likely kinds.
      for (std::uint32_t i = 0; i < forger.layout.slots; ++i) {
        RingSlot& slot = forger.slots(RegionLayout::ring_offset)[i];
        if (prng.chance(9, 10)) slot.body[0] = static_cast<std::byte>(prng.below(6));
        if (prng.chance(9, 10)) slot.body[3] = std::byte{0};
        if (prng.chance(9, 10)) slot.body[2] = static_cast<std::byte>(prng.below(120));
        if (prng.chance(9, 10))
          std::memset(slot.body.data() + 4, static_cast<int>(prng.below(8)), 4);
        slot.sequence = pair.server.requests_served() + i + 1;
      }
      pair.engine.turn();
      pair.engine.turn();
    }
    pair.server.abandon();
    pair.engine.drop_all();
    REQUIRE(pair.server.idle());
  }
}

TEST_CASE("floods of connects and resets meet the limits and no growth", "[attack][c12]") {
  ChannelPair pair;
  for (int i = 0; i < 10'000; ++i) {
    const auto flow = pair.client->connect({IpAddress::v4(1), 7}, never);
    if (flow) static_cast<void>(pair.client->send(*flow, pattern(1, 30), false));
    if (i % 16 == 15) {
      pair.client->flush();
      pair.engine.turn();
      ChannelEvent event;
      while (pair.client->poll(event)) {
        if (event.kind == ChannelEventKind::message) pair.memory.release(event.message);
        if (event.kind == ChannelEventKind::connected)
          static_cast<void>(pair.client->reset(event.flow));
      }
    }
  }
  CHECK(pair.server.fault() == ChannelFault::none);
  CHECK(pair.server.open_flows() <= small_geometry().flows_max);
}

TEST_CASE("one who never reads its events stops itself alone", "[attack][c13]") {
  ChannelPair pair;
  Neighbour neighbour;
  const auto flow = pair.client->connect({IpAddress::v4(1), 7}, never);
  REQUIRE(flow);
  for (int i = 0; i < 2'000; ++i) {
    static_cast<void>(pair.client->send(*flow, pattern(1, 600), false));
    pair.client->flush();
    pair.engine.turn();
    neighbour.step();
  }
  CHECK(pair.server.fault() == ChannelFault::none);
  CHECK_FALSE(pair.server.room());
  CHECK(pair.engine.sent.size() <= small_geometry().blocks_max);
  CHECK(neighbour.unharmed());
  CHECK(neighbour.received > 1'000);
}

TEST_CASE("a storm of doorbells blocks nobody, whatever is done to the socket", "[attack][c13]") {
  ChannelFiles files{small_geometry()};
  Doorbell& mine = files.client_bell;
  Doorbell& theirs = files.server_bell;
  const int flags = ::fcntl(mine.descriptor(), F_GETFL);
  REQUIRE(::fcntl(mine.descriptor(), F_SETFL, flags & ~O_NONBLOCK) == 0);
  for (int i = 0; i < 10'000; ++i) mine.ring();    // full long before
  for (int i = 0; i < 10'000; ++i) theirs.ring();  // and nobody reads: returns all the same
  std::uint32_t hushes = 0;
  while (theirs.wait(Duration{0}) && hushes < 10'000) {
    CHECK(theirs.hush());
    ++hushes;
  }
  CHECK(hushes < 100);
  CHECK(theirs.hush());  // empty: returns all the same
  static_cast<void>(mine.take());
  theirs.ring();  // no SIGPIPE
  CHECK_FALSE(theirs.hush());
}

}  // namespace proa
