// e2e: a memif peer that is killed never takes the surviving process with it.
#include <signal.h>

#include <catch2/catch.hpp>

#include "machine.hpp"
#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

/// Mostly asks for frames, so that a burst is under way nearly all the time; never gives way.
void poll_hard(bench::RawLink<DpdkNic>& link) {
  link.send(8, 1500);
  for (int i = 0; i < 500; ++i) link.receive([](std::uint64_t, std::span<std::byte>) {});
}

std::string wait_for_link(DpdkNic& nic, bench::RawLink<DpdkNic>& link, bool up) {
  const auto deadline = steady_clock::now() + patience();
  while (nic.link_up() != up) {
    poll_hard(link);
    if (steady_clock::now() > deadline) return up ? "the link stays down" : "the link stays up";
  }
  return "";
}

struct Told {
  std::uint32_t round = 0;
  bool up = false;
};

/// Follows the link up and down through all rounds, polling without a pause. A round begins when
/// its peer has opened its port: until then a client may have tried more than once.
std::string survive(DpdkNic& nic, Control& control, std::uint32_t rounds) {
  bench::RawLink link{nic};
  for (std::uint32_t round = 0; round < rounds; ++round) {
    while (!control.ready()) poll_hard(link);
    if (!control.receive<char>()) return "nobody says that the peer is there";
    if (auto wrong = wait_for_link(nic, link, true); !wrong.empty()) return wrong;
    const auto before = nic.counters().link_downs;
    control.send(Told{round, true});
    if (auto wrong = wait_for_link(nic, link, false); !wrong.empty()) return wrong;
    // DPDK's thread takes the link down first and counts it then.
    const auto deadline = steady_clock::now() + patience();
    while (nic.counters().link_downs == before && steady_clock::now() < deadline) poll_hard(link);
    if (nic.counters().link_downs != before + 1) return "the link's losses are miscounted";
    control.send(Told{round, false});
  }
  const auto leaked = nic.pool_size() - nic.pool_available();
  return leaked == 0 ? "" : std::to_string(leaked) + " packets leaked";
}

/// A peer that floods until it is killed.
tl::expected<ChildProcess, std::string> start_victim(const DpdkOptions& options) {
  return ChildProcess::start([options](Control& control) {
    auto port = Port<DpdkNic>::open(options);
    if (!port) return 1;
    auto nic = port->take_queue();
    if (!nic) return 1;
    bench::RawLink link{*nic};
    control.send('o');  // it is open
    for (;;) poll_hard(link);
  });
}

std::string kill_peers(const DpdkOptions& survivor, const DpdkOptions& victim,
                       std::uint32_t rounds) {
  auto surviving = ChildProcess::start([&](Control& control) {
    // On one core DPDK's interrupt thread can only run where it interrupts the polling one: in the
    // middle of a burst more often than not.
    bench::pin(::sched_getcpu());
    const End end{survivor, [rounds](DpdkNic& nic, Control& c) { return survive(nic, c, rounds); }};
    return run_end(end, control);
  });
  if (!surviving) return surviving.error();
  // A client opens only when its server is there: its first victim starts before it is heard.
  auto first = start_victim(victim);
  if (auto wrong = heard(*surviving); !wrong.empty()) return wrong;
  surviving->control().send('g');
  for (std::uint32_t round = 0; round < rounds; ++round) {
    auto next = round == 0 ? std::move(first) : start_victim(victim);
    if (!next) return next.error();
    const auto told = [&] {
      return surviving->control().receive<Told>(2 * patience()).has_value();
    };
    if (!next->control().receive<char>(2 * patience())) return "a peer does not open its port";
    surviving->control().send('o');
    if (!told()) return "the survivor died in round " + std::to_string(round);
    ::usleep(1000 + round * 37 % 3000);  // some traffic; decides nothing
    ::kill(next->pid(), SIGKILL);
    // Or the next one might be there before a busy machine lets the survivor look.
    if (!told()) return "the survivor died after round " + std::to_string(round);
  }
  return heard(*surviving);
}

}  // namespace

TEST_CASE("a memif server survives 25 clients that are killed in the middle of bursts", "[nic]") {
  const SocketPath socket{"server"};
  CHECK(kill_peers(memif(MemifRole::server, socket), memif(MemifRole::client, socket), 25) == "");
}

TEST_CASE("a memif client survives 25 servers that are killed and finds each next one", "[nic]") {
  const SocketPath socket{"client"};
  CHECK(kill_peers(memif(MemifRole::client, socket), memif(MemifRole::server, socket), 25) == "");
}
