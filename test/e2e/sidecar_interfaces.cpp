// e2e: one application, one stack, a sidecar with two interfaces and a host behind each of them.
#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <proa/wire/address_text.hpp>
#include <string>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

constexpr std::uint16_t port = 7000;

/// Host `hub` has the interfaces `left` (10.71.0.0/24 or fd00:71::/64) and `right` (72, and the way
/// to 10.73.0.0/16 or fd00:73::/32), each a memif to a host of its own, which is number 2 there.
/// Everything is of one family.
struct Star {
  explicit Star(bool of_ipv6) : ipv6(of_ipv6) {
    for (auto* host : {&hub, &left, &right})
      if (!(*host)->says("proad ready")) throw std::runtime_error{"proad: " + (*host)->errors()};
  }
  [[nodiscard]] std::string socket(const std::string& host) const { return scratch / host; }
  [[nodiscard]] Endpoint at(bool to_right, int host) const {
    return {*parse_ip(text(to_right ? 72 : 71, host)), port};
  }
  [[nodiscard]] std::string beyond() const { return text(73, 0) + (ipv6 ? "/32" : "/16"); }
  [[nodiscard]] Endpoint nowhere() const { return {*parse_ip(text(99, 9)), port}; }

  const bool ipv6;
  Scratch scratch;
  std::optional<Program> hub = start_hub(), left = start_leaf(false), right = start_leaf(true);

 private:
  [[nodiscard]] static std::string engines() {
    const char* const wanted = std::getenv("PROA_E2E_ENGINES");
    return wanted != nullptr ? wanted : "1";
  }
  [[nodiscard]] std::string text(int network, int host) const {
    return ipv6 ? fmt::format("fd00:{}::{}", network, host)
                : fmt::format("10.{}.0.{}", network, host);
  }
  [[nodiscard]] std::string prefix(bool r, int host) const {
    return text(r ? 72 : 71, host) + (ipv6 ? "/64" : "/24");
  }
  [[nodiscard]] std::string memif(bool r, const std::string& role) const {
    return memif_nic(role, scratch / (r ? "right.memif" : "left.memif"));
  }
  [[nodiscard]] std::optional<Program> start_hub() const {
    std::ofstream config{scratch / "hub.toml"};
    config << "[control]\nsocket = \"" << socket("hub") << "\"\n";
    for (const bool r : {false, true})
      config << "[[interface]]\nname = \"" << (r ? "right" : "left") << "\"\nnic = \""
             << memif(r, "server") << "\"\naddresses = [\"" << prefix(r, 1)
             << "\"]\nengines = " << engines() << "\n"
             << (r ? "routes = [\"" + beyond() + " via " + text(72, 2) + "\"]\n" : "");
    config.close();
    return std::optional<Program>{std::in_place, PROAD_PATH,
                                  Arguments{"--config", scratch / "hub.toml"}, scratch / "hub.err"};
  }
  [[nodiscard]] std::optional<Program> start_leaf(bool r) const {
    const std::string name = r ? "right" : "left";
    return std::optional<Program>{std::in_place, PROAD_PATH,
                                  Arguments{"--nic", memif(r, "client"), "--address", prefix(r, 2),
                                            "--socket", socket(name), "--engines", engines()},
                                  scratch / (name + ".err")};
  }
};

