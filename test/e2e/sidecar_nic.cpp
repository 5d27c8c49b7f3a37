// e2e: a proad whose cable is pulled and whose interface is made anew: it says so once, and after
// it has given up its privileges, too. A flow lives through it, and through rings that are too
// small.
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

#include <proa/ipc/shm.hpp>

#include "netns.hpp"
#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

struct Word {
  char text[400] = {};
  Word() = default;
  explicit Word(const std::string& what) { what.copy(text, sizeof text - 1); }
};

bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }

/// Until proad's status or log is as wanted; empty, or what never happened.
template <class Wanted>
std::string until(const std::string& what, Wanted&& wanted) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!wanted()) {
    if (std::chrono::steady_clock::now() > deadline) return "never: " + what;
    ::usleep(50'000);  // looked at again; decides nothing
  }
  return {};
}

std::size_t engines_wanted() {
  const char* engines = std::getenv("PROA_E2E_ENGINES");
  return engines == nullptr ? 1 : std::strtoul(engines, nullptr, 10);
}

/// A message is under way whenever something happens, and comes back whole when that is over.
std::string live_through(const bench::TwoHosts& wires) {
  const Hosts hosts{{}, &wires};
  wires.enter(0);
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  if (!flow) return "no flow";
  const std::size_t engines = engines_wanted();
  const auto counter = [&](const char* name) { return number_in(hosts.status(0), name); };
  const auto said = [&](const std::string& line) { return times(hosts.a.errors(), line); };
  const std::vector<std::byte> message = pattern(20'000, 1);
  std::string wrong;
  const auto step = [&](const std::string& what, auto&& wanted) {
    if (wrong.empty()) wrong = until(what, wanted);
  };
  const auto send = [&] {
    if (!send_patiently(net, *flow, message)) wrong += "cannot send; ";
  };
  const auto comes_back = [&](const std::string& when) {
    if (!wrong.empty()) return;
    const auto back = next(net, EventKind::message);
    if (!back || !std::equal(message.begin(), message.end(), back->message.bytes().begin(),
                             back->message.bytes().end()))
      wrong = "no message comes back " + when;
  };
  step("all engines run", [&] { return times(hosts.status(0), "\"nic_link_downs\":") == engines; });
  send();
  comes_back("at first");
  if (!shell("ip link set wire0 down")) return "cannot pull the cable";
  step("link down", [&] { return counter("nic_link_downs") == 1; });
  send();
  step("link down said", [&] { return said("interface proa0: the link is down\n") == 1; });
  if (!shell("ip link set wire0 up")) return "cannot plug the cable in";
  step("link up said", [&] { return said(": the link is down\n") == 2; });  // "over after ..."
  comes_back("with the cable back");
  // It is an ordinary user by now, and opens the new interface all the same.
  if (!shell("ip link del wire0")) return "cannot delete the interface";
  step("removal", [&] { return counter("nic_removals") == 1; });
  send();
  if (!shell("ip link add wire0 type veth peer name wire0 netns " + std::to_string(hosts.b.pid()) +
             " && ip link set wire0 up") ||
      !wires.enter(1) || !shell("ip link set wire0 up"))
    return "cannot make the interface anew";
  step("open again", [&] { return counter("nic_reopened") == 1; });
  step("removal said", [&] { return said("interface proa0: the device went away\n") == 1; });
  comes_back("over the new interface");
  return wrong.empty() ? "" : wrong + "\n" + hosts.a.errors();
}

/// That many broadcasts of nobody's protocol, from the kernel of this namespace.
bool flood(const char* interface, std::size_t frames) {
  const OwnedFd wire{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
  std::array<std::byte, 60> frame{};
  std::fill_n(frame.begin(), 6, std::byte{0xff});
  frame[6] = std::byte{0x02};                                // from a local address
  frame[12] = std::byte{0x88}, frame[13] = std::byte{0xb5};  // IEEE 802 local experimental
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
  for (; frames > 0; --frames)
    if (::sendto(wire.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                 sizeof to) < 0)
      return false;
  return true;
}

/// Rings of 32, and a server's proad that does not run for a while, again and again. What overruns
/// them is the kernel's: Proa's own window may be smaller than the rings.
std::string overrun(const bench::TwoHosts& wires) {
  const Hosts hosts{{}, &wires, ",descriptors=32"};
  wires.enter(0);
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  if (!flow) return "no flow";
  constexpr std::size_t bytes = 1U << 20U;
  const std::string line = "interface proa0: the receive ring overran\n";
  const auto missed = [&] { return sum_in(hosts.status(1), "nic_rx_missed"); };
  std::size_t episodes = 0;  // at most: on a slow machine one may end between two overruns
  std::chrono::steady_clock::time_point last{};
  for (std::uint64_t sent = 0; sent < 5; ++sent) {
    const auto message = pattern(bytes, sent);
    const auto before = missed();
    bool queued = false;
    const auto overran = [&] {
      ::kill(hosts.b.pid(), SIGSTOP);
      queued = queued || send_patiently(net, *flow, message);
      const bool flooded = flood("wire0", 1000);  // the rings of all engines hold 128 at most
      ::usleep(50'000);                           // the kernel may take its time to deliver
      ::kill(hosts.b.pid(), SIGCONT);
      return flooded && missed() > before;
    };
    if (const auto never = until("counted", overran); !never.empty()) return never;
    const auto now = std::chrono::steady_clock::now();
    if (now - std::exchange(last, now) > 9s) ++episodes;  // it is over after 10 s
    const auto back = next(net, EventKind::message);
    if (!queued || !back ||
        !std::equal(message.begin(), message.end(), back->message.bytes().begin(),
                    back->message.bytes().end()))
      return "message " + std::to_string(sent) + " does not come back";
  }
  if (const auto never = until("said", [&] { return times(hosts.b.errors(), line) > 0; });
      !never.empty())
    return never + "\n" + hosts.b.errors();
  return times(hosts.b.errors(), line) <= episodes ? "" : hosts.b.errors();
}

/// The kernel gave the interface one queue, so there is one engine.
std::string lacks_queues(const bench::TwoHosts& hosts) {
  hosts.enter(0);
  const Scratch scratch;
  const std::string socket = scratch / "p.sock";
  Program proad{PROAD_PATH,
                {"--nic", "af_xdp,interface=wire0", "--address", "10.117.0.11/24", "--socket",
                 socket, "--engines", "4"},
                scratch / "err"};
  if (!proad.says("proad ready")) return "proad: " + proad.errors();
  const std::string said = "proa0: the NIC has queue pairs for 1: of 4 engines 3 are not started\n";
  if (times(proad.errors(), said) != 1) return "not said: " + said + proad.errors();
  const std::string status = status_of(socket, scratch);
  return times(status, "\"answered\":true") == 1 && times(status, "\"answered\"") == 1 ? ""
                                                                                       : status;
}

/// A proad of that many engines at one end of a memif.
Arguments memif_end(const Scratch& scratch, const std::string& role, const std::string& engines) {
  return {"--nic",     memif_nic(role, scratch / "memif"),
          "--address", role == "server" ? "10.77.0.1/24" : "10.77.0.2/24",
          "--socket",  scratch / role,
          "--engines", engines};
}

void in_two_hosts(const std::function<std::string(const bench::TwoHosts&)>& body) {
  auto hosts = bench::TwoHosts::make();
  REQUIRE(hosts);
  auto child = start_child([&](Control& parent) {
    parent.send(Word{body(*hosts)});
    return 0;
  });
  const auto word = child.control().receive<Word>(10 * patience);
  REQUIRE(word);
  CHECK(std::string{word->text} == "");
}

}  // namespace

TEST_CASE(
    "Engines beyond the NIC's queue pairs are not started, and that is said and seen in status",
    "[root]") {
  in_two_hosts(lacks_queues);
}

TEST_CASE("A memif peer with fewer engines is not served: said once, and once that it is over") {
  const Scratch scratch;
  Program server{PROAD_PATH, memif_end(scratch, "server", "4"), scratch / "server.err"};
  REQUIRE(server.says("proad ready"));
  const std::string fewer =
      "the peer has fewer queue pairs than this end and is not served; start both ends with as "
      "many "
      "engines\n";
  const auto status = [&] { return status_of(scratch / "server", scratch); };
  {
    Program client{PROAD_PATH, memif_end(scratch, "client", "1"), scratch / "client.err"};
    REQUIRE(client.says("proad ready"));
    CHECK(until("said", [&] { return times(server.errors(), "interface proa0: " + fewer) == 1; }) ==
          "");
    CHECK(until("down", [&] { return times(status(), "\"link_up\":false") == 4; }) == "");
    CHECK(number_in(status(), "nic_mismatches") == 1);
  }
  Program client{PROAD_PATH, memif_end(scratch, "client", "4"), scratch / "client.err"};
  REQUIRE(client.says("proad ready"));
  CHECK(until("over", [&] { return times(server.errors(), " s: " + fewer) == 1; }) == "");
  CHECK(until("up", [&] { return times(status(), "\"link_up\":true") == 4; }) == "");
  CHECK(times(server.errors(), "interface proa0: " + fewer) == 1);
}

TEST_CASE(
    "proad says once that the cable is pulled, and opens an interface again that was made anew",
    "[root]") {
  in_two_hosts(live_through);
}

TEST_CASE("A receive ring that overruns again and again is said once and costs no message",
          "[root]") {
  in_two_hosts(overrun);
}

TEST_CASE("A transmit ring that is full, and one that is no longer, are said once each") {
  const Hosts hosts{{}, nullptr, ",descriptors=32"};
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  // The first windows of that many flows are more than a ring holds, whatever becomes of them.
  std::vector<FlowHandle> flows;
  for (int i = 0; i < 16; ++i) {
    const auto flow = net.connect(Hosts::at(1, 7000), patience);
    REQUIRE(flow);
    flows.push_back(*flow);
  }
  const auto said = [&] { return times(hosts.a.errors(), "the transmit ring is full\n"); };
  ::kill(hosts.b.pid(), SIGSTOP);  // nobody takes anything from the ring
  const auto message = pattern(100'000, 1);
  for (const FlowHandle flow : flows) REQUIRE(net.send(flow, message));
  net.flush();
  const std::string full =
      until("full", [&] { return sum_in(hosts.status(0), "tx_ring_full") > 0; });
  ::kill(hosts.b.pid(), SIGCONT);
  CHECK(full == "");
  for (std::size_t i = 0; i < flows.size(); ++i) {
    const auto back = next(net, EventKind::message);
    REQUIRE(back);
    CHECK(std::equal(message.begin(), message.end(), back->message.bytes().begin(),
                     back->message.bytes().end()));
  }
  CHECK(until("said", [&] { return said() == 1; }) == "");
  CHECK(until("over",
              [&] { return times(hosts.a.errors(), ": the transmit ring is full\n") == 2; }) == "");
  CHECK(said() == 2);
}
