// Attack tests: a sidecar gone bad. The client library checks what it reads, too.
#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <limits>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;

constexpr std::uint32_t u32_max = std::numeric_limits<std::uint32_t>::max();

/// A client whose sidecar's memory a test writes.
struct Victim {
  Victim()
      : files(small_geometry()),
        region(files.server_receive.data()),
        memory(files.geometry, std::move(files.client_send), std::move(files.client_receive)),
        client(memory, std::move(files.client_bell)) {
    flow = *client.connect({IpAddress::v4(1), 7}, never);
  }
  RingSlot* slots() { return reinterpret_cast<RingSlot*>(region + RegionLayout::ring_offset); }
  template <SlotContent T>
  void event(EventKindOnChannel kind, std::uint32_t handle, std::uint32_t length,
             const T& content) {
    RingSlot& slot = slots()[written % 64];
    put_head(slot.body.data(),
             {static_cast<std::uint8_t>(kind), 0, static_cast<std::uint16_t>(length), handle});
    put_content(slot.body.data(), content);
    slot.sequence = ++written;
  }
  /// Reads all events; true if the client gave its sidecar up.
  bool lost() {
    ChannelEvent e;
    for (int i = 0; i < 200 && client.poll(e); ++i)
      if (e.kind == ChannelEventKind::message) memory.release(e.message);
    return client.lost();
  }
  ChannelFiles files;
  std::byte* region;
  ClientMemory memory;
  ChannelClient client;
  ChannelHandle flow;
  std::uint32_t written = 0;
};

}  // namespace

TEST_CASE("impossible events end the channel, not the application", "[attack][c17]") {
  Victim v;
  const std::uint32_t h = v.flow.value;
  const std::uint64_t end = small_geometry().receive_bytes;
  ProgressEvent progress;
  SECTION("message beyond the arena") {
    v.event(EventKindOnChannel::message_block, h, 0, MessageBlockEvent{end, 1, 0, {}});
  }
  SECTION("message across the end") {
    v.event(EventKindOnChannel::message_block, h, 0, MessageBlockEvent{end - 10, 11, 0, {}});
  }
  SECTION("message whose end wraps") {
    v.event(EventKindOnChannel::message_block, h, 0, MessageBlockEvent{~0ULL - 5, 10, 0, {}});
  }
  SECTION("message of 4 GiB") {
    v.event(EventKindOnChannel::message_block, h, 0, MessageBlockEvent{0, u32_max, 0, {}});
  }
  SECTION("inline message beyond its slots") {
    v.event(EventKindOnChannel::message_inline, h, 113, progress);
  }
  SECTION("event of a flow that is not there") {
    v.event(EventKindOnChannel::connected, h + 2, 0, progress);
  }
  SECTION("flow name out of range") {
    v.event(EventKindOnChannel::accepted, u32_max, 0, AcceptedEvent{});
  }
  SECTION("accepted under the application's own name") {
    v.event(EventKindOnChannel::accepted, h, 0, AcceptedEvent{});
  }
  SECTION("accepted twice") {
    v.event(EventKindOnChannel::accepted, 1, 0, AcceptedEvent{});
    v.event(EventKindOnChannel::accepted, 1, 0, AcceptedEvent{});
  }
  SECTION("unknown kind") { v.event(static_cast<EventKindOnChannel>(77), h, 0, progress); }
  SECTION("progress of what was never sent") {
    progress.inline_released = 5;
    v.event(EventKindOnChannel::progress, 0, 0, progress);
  }
  SECTION("progress of more flows than fit") {
    v.event(EventKindOnChannel::progress, 0, 7, progress);
  }
  SECTION("progress of a flow beyond what it sent") {
    progress.flows[0] = {h, 1};
    v.event(EventKindOnChannel::progress, 0, 1, progress);
  }
  SECTION("a block released that was never sent") {
    v.event(EventKindOnChannel::blocks_released, 0, 1, std::array<std::uint32_t, 13>{3});
  }
  SECTION("more released blocks than fit") {
    v.event(EventKindOnChannel::blocks_released, 0, 14, std::array<std::uint32_t, 13>{});
  }
  CHECK(v.lost());
  CHECK(v.client.open_flows() == 0);
}

TEST_CASE("an impossible counter of consumed requests ends the channel", "[attack][c17]") {
  Victim v;
  auto* head = reinterpret_cast<ChannelHead*>(v.region);
  head->reader.consumed = 1000;
  for (int i = 0; i < 200; ++i) static_cast<void>(v.client.send(v.flow, {}, false));
  CHECK(v.lost());
}

TEST_CASE("a client reads any garbage without harm", "[attack][c17]") {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Prng prng{seed};
    Victim v;
    for (int round = 0; round < 8 && !v.client.lost(); ++round) {
      static_cast<void>(v.client.send(v.flow, pattern(1, prng.below(600)), true));
      for (int i = 0; i < 8; ++i) {
        RingSlot& slot = v.slots()[v.written % 64];
        for (std::byte& b : slot.body) b = static_cast<std::byte>(prng.next() & 0xff);
        slot.body[0] = static_cast<std::byte>(prng.below(10));
        if (prng.chance(3, 4))
          std::memset(slot.body.data() + 2, static_cast<int>(prng.below(12)), 1);
        if (prng.chance(3, 4)) slot.body[3] = std::byte{0};
        if (prng.chance(3, 4)) std::memcpy(slot.body.data() + 4, &v.flow.value, 4);
        if (prng.chance(3, 4)) std::memset(slot.body.data() + 11, 0, 5);
        slot.sequence = ++v.written;
      }
      static_cast<void>(v.lost());
      static_cast<void>(v.client.arm());
      v.client.disarm();
    }
  }
}

TEST_CASE("every impossible geometry is refused", "[attack][c17]") {
  const auto spoiled = [](auto&& spoil) {
    ChannelGeometry g = small_geometry();
    spoil(g);
    return impossible(g) != nullptr;
  };
  CHECK(impossible(small_geometry()) == nullptr);
  CHECK(spoiled([](ChannelGeometry& g) { g.request_slots = 0; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.request_slots = 63; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.event_slots = 96; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.event_slots = u32_max; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.return_slots = 1U << 31U; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.send_bytes = ~0ULL; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.send_bytes = ~0ULL << 16U; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.receive_bytes += 1; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.receive_bytes = 0; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.flows_max = 0; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.flows_max = u32_max; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.message_bytes_max = u32_max; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.leases_max = u32_max; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.blocks_max = 0; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.inline_messages_max = u32_max; }));
  CHECK(spoiled([](ChannelGeometry& g) { g.flow_messages_max = 0; }));
}

}  // namespace proa
