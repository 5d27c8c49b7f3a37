// Attack tests: what dead applications leave behind, and what they still hold of another life.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <optional>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t large = 30'000;  // a block on the way here, a lease on the way back
constexpr std::uint32_t small = 40;      // copied on its way here
constexpr std::uint32_t lent = 6, held = 3, large_in_flight = 5, in_flight = 7;

/// Shared memory of channels that this process maps.
std::size_t mapped_channels() {
  std::ifstream maps{"/proc/self/maps"};
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:") != std::string::npos ? 1 : 0;
  return count;
}

/// What it holds of a dead application it gives back one by one, as an engine does whose NIC still
/// sends from it.
struct SlowBoat : Boat {
  using Boat::Boat;

  void gone(std::uint32_t session) override {
    TestSidecar::gone(session);
    const auto it = served.find(session);
    if (it == served.end()) return;
    it->second.server->abandon();
    leaving = std::move(it->second);
    served.erase(it);
  }
  template <class Done>
  bool sail(Done&& done) {
    const auto end = Clock::now() + 60s;
    while (!done()) {
      if (Clock::now() > end) return false;
      step();
    }
    return true;
  }
  /// Attaching waits for an answer, so it takes another thread.
  std::unique_ptr<Pirate> board() {
    auto done = std::async(std::launch::async, [this] { return std::make_unique<Pirate>(path); });
    REQUIRE(sail([&] { return done.wait_for(0s) == std::future_status::ready; }));
    return done.get();
  }

  std::optional<Served> leaving;
};

std::vector<std::byte> letter(std::uint64_t seed) {
  return pattern(seed, seed < lent + large_in_flight ? large : small);
}
bool is_letter(const MessageBlock& block, std::uint64_t seed) {
  const auto want = letter(seed);
  return block.length == want.size() && std::memcmp(block.data, want.data(), want.size()) == 0;
}

/// Gets letters back of which it takes a few and returns none; told to, it sends more. Then it
/// waits for its end.
[[noreturn]] void live_and_wait(const std::string& path, int told) {
  Pirate pirate{path};
  const auto flow = pirate.client->connect({IpAddress::v4(1), 7}, never);
  const auto send = [&](std::uint64_t from, std::uint64_t to) {
    for (; from < to; ++from) static_cast<void>(pirate.client->send(*flow, letter(from), false));
    pirate.client->flush();
  };
  send(0, lent);
  ChannelEvent event;
  for (std::uint32_t taken = 0; taken < held;)
    if (pirate.client->poll(event) && event.kind == ChannelEventKind::message) ++taken;
  char byte = 0;
  if (::read(told, &byte, 1) == 1) send(lent, lent + in_flight);
  for (;;) ::pause();
}

/// An application whose letters are lent, in its ring and in flight: killed at that.
void die_rich(SlowBoat& boat) {
  int tell[2];
  REQUIRE(::pipe2(tell, O_CLOEXEC) == 0);
  const OwnedFd told{tell[0]}, teller{tell[1]};
  Process process{[&] { live_and_wait(boat.path, told.get()); }};
  const auto served = [&] { return boat.served.empty() ? nullptr : &boat.served.begin()->second; };
  REQUIRE(boat.sail([&] { return served() != nullptr && served()->server->leases_out() == lent; }));
  served()->engine->hold = true;
  REQUIRE(::write(teller.get(), "x", 1) == 1);
  REQUIRE(boat.sail([&] { return served()->engine->sent.size() == in_flight; }));
  CHECK(served()->server->memory().receive_arena().used() > 0);
  process.kill();
  REQUIRE(boat.sail([&] { return boat.leaving.has_value(); }));
}

bool all_zero(const std::byte* at, std::uint64_t bytes) {
  return std::all_of(at, at + bytes, [](std::byte b) { return b == std::byte{0}; });
}

ChannelHandle connect(Pirate& pirate) {
  const auto flow = pirate.client->connect({IpAddress::v4(1), 7}, never);
  REQUIRE(flow);
  return *flow;
}
/// Sends letters through an echo and gets them back.
void demand_echoes(Boat& boat, Pirate& pirate, ChannelHandle flow, std::uint64_t count) {
  std::uint64_t sent = 0, received = 0;
  const auto end = Clock::now() + 60s;
  while (received < count) {
    REQUIRE(Clock::now() < end);
    if (sent < count && pirate.client->send(flow, letter(sent % 20), false)) ++sent;
    pirate.client->flush();
    boat.step();
    ChannelEvent event;
    while (pirate.client->poll(event)) {
      if (event.kind != ChannelEventKind::message) continue;
      CHECK(is_letter(event.message, received++ % 20));
      pirate.memory->release(event.message);
    }
  }
}

}  // namespace

