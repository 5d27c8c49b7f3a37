// Attack tests: hostile applications as processes: hammering, killed, frozen.
#include <catch2/catch.hpp>

#include <chrono>
#include <thread>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Steps boat and neighbour until `done` or a time that only a bug needs.
template <class Done>
bool sail(Boat& boat, Neighbour& neighbour, Done&& done, std::chrono::milliseconds limit = 60s) {
  const auto end = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() > end) return false;
    boat.step();
    neighbour.step();
  }
  return true;
}

/// Writes plausible slots at full speed, then spoils random words of everything it may write.
void hammer(Pirate& pirate, std::uint64_t seed) {
  Prng prng{seed};
  const std::uint64_t words = send_layout(pirate.memory->geometry()).arena_offset() / 8;
  auto* all = reinterpret_cast<volatile std::uint64_t*>(pirate.region.data());
  ChannelEvent event;
  const auto flow = pirate.client->connect({IpAddress::v4(1), 7}, never);
  for (std::uint64_t i = 0;; ++i) {
    static_cast<void>(pirate.client->send(*flow, pattern(i, prng.below(300)), true));
    pirate.client->flush();
    if (pirate.client->poll(event) && event.kind == ChannelEventKind::message)
      pirate.memory->release(event.message);
    if (pirate.client->lost()) return;
    if (i < 100) continue;
    // Fields of the slots written last are spoiled between the sidecar's check and its use.
    const std::uint64_t at = prng.chance(1, 2) ? prng.below(words) : 512 + prng.below(64 * 8);
    const std::uint64_t before = all[at];
    all[at] = prng.chance(1, 2) ? prng.next() : before ^ (std::uint64_t{1} << prng.below(64));
    all[at] = before;
    if (prng.chance(1, 64)) all[at] = prng.next();
  }
}

}  // namespace

TEST_CASE("hammered fields close their own channel and leave the neighbour alone",
          "[attack][c5][c8]") {
  Boat boat{"hammer"};
  Neighbour neighbour;
  const std::size_t descriptors = open_descriptors();
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    INFO("seed " << seed);
    Process process{[&] {
      Pirate pirate{boat.path};
      hammer(pirate, seed);
    }};
    REQUIRE(sail(boat, neighbour, [&] { return boat.confirmed == seed; }));
    // Some are never caught at anything: harmless ones. But not all of them.
    const auto until = Clock::now() + 150ms;
    const bool last = seed == 12;
    REQUIRE(sail(boat, neighbour, [&] {
      const bool enough = Clock::now() > until && (!last || boat.fault_count() > 0);
      return (boat.gone_count == seed && boat.served.empty()) || enough;
    }));
    process.kill();
    REQUIRE(sail(boat, neighbour, [&] { return boat.gone_count == seed && boat.served.empty(); }));
  }
  CHECK(boat.confirmed == 12);
  CHECK(boat.fault_count() > 0);
  CHECK(boat.not_idle == 0);
  CHECK(neighbour.unharmed());
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("an application killed at any moment is gone at once, without a trace", "[attack][c14]") {
  Boat boat{"kill"};
  Neighbour neighbour;
  const std::size_t descriptors = open_descriptors();
  Prng prng{11};
  constexpr std::uint32_t kills = 60;
  for (std::uint32_t i = 1; i <= kills; ++i) {
    Process process{[&] {
      Pirate pirate{boat.path};
      const auto flow = pirate.client->connect({IpAddress::v4(1), 7}, never);
      ChannelEvent event;
      for (std::uint64_t n = 0;; ++n) {
        static_cast<void>(
            pirate.client->send(*flow, pattern(n, n % 9 == 0 ? 60'000 : n % 200), true));
        pirate.client->flush();
        while (pirate.client->poll(event))
          if (event.kind == ChannelEventKind::message && n % 3 != 0)
            pirate.memory->release(event.message);
      }
    }};
    REQUIRE(sail(boat, neighbour, [&] { return boat.confirmed == i || prng.chance(1, 2'000); }));
    for (auto steps = prng.below(300); steps > 0; --steps) boat.step();
    process.kill();
    REQUIRE(sail(boat, neighbour, [&] { return boat.harbour->sessions() == 0; }));
    // A kill before attach leaves no session to be gone: count from here.
    boat.confirmed = i;
  }
  CHECK(boat.served.empty());
  CHECK(boat.channels.empty());
  CHECK(boat.not_idle == 0);
  CHECK(boat.fault_count() == 0);  // every prefix of a correct client's stores is correct
  CHECK(neighbour.unharmed());
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("a frozen application holds up nobody and goes on where it was", "[attack][c14]") {
  Boat boat{"freeze"};
  Neighbour neighbour;
  Process process{[&] {
    Pirate pirate{boat.path};
    const auto flow = pirate.client->connect({IpAddress::v4(1), 7}, never);
    ChannelEvent event;
    std::uint64_t sent = 0, received = 0;
    while (received < 20'000) {
      if (sent - received < 30 && pirate.client->send(*flow, pattern(sent, sent % 200), false))
        ++sent;
      pirate.client->flush();
      while (pirate.client->poll(event)) {
        if (event.kind != ChannelEventKind::message) continue;
        if (event.message.length != received % 200) ::_exit(1);
        pirate.memory->release(event.message);
        ++received;
      }
    }
    ::kill(::getpid(), SIGTERM);
  }};
  REQUIRE(sail(boat, neighbour, [&] { return boat.confirmed == 1; }));
  for (int i = 0; i < 10; ++i) {
    ::kill(process.pid, SIGSTOP);
    const std::uint64_t before = neighbour.received;
    REQUIRE(sail(boat, neighbour, [&] { return neighbour.received > before + 200; }));
    ::kill(process.pid, SIGCONT);
    const auto later = neighbour.received + 20;
    REQUIRE(sail(boat, neighbour, [&] { return neighbour.received > later; }));
  }
  int signal = -1;
  REQUIRE(sail(boat, neighbour, [&] { return (signal = process.ended()) != -1; }));
  CHECK(signal == SIGTERM);
  CHECK(boat.fault_count() == 0);
  CHECK(neighbour.unharmed());
}

TEST_CASE("a process that forks after attaching cannot write through its child", "[attack][c14]") {
  Boat boat{"fork"};
  Neighbour neighbour;
  Process process{[&] {
    Pirate pirate{boat.path};
    const pid_t child = ::fork();
    if (child == 0) {
      *reinterpret_cast<volatile std::uint32_t*>(pirate.region.data()) = 1;  // not mapped here
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ::kill(::getpid(), WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? SIGTERM : SIGKILL);
  }};
  int signal = -1;
  REQUIRE(sail(boat, neighbour, [&] { return (signal = process.ended()) != -1; }));
  CHECK(signal == SIGTERM);
}

}  // namespace proa
