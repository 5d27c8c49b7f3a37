// L2 tests: a channel between an honest client and an honest server.
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "channel_pair.hpp"

namespace proa {
namespace {

using namespace proa::test;
const Endpoint somewhere{IpAddress::v4(10, 0, 0, 1), 7000};

std::optional<ChannelEvent> next(ChannelPair& pair, int turns = 4) {
  ChannelEvent event;
  for (int i = 0; i < turns; ++i) {
    if (pair.client->poll(event)) return event;
    pair.client->flush();
    pair.engine.turn();
  }
  return std::nullopt;
}

ChannelHandle connected_flow(ChannelPair& pair) {
  const auto flow = pair.client->connect(somewhere, never);
  REQUIRE(flow);
  const auto event = next(pair);
  REQUIRE(event);
  REQUIRE(event->kind == ChannelEventKind::connected);
  REQUIRE(event->flow == *flow);
  return *flow;
}

bool same_bytes(const MessageBlock& block, const std::vector<std::byte>& bytes) {
  return block.length == bytes.size() &&
         (bytes.empty() || std::memcmp(block.data, bytes.data(), bytes.size()) == 0);
}

/// Both books are balanced: nothing is out, all memory is back.
void check_quiet(ChannelPair& pair) {
  while (next(pair)) {
  }
  CHECK(pair.memory.send_arena().used() == 0);
  CHECK(pair.memory.copies_used() == 0);
  CHECK(pair.server.leases_out() == 0);
  CHECK(pair.server.memory().receive_arena().used() == 0);
  CHECK(pair.server.fault() == ChannelFault::none);
  CHECK_FALSE(pair.client->lost());
}

}  // namespace

TEST_CASE("messages of every size cross a channel both ways", "[ipc][channel]") {
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  for (const std::size_t size :
       {0U, 1U, 51U, 52U, 53U, 111U, 112U, 113U, 4096U, 65'537U, 524'288U}) {
    const auto bytes = pattern(size, size);
    REQUIRE(pair.client->send(flow, bytes, true));
    const auto event = next(pair);
    REQUIRE(event);
    REQUIRE(event->kind == ChannelEventKind::message);
    CHECK(same_bytes(event->message, bytes));
    pair.memory.release(event->message);
    const auto sent = next(pair);
    REQUIRE(sent);
    CHECK(sent->kind == ChannelEventKind::sent);
    CHECK(sent->number == event->number);
  }
  CHECK(pair.client->send(flow, pattern(1, 524'289), false).error() == Reason::message_too_large);
  pair.engine.hold = false;
  REQUIRE(pair.client->close(flow, never));
  CHECK(pair.client->send(flow, {}, false).error() == Reason::flow_closing);
  const auto closed = next(pair);
  REQUIRE(closed);
  CHECK(closed->kind == ChannelEventKind::closed);
  CHECK(closed->reason == Reason::closed_by_application);
  CHECK(pair.client->send(flow, {}, false).error() == Reason::no_such_flow);
}

TEST_CASE("a buffer is sent without a copy and its memory comes back", "[ipc][channel]") {
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  for (const std::uint32_t size : {10U, 100'000U}) {
    const auto block = pair.memory.allocate_send(size);
    REQUIRE(block);
    const auto bytes = pattern(size, size);
    std::memcpy(block->data, bytes.data(), size);
    REQUIRE(pair.client->send_block(flow, *block, false));
    const auto event = next(pair);
    REQUIRE(event);
    CHECK(same_bytes(event->message, bytes));
    pair.memory.release(event->message);
  }
  pair.client->flush();
  pair.engine.turn();
  static_cast<void>(pair.server.arm(false));
  ChannelEvent event;
  CHECK_FALSE(pair.client->poll(event));
  check_quiet(pair);
}

TEST_CASE("a refused connect is told with its reason", "[ipc][channel]") {
  ChannelPair pair;
  const auto flow = pair.client->connect({IpAddress::v4(10, 0, 0, 1), 0}, never);
  REQUIRE(flow);
  REQUIRE(pair.client->send(*flow, pattern(1, 10), false));  // at once, before the answer
  REQUIRE(pair.client->send(*flow, pattern(1, 1000), false));
  const auto event = next(pair);
  REQUIRE(event);
  CHECK(event->kind == ChannelEventKind::closed);
  CHECK(event->reason == Reason::no_route);
  static_cast<void>(pair.server.arm(false));
  check_quiet(pair);
}

TEST_CASE("an accepted flow carries both endpoints and messages", "[ipc][channel]") {
  ChannelPair pair;
  const Endpoint local{IpAddress::v4(10, 0, 0, 2), 7};
  const auto handle = pair.server.accept(0, local, somewhere);
  REQUIRE(handle);
  pair.engine.flows.push_back({*handle, 5, true, {}});
  pair.server.publish();
  const auto event = next(pair);
  REQUIRE(event);
  CHECK(event->kind == ChannelEventKind::accepted);
  CHECK(event->local == local);
  CHECK(event->peer == somewhere);
  REQUIRE(pair.client->send(event->flow, pattern(3, 30), false));
  const auto message = next(pair);
  REQUIRE(message);
  CHECK(same_bytes(message->message, pattern(3, 30)));
  pair.memory.release(message->message);
  REQUIRE(pair.client->reset(event->flow));
  const auto closed = next(pair);
  REQUIRE(closed);
  CHECK(closed->reason == Reason::reset_by_application);
  CHECK(pair.server.open_flows() == 0);
  const auto again = pair.server.accept(0, local, somewhere);
  REQUIRE(again);
  CHECK(again->value != handle->value);
}

TEST_CASE("send refuses at each limit and one writable follows when it fits", "[ipc][channel]") {
  const std::uint32_t size = GENERATE(8U, 60U, 3'000U, 200'000U);
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  pair.engine.hold = true;
  const auto bytes = pattern(size, size);
  std::uint32_t sent = 0;
  for (;; ++sent) {
    const auto number = pair.client->send(flow, bytes, false);
    if (!number) {
      CHECK(number.error() == Reason::would_block);
      if (pair.server.requests_served() == sent * (size > 52 && size <= 112 ? 2U : 1U) + 1U) break;
    }
    if (!number) --sent;
    pair.client->flush();
    pair.engine.turn();
    REQUIRE(sent < 1000);
  }
  CHECK(sent == (size == 200'000 ? 5U : 64U));  // the limit of messages, or of bytes
  CHECK(pair.client->send(flow, bytes, false).error() == Reason::would_block);
  CHECK_FALSE(next(pair));
  pair.engine.hold = false;
  std::uint32_t messages = 0, writable = 0;
  while (const auto event = next(pair)) {
    if (event->kind == ChannelEventKind::message) {
      CHECK(same_bytes(event->message, bytes));
      pair.memory.release(event->message);
      ++messages;
    } else if (event->kind == ChannelEventKind::writable) {
      ++writable;
      CHECK(pair.client->send(flow, bytes, false));
    }
  }
  CHECK(messages == sent + 1);
  CHECK(writable == 1);
  static_cast<void>(pair.server.arm(false));
  check_quiet(pair);
}

TEST_CASE("a request the engine cannot take now waits and is not lost", "[ipc][channel]") {
  const Reason reason = GENERATE(Reason::would_block, Reason::out_of_memory);
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  pair.engine.refuse = reason;
  REQUIRE(pair.client->send(flow, pattern(1, 20), false));
  REQUIRE(pair.client->send(flow, pattern(2, 2000), false));
  CHECK_FALSE(next(pair));
  pair.engine.refuse = Reason::none;
  for (const std::size_t size : {20U, 2000U}) {
    const auto event = next(pair);
    REQUIRE(event);
    CHECK(same_bytes(event->message, pattern(size / 20 == 1 ? 1 : 2, size)));
    pair.memory.release(event->message);
  }
}

TEST_CASE("a message the engine will never take ends its flow", "[ipc][channel]") {
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  pair.engine.refuse = Reason::message_too_large;
  REQUIRE(pair.client->send(flow, pattern(1, 2000), false));
  const auto event = next(pair);
  REQUIRE(event);
  CHECK(event->kind == ChannelEventKind::closed);
}

TEST_CASE("messages the application keeps hold events back, none is lost", "[ipc][channel]") {
  ChannelPair pair;
  const ChannelHandle flow = connected_flow(pair);
  std::vector<MessageBlock> kept;
  std::uint32_t sent = 0;
  const auto bytes = pattern(9, 500);
  for (int i = 0; i < 400; ++i) {
    if (sent < 60 && pair.client->send(flow, bytes, false)) ++sent;
    while (const auto event = next(pair, 1))
      if (event->kind == ChannelEventKind::message) kept.push_back(event->message);
  }
  CHECK(sent == 60);
  CHECK(kept.size() == pair.server.geometry().leases_max);
  std::size_t got = kept.size();
  while (!kept.empty()) {
    for (const MessageBlock& block : kept) {
      CHECK(same_bytes(block, bytes));
      pair.memory.release(block);
    }
    kept.clear();
    while (const auto event = next(pair))
      if (event->kind == ChannelEventKind::message) kept.push_back(event->message);
    got += kept.size();
  }
  CHECK(got == 60);
  static_cast<void>(pair.server.arm(false));
  check_quiet(pair);
}

TEST_CASE("random honest use keeps the books of both ends balanced", "[ipc][channel]") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    INFO("seed " << seed);
    Prng prng{seed};
    ChannelPair pair;
    std::map<std::uint32_t, std::deque<std::vector<std::byte>>> expected;
    std::vector<MessageBlock> kept;
    std::uint32_t checked = 0;
    for (int step = 0; step < 4'000; ++step) {
      const auto what = prng.below(16);
      if (what == 0 && expected.size() < 12) {
        if (const auto flow = pair.client->connect(somewhere, never)) expected[flow->value];
      } else if (what == 1 && !expected.empty()) {
        const auto it =
            std::next(expected.begin(), static_cast<std::ptrdiff_t>(prng.below(expected.size())));
        static_cast<void>(pair.client->reset({it->first}));
      } else if (what < 10 && !expected.empty()) {
        const auto it =
            std::next(expected.begin(), static_cast<std::ptrdiff_t>(prng.below(expected.size())));
        const auto bytes = pattern(prng.next(), prng.below(prng.chance(1, 20) ? 400'000 : 200));
        if (pair.client->send({it->first}, bytes, prng.chance(1, 4))) it->second.push_back(bytes);
      } else if (what < 13) {
        pair.engine.hold = prng.chance(1, 8);
        pair.client->flush();
        pair.engine.turn();
      } else if (what == 13 && !kept.empty()) {
        pair.memory.release(kept.back());
        kept.pop_back();
      } else {
        ChannelEvent event;
        if (!pair.client->poll(event)) continue;
        if (event.kind == ChannelEventKind::message) {
          auto& queue = expected.at(event.flow.value);
          REQUIRE(same_bytes(event.message, queue.front()));
          queue.pop_front();
          ++checked;
          kept.push_back(event.message);
        } else if (event.kind == ChannelEventKind::closed) {
          expected.erase(event.flow.value);
        }
      }
      REQUIRE(pair.server.fault() == ChannelFault::none);
      REQUIRE_FALSE(pair.client->lost());
    }
    CHECK(checked > 100);
    pair.engine.hold = false;
    for (const MessageBlock& block : kept) pair.memory.release(block);
    while (const auto event = next(pair, 8))
      if (event->kind == ChannelEventKind::message) pair.memory.release(event->message);
    static_cast<void>(pair.server.arm(false));
    check_quiet(pair);
  }
}

TEST_CASE("two threads that sleep echo through a channel without missing a ring",
          "[ipc][channel][threads]") {
  constexpr std::uint32_t count = 2'000;
  ChannelPair pair;
  std::atomic<bool> stop{false};
  std::thread engine{[&] {
    while (!stop.load()) {
      pair.engine.turn();
      if (pair.server.arm(!pair.engine.sent.empty())) pair.server.wait(std::chrono::seconds{20});
      pair.server.disarm();
    }
  }};
  const auto flow = pair.client->connect(somewhere, never);
  REQUIRE(flow);
  std::uint32_t sent = 0, received = 0, late = 0;
  bool blocked = false;
  while (received < count) {
    const auto bytes = pattern(sent, sent % 150);
    if (!blocked && sent < count) {
      if (pair.client->send(*flow, bytes, false))
        ++sent;
      else
        blocked = true;
    }
    ChannelEvent event;
    bool any = false;
    while (pair.client->poll(event)) {
      any = true;
      if (event.kind == ChannelEventKind::writable) blocked = false;
      if (event.kind != ChannelEventKind::message) continue;
      CHECK(same_bytes(event.message, pattern(received, received % 150)));
      pair.memory.release(event.message);
      ++received;
    }
    pair.client->flush();
    if (!any && (blocked || sent == count || sent % 7 == 0)) {
      const auto before = std::chrono::steady_clock::now();
      pair.client->wait(std::chrono::seconds{20});
      if (std::chrono::steady_clock::now() - before > std::chrono::seconds{15}) ++late;
      REQUIRE(late == 0);
    }
  }
  stop.store(true);
  static_cast<void>(pair.client->close(*flow, never));
  pair.client->flush();
  engine.join();
  CHECK(pair.server.fault() == ChannelFault::none);
}

}  // namespace proa