TEST_CASE("what a dead application has in flight stays until it has left, all else is free at once",
          "[attack][c15]") {
  SlowBoat boat{"remains"};
  const std::size_t descriptors = open_descriptors(), mapped = mapped_channels();
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    die_rich(boat);
    ChannelServer& server = *boat.leaving->server;
    auto& sent = boat.leaving->engine->sent;
    // Nobody reads events and leases any more.
    CHECK(server.leases_out() == 0);
    CHECK(server.memory().receive_arena().used() == 0);
    CHECK(mapped_channels() > mapped);
    CHECK(open_descriptors() > descriptors);

    // Who comes next finds nothing of it, and cannot get at it.
    const auto next = boat.board();
    const RegionLayout up = send_layout(next->memory->geometry()),
                       down = receive_layout(next->memory->geometry());
    CHECK(
        all_zero(next->memory->send_region() + up.arena_offset(), up.bytes() - up.arena_offset()));
    CHECK(all_zero(next->memory->receive_region() + down.arena_offset(),
                   down.bytes() - down.arena_offset()));
    demand_echoes(boat, *next, connect(*next), 50);
    REQUIRE(sent.size() == in_flight);
    for (std::size_t i = 0; i < sent.size(); ++i) CHECK(is_letter(sent[i].block, lent + i));

    for (; !sent.empty(); sent.pop_front()) {
      CHECK_FALSE(server.idle());
      server.memory().release(sent.front().block);
    }
    CHECK(server.idle());
    boat.leaving.reset();
    boat.served.begin()->second.engine->drop_all();
    boat.harbour->end(boat.served.begin()->first);
    REQUIRE(boat.sail([&] { return boat.served.empty() && boat.leaving.has_value(); }));
    CHECK(boat.leaving->server->idle());
    boat.leaving.reset();
  }
  CHECK(boat.fault_count() == 0);
  CHECK(boat.channels.empty());
  CHECK(mapped_channels() == mapped);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("who died and still writes into his channel reaches nobody, also not his successor",
          "[attack][c16]") {
  SlowBoat boat{"stale"};
  auto dead = boat.board();
  demand_echoes(boat, *dead, connect(*dead), 20);
  // Its connection is closed, as a death does; somebody still has its memory and its doorbell.
  { const ControlClient closed = std::move(dead->attached.control); }
  REQUIRE(boat.sail([&] { return boat.leaving.has_value(); }));
  const std::uint32_t requests = boat.leaving->server->requests_served();
  const auto successor = boat.board();
  REQUIRE(boat.served.size() == 1);
  const ChannelHandle flow = connect(*successor);
  for (int i = 0; i < 50; ++i) {
    static_cast<void>(dead->client->connect({IpAddress::v4(1), 7}, never));
    dead->client->flush();
    for (std::size_t at = 0; at < send_layout(dead->memory->geometry()).arena_offset(); at += 64)
      dead->region[at] = static_cast<std::byte>(i);
    boat.leaving->engine->turn();  // an engine that has not heard of it yet
    demand_echoes(boat, *successor, flow, 5);
  }
  CHECK(boat.leaving->server->requests_served() == requests);
  CHECK(boat.leaving->server->idle());
  CHECK(boat.served.size() == 1);
  CHECK(boat.fault_count() == 0);
}

TEST_CASE("a late answer to one who died is not given to who came after him", "[attack][c16]") {
  SlowBoat boat{"late"};
  // Asks for a channel; the boat has decided and not said so yet.
  const auto ask = [&boat] {
    auto control = must(ControlClient::connect(boat.path, 60s));
    AttachMessage wish;
    wish.name = control_text<32>("late");
    const ControlDatagram d = control_datagram(wish, 1);
    REQUIRE(::send(control.descriptor(), d.bytes.data(), d.size, 0) > 0);
    REQUIRE(boat.sail([&] { return boat.late != nullptr; }));
    return std::pair{std::move(control), std::exchange(boat.late, nullptr)};
  };
  const auto heard = [](const ControlClient& control) {
    char byte = 0;
    return ::recv(control.descriptor(), &byte, 1, MSG_DONTWAIT) == 1;
  };
  for (int round = 0; round < 50; ++round) {
    const std::uint32_t before = boat.gone_count;
    auto dead = std::make_optional(ask());
    const auto to_the_dead = dead->second;
    dead.reset();
    REQUIRE(boat.sail([&] { return boat.gone_count > before; }));
    const auto [next, to_the_next] = ask();
    to_the_dead();
    boat.step();
    CHECK_FALSE(heard(next));
    to_the_next();
    boat.step();
    CHECK(heard(next));
  }
  CHECK(boat.served.empty());
}

TEST_CASE("what was attached to the sidecar before a restart is nothing to the one after it",
          "[attack][c16]") {
  auto boat = std::make_unique<SlowBoat>("restart");
  const auto old = boat->board();
  demand_echoes(*boat, *old, connect(*old), 20);
  boat.reset();
  boat = std::make_unique<SlowBoat>("restart");
  const auto fresh = boat->board();
  const ChannelHandle flow = connect(*fresh);
  for (int i = 0; i < 50; ++i) {
    static_cast<void>(old->client->connect({IpAddress::v4(1), 7}, never));
    old->client->flush();
    demand_echoes(*boat, *fresh, flow, 5);
  }
  old->client->check();
  CHECK(old->client->lost());
  CHECK(old->attached.control.listen(7000, 60s).error() == Reason::stack_closed);
  CHECK(boat->harbour->sessions() == 1);
  CHECK(boat->served.size() == 1);
  CHECK(boat->listeners.empty());
  CHECK(boat->fault_count() == 0);
  CHECK(boat->harbour->counters().malformed == 0);
}

}  // namespace proa
