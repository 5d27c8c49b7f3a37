// Two flows joined by a lossless wire of constant delay, on virtual time: for unit tests.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <proa/mem/heap_memory.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/transport/flow.hpp>

namespace proa::test {

template <class Policy = DefaultTransportPolicy>
struct FlowPair {
  using TestFlow = Flow<HeapMemory, Policy>;
  struct InFlight {
    Instant at;
    int to;
    std::vector<std::byte> bytes;
  };
  struct Side {
    HeapMemory memory{HeapMemory::Options{}};
    ScratchPool pool{64U << 20U};
    std::optional<TestFlow> flow;
    std::vector<std::string> messages;
    std::vector<FlowEvent> events;
    std::uint64_t packets = 0;
  };

  FlowOptions options;
  Duration delay = 20us;
  Instant now{1s};
  Side side[2];
  std::deque<InFlight> wire;
  std::function<bool(int from, const std::vector<std::byte>&)> lose;  // true: the packet is lost

  void connect(Instant deadline = never, std::uint64_t seed = 7) {
    FlowIdentity id;
    id.local = {IpAddress::v4(10, 0, 0, 1), 4000};
    id.peer = {IpAddress::v4(10, 0, 0, 2), 7000};
    id.local_id = 0x1111'1100;
    side[0].flow.emplace(Role::client, id, options, side[0].memory, side[0].pool, seed, now,
                         deadline);
  }
  void accept(ByteView syn) {
    PacketHeader header;
    SynBody body;
    REQUIRE(PacketHeader::parse(syn, header) == Drop::none);
    REQUIRE(SynBody::parse(syn.subspan(PacketHeader::size), body) == Drop::none);
    if (!side[1].flow) {
      FlowIdentity id;
      id.local = {IpAddress::v4(10, 0, 0, 2), 7000};
      id.peer = {IpAddress::v4(10, 0, 0, 1), body.client_port};
      id.local_id = 0x2222'2200;
      id.peer_id = header.source_flow;
      id.peer_incarnation = body.incarnation;
      side[1].flow.emplace(Role::server, id, options, side[1].memory, side[1].pool, 0xffff'fff0U,
                           now, never);
    }
    side[1].flow->accept_syn(header, body, {now, {}, false});
  }
  bool send(int from, const std::string& text, bool notify = false) {
    auto block = side[from].memory.allocate_send(static_cast<std::uint32_t>(text.size()));
    if (!block) return false;
    if (!text.empty()) std::memcpy(block->data, text.data(), text.size());
    if (side[from].flow->submit(now, *block, notify)) return true;
    side[from].memory.release(*block);
    return false;
  }
  void drain(int i) {
    Side& s = side[i];
    if (!s.flow) return;
    std::vector<std::byte> out(9000);
    int budget = 100000;
    while (const std::size_t n = s.flow->poll_transmit(now, out)) {
      REQUIRE(--budget > 0);
      REQUIRE(s.flow->broken_invariant() == nullptr);
      ++s.packets;
      std::vector<std::byte> copy(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n));
      if (lose && lose(i, copy)) continue;
      wire.push_back({now + delay, 1 - i, std::move(copy)});
    }
    while (s.flow->wants_memory() && s.flow->take_memory(now, true)) {
    }
    while (auto event = s.flow->poll_event()) {
      if (event->kind == FlowEventKind::message) {
        s.messages.emplace_back(reinterpret_cast<const char*>(event->message.data),
                                event->message.length);
        s.memory.release(event->message);
      }
      s.events.push_back(*event);
    }
    REQUIRE(s.flow->broken_invariant() == nullptr);
  }
  void deliver(const InFlight& packet) {
    const bool is_syn = (std::to_integer<int>(packet.bytes[0]) & 0xf) == 1;
    if (is_syn) return accept(packet.bytes);
    if (side[packet.to].flow)
      (void)side[packet.to].flow->handle_datagram({now, {}, false}, packet.bytes);
  }
  /// Moves to the next moment something happens; false: nothing ever will before `limit`.
  bool step(Instant limit) {
    for (int i = 0; i < 2; ++i) drain(i);
    for (int i = 0; i < 2; ++i) drain(i);
    Instant at = wire.empty() ? never : wire.front().at;
    for (auto& s : side)
      if (s.flow) at = std::min(at, s.flow->next_timeout());
    if (at > limit) {
      now = limit;
      return false;
    }
    now = std::max(at, now);
    // A burst at a time, as an engine does: one acknowledgement names 512 packets at most.
    for (int i = 0; i < 32 && !wire.empty() && wire.front().at <= now; ++i) {
      const InFlight packet = std::move(wire.front());
      wire.pop_front();
      deliver(packet);
    }
    for (auto& s : side)
      if (s.flow) s.flow->handle_timeout(now);
    return true;
  }
  void run_for(Duration time) {
    const Instant limit = now + time;
    while (step(limit)) {
    }
    for (int i = 0; i < 2; ++i) drain(i);
  }
  std::size_t count(int i, FlowEventKind kind) const {
    std::size_t n = 0;
    for (const auto& e : side[i].events) n += e.kind == kind ? 1 : 0;
    return n;
  }
};

}  // namespace proa::test