/// Connects to the hub and has `rounds` messages echoed, beginning when told to.
ChildProcess guest(const Star& star, bool right, std::uint64_t rounds) {
  return start_child([&star, right, rounds](Control& parent) {
    Net net = attach(star.socket(right ? "right" : "left"), "guest");
    if (!parent.receive<char>(patience)) return 2;
    const auto flow = net.connect(star.at(right, 1), patience);
    if (!flow) return 3;
    for (std::uint64_t i = 0; i < rounds; ++i)
      if (!echoes(net, *flow, i * 37 % 5000, i + (right ? 100'000U : 0U))) return 4;
    parent.send(char{'d'});
    return 0;
  });
}

}  // namespace

TEST_CASE("One stack accepts and connects over two interfaces of its sidecar at once") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Star star{ipv6};
  const ChildProcess far_left = echo_server(star.socket("left"), port);
  const ChildProcess far_right = echo_server(star.socket("right"), port);
  constexpr std::uint64_t rounds = 300;
  ChildProcess guests[] = {guest(star, false, rounds), guest(star, true, rounds)};

  Net net = attach(star.socket("hub"), "hub");
  const auto interfaces = net.interfaces();
  REQUIRE(interfaces.size() == 2);
  CHECK(interfaces[0].name == "left");
  CHECK(interfaces[1].owns(star.at(true, 1).address));
  CHECK(interfaces[1].routes == std::vector<IpPrefix>{*parse_prefix(star.beyond())});
  CHECK(net.connect(star.nowhere()).error().reason() == Reason::no_route);

  REQUIRE(net.listen({.port = port}));
  FlowHandle mine[2];
  for (const bool right : {false, true}) {
    const auto flow = net.connect(star.at(right, 2), patience);
    REQUIRE(flow);
    mine[right] = *flow;
    CHECK(net.flow_info(*flow)->local.address == star.at(right, 1).address);
    guests[right].control().send(char{'g'});
  }
  // What guests send goes back, what we send comes back, until all four flows are through.
  std::uint64_t sent[2] = {}, back[2] = {}, echoed = 0, closed = 0, wrong = 0;
  std::map<std::uint32_t, Endpoint> accepted;
  const Instant until = net.now() + patience;
  while ((back[0] < rounds || back[1] < rounds || echoed < 2 * rounds || closed < 2) &&
         net.now() < until) {
    for (const int i : {0, 1})
      if (sent[i] == back[i] && sent[i] < rounds &&
          net.send(mine[i], pattern(sent[i] * 41 % 5000, sent[i])))
        ++sent[i];
    while (const auto event = net.poll()) {
      const int i = event->flow == mine[1] ? 1 : 0;
      if (event->kind == EventKind::accepted) accepted[event->flow.value] = event->local;
      if (event->kind == EventKind::closed) ++closed;
      if (event->kind != EventKind::message) continue;
      if (accepted.count(event->flow.value) != 0) {
        echoed += net.send(event->flow, event->message.bytes()) ? 1U : 0U;
        continue;
      }
      const auto want = pattern(back[i] * 41 % 5000, back[i]);
      wrong += std::equal(want.begin(), want.end(), event->message.bytes().begin(),
                          event->message.bytes().end())
                   ? 0U
                   : 1U;
      ++back[i];
    }
    static_cast<void>(net.wait(20ms));
  }
  CHECK(wrong == 0);
  CHECK(back[0] == rounds);
  CHECK(back[1] == rounds);
  CHECK(echoed == 2 * rounds);
  REQUIRE(accepted.size() == 2);
  CHECK(accepted.begin()->second.address != std::next(accepted.begin())->second.address);
  for (ChildProcess& one : guests) CHECK(one.control().receive<char>(patience));
}

TEST_CASE("A buffer goes to a flow of whichever interface, and each listener to the one it names") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Star star{ipv6};
  const ChildProcess far_left = echo_server(star.socket("left"), port);
  const ChildProcess far_right = echo_server(star.socket("right"), port);
  Net net = attach(star.socket("hub"), "hub");
  for (const bool right : {false, true}) {
    const auto flow = net.connect(star.at(right, 2), patience);
    REQUIRE(flow);
    for (const FlowHandle of : {FlowHandle{}, *flow})
      for (const std::size_t size : {0U, 40U, 100'000U}) {
        CAPTURE(right, of.value, size);
        const auto bytes = pattern(size, size);
        auto buffer = net.allocate(size, of);
        REQUIRE(buffer);
        std::copy(bytes.begin(), bytes.end(), buffer.bytes().begin());
        REQUIRE(net.send(*flow, std::move(buffer)));
        const auto back = next(net, EventKind::message);
        REQUIRE(back);
        CHECK(std::equal(bytes.begin(), bytes.end(), back->message.bytes().begin(),
                         back->message.bytes().end()));
      }
  }
  CHECK(net.listen({.port = 7001, .local = star.at(true, 9).address}).error().reason() ==
        Reason::invalid_argument);
  REQUIRE(net.listen({.port = 7001, .local = star.at(true, 1).address}));
  Net other = attach(star.socket("hub"), "other");
  CHECK(other.listen({.port = 7001}).error().reason() == Reason::port_in_use);
  CHECK(other.listen({.port = 7001, .local = star.at(false, 1).address}));
  Net guest_left = attach(star.socket("left"), "left"),
      guest_right = attach(star.socket("right"), "r");
  for (const bool right : {false, true}) {
    Endpoint to = star.at(right, 1);
    to.port = 7001;
    REQUIRE((right ? guest_right : guest_left).connect(to, patience));
    const auto event = next(right ? net : other, EventKind::accepted);
    REQUIRE(event);
    CHECK(event->local == to);
  }
  REQUIRE(net.unlisten({.port = 7001}));
  CHECK_FALSE(net.unlisten({.port = 7001}));
}

TEST_CASE("An application that names one interface has that one") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Star star{ipv6};
  Net net = attach(star.socket("hub") + ";interface=right", "one");
  REQUIRE(net.interfaces().size() == 1);
  CHECK(net.interfaces()[0].name == "right");
  CHECK(net.connect(star.nowhere(), patience).error().reason() == Reason::no_route);
}

TEST_CASE("Where one host behind two interfaces is gone, the other one's flows go on") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Star star{ipv6};
  const ChildProcess far_left = echo_server(star.socket("left"), port);
  const ChildProcess far_right = echo_server(star.socket("right"), port);
  Net net = attach(star.socket("hub"), "hub");
  const auto left = net.connect(star.at(false, 2), patience);
  const auto right = net.connect(star.at(true, 2), patience);
  REQUIRE((left && right));
  REQUIRE(echoes(net, *left, 100, 1));
  ::kill(star.left->pid(), SIGTERM);
  const auto closed = next(net, EventKind::closed);
  REQUIRE(closed);
  CHECK(closed->flow == *left);
  for (std::uint64_t i = 0; i < 200; ++i) REQUIRE(echoes(net, *right, i, i));
  ::kill(star.hub->pid(), SIGKILL);
  const auto lost = next(net, EventKind::closed);
  REQUIRE(lost);
  CHECK(lost->flow == *right);
  CHECK(lost->reason == Reason::stack_closed);
  CHECK(net.connect(star.at(true, 2)).error().reason() == Reason::stack_closed);
}
