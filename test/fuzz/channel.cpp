// Fuzzing: slots of a channel as a hostile application writes them, and as a hostile sidecar does.
#include <cstring>
#include <memory>

#include "../unit/ipc/channel_pair.hpp"
#include "input.hpp"

namespace proa::fuzz {
namespace {

using test::ChannelFiles;
using test::EchoEngine;
using test::small_geometry;

/// One side's shared region, written to past every rule.
class Scribbler {
 public:
  Scribbler(std::byte* region, const RegionLayout& layout) : region_(region), layout_(layout) {}

  /// The next slot of the first ring, published as a correct writer does, or somewhere in the
  /// head, rings or the beginning of the arena.
  void act(Input& in) {
    switch (in.byte() % 8) {
      case 0:
        return scribble(in, layout_.arena_offset() + 4096);
      case 1:
        return scribble(in, sizeof(ChannelHead));
      case 2:
        return put(in, layout_.second_offset(), layout_.second_slots, second_);
      default:
        return put(in, RegionLayout::ring_offset, layout_.slots, first_);
    }
  }

 private:
  void scribble(Input& in, std::uint64_t limit) {
    const std::uint64_t at = in.number<std::uint32_t>() % limit;
    const ByteView bytes = in.take(1 + in.byte() % 16);
    const auto size = std::min<std::uint64_t>(bytes.size(), limit - at);
    std::memcpy(region_ + at, bytes.data(), size);
  }
  void put(Input& in, std::uint64_t ring, std::uint32_t slots, std::uint32_t& next) {
    auto* slot = reinterpret_cast<RingSlot*>(region_ + ring) + next % slots;
    const ByteView bytes = in.take(std::min<std::size_t>(in.byte(), sizeof(SlotBody)));
    std::memset(slot->body.data(), 0, sizeof(SlotBody));
    std::copy(bytes.begin(), bytes.end(), slot->body.begin());
    slot->sequence = ++next;
  }

  std::byte* region_;
  RegionLayout layout_;
  std::uint32_t first_ = 0, second_ = 0;
};

void hostile_application(Input in) {
  const ChannelGeometry g = small_geometry();
  ChannelFiles files(g);
  ChannelServer server(g, std::move(files.server_send), std::move(files.server_receive),
                       std::move(files.server_bell));
  EchoEngine engine(server);
  Scribbler application(files.client_send.data(), send_layout(g));
  while (!in.empty()) {
    const std::uint8_t choice = in.byte();
    if ((choice & 3U) != 0) application.act(in);
    engine.hold = (choice & 4U) != 0;
    if ((choice & 8U) != 0) engine.turn();
    demand(server.serving() || server.fault() != ChannelFault::none,
           "a channel was closed without a counted reason");
  }
  engine.hold = false;
  for (int turn = 0; turn < 8; ++turn) engine.turn();
  server.abandon();
  engine.drop_all();
  demand(server.idle(), "a channel keeps memory of its application");
}

void hostile_sidecar(Input in) {
  const ChannelGeometry g = small_geometry();
  ChannelFiles files(g);
  ClientMemory memory(g, std::move(files.client_send), std::move(files.client_receive));
  ChannelClient client(memory, std::move(files.client_bell));
  Scribbler sidecar(files.server_receive.data(), receive_layout(g));
  (void)client.connect({IpAddress::v4(10, 0, 0, 1), 7000}, never);
  while (!in.empty()) {
    sidecar.act(in);
    for (ChannelEvent event; client.poll(event);)
      if (event.kind == ChannelEventKind::message) {
        demand(event.message.length <= g.message_bytes_max, "a message above the limit");
        memory.release(event.message);
      }
    client.flush();
  }
}

}  // namespace

void run(ByteView bytes) {
  Input in{bytes.first(std::min<std::size_t>(bytes.size(), 4096))};
  if (in.flag())
    hostile_sidecar(in);
  else
    hostile_application(in);
}

}  // namespace proa::fuzz
