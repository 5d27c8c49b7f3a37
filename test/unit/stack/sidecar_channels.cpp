// L4 tests: one stack over several interfaces of a sidecar.
#include <catch2/catch.hpp>

#include <poll.h>

#include <array>
#include <string>

#include <proa/sidecar.hpp>

#include "echo_sidecar.hpp"

namespace proa {
namespace {

using namespace proa::test;
using namespace std::chrono_literals;
using Net = Stack<Sidecar>;

constexpr auto patience = 60s;  // of what only a bug keeps from coming
constexpr std::uint32_t left = 0, right = 1;

/// `left` is the larger network and the way to everywhere else.
std::vector<InterfaceInfo> two_interfaces() {
  const IpPrefix anywhere{IpAddress::v4(0), 0};
  return {{"left", {{IpAddress::v4(10, 0, 0, 1), 16}}, {anywhere}, 1500},
          {"right",
           {{IpAddress::v4(10, 0, 1, 1), 24}, {IpAddress{{0xfe, 0x80}}, 64}},
           {{IpAddress::v4(10, 9, 0, 0), 16}},
           9000}};
}
const Endpoint at_left{IpAddress::v4(10, 0, 2, 2), 7}, at_right{IpAddress::v4(10, 0, 1, 2), 7};

std::uint32_t channel_of(FlowHandle flow) { return flow.value >> 29U; }

Net board(const EchoSidecar& boat, const std::string& more = {}) {
  return Net{Net::Options::parse(boat.options() + more)};
}

std::vector<Net::Event> drain(Net& net) {
  std::vector<Net::Event> events;
  while (auto event = net.poll()) events.push_back(std::move(*event));
  return events;
}

}  // namespace

TEST_CASE("an interface leads to a peer by its longest prefix, to itself before all",
          "[stack][sidecar]") {
  const auto both = two_interfaces();
  CHECK(both[left].closeness(IpAddress::v4(10, 0, 1, 2)) == 16U);
  CHECK(both[right].closeness(IpAddress::v4(10, 0, 1, 2)) == 24U);
  CHECK(both[left].closeness(IpAddress::v4(10, 0, 0, 1)) == 129U);
  CHECK(both[left].closeness(IpAddress::v4(8, 8, 8, 8)) == 0U);
  CHECK_FALSE(both[right].closeness(IpAddress::v4(8, 8, 8, 8)));
  CHECK_FALSE(both[left].closeness(IpAddress{{0xfd}}));  // no default route of the other family
}

TEST_CASE("an interface's description survives the control socket, an impossible one does no harm",
          "[ipc][control]") {
  InterfaceInfo info = two_interfaces()[right];
  for (std::uint8_t i = 0; i < 64; ++i) info.routes.push_back({IpAddress::v4(11, i, 0, 0), 16});
  DescribedMessage message = DescribedMessage::of(info);
  CHECK(message.info() == info);
  message.addresses = message.routes = 0xffff'ffff;
  message.prefixes[0].bits = 33;
  const auto read = message.info();
  CHECK(read.addresses.size() == message.prefixes.size() - 1);
  CHECK(read.routes.empty());
}

TEST_CASE("connect takes the interface with the longest prefix, a default gateway last",
          "[stack][sidecar]") {
  EchoSidecar boat{"towards", two_interfaces()};
  Net net = board(boat);
  CHECK(net.interfaces() == two_interfaces());
  const auto leads = [&](const IpAddress& peer) {
    const auto flow = net.connect({peer, 7}, patience);
    REQUIRE(flow);
    return channel_of(*flow);
  };
  CHECK(leads(at_left.address) == left);
  CHECK(leads(at_right.address) == right);
  CHECK(leads(IpAddress::v4(10, 9, 200, 1)) == right);
  CHECK(leads(IpAddress::v4(10, 0, 1, 1)) == right);
  CHECK(leads(IpAddress::v4(192, 168, 0, 1)) == left);
  const auto none = net.connect({IpAddress{{0xfd}}, 7});
  REQUIRE_FALSE(none);
  CHECK(none.error() == Reason::no_route);
  CHECK(net.counters().flows == 5);
  CHECK(board(boat, " interface=right").interfaces().size() == 1);
}

TEST_CASE("a handle of a channel that is not there names no flow", "[stack][sidecar]") {
  EchoSidecar boat{"handles", two_interfaces()};
  for (const char* more : {"", " interface=left"}) {
    Net net = board(boat, more);
    const auto flow = net.connect(at_left, patience);
    REQUIRE(flow);
    for (std::uint32_t channel = 1; channel < 8; ++channel) {
      const FlowHandle other{flow->value | channel << 29U};
      CHECK(net.send(other, pattern(1, 1)).error() == Reason::no_such_flow);
      CHECK(net.reset(other).error() == Reason::no_such_flow);
      CHECK(net.close(other).error() == Reason::no_such_flow);
      CHECK(net.flow_info(other).error() == Reason::no_such_flow);
    }
    CHECK(net.send(*flow, pattern(1, 1)));
  }
}

TEST_CASE("events of all interfaces come in turn, however many wait on one", "[stack][sidecar]") {
  EchoSidecar boat{"turns", two_interfaces()};
  Net net = board(boat);
  const auto a = net.connect(at_left, patience), b = net.connect(at_right, patience);
  REQUIRE((a && b));
  boat.pause();
  for (int i = 0; i < 40; ++i) REQUIRE(net.send(*a, pattern(1, 20)));
  for (int i = 0; i < 20; ++i) REQUIRE(net.send(*b, pattern(1, 20)));
  net.flush();
  for (int i = 0; i < 10; ++i) boat.step();
  const auto events = drain(net);
  REQUIRE(events.size() == 60);
  for (std::size_t i = 1; i < 40; ++i) {
    CHECK(events[i].kind == EventKind::message);
    CHECK(events[i].flow != events[i - 1].flow);
  }
  for (std::size_t i = 41; i < 60; ++i) CHECK(events[i].flow == *a);
}

TEST_CASE("whichever interface has an event wakes a sleeper", "[stack][sidecar]") {
  EchoSidecar boat{"wakes", two_interfaces()};
  Net net = board(boat, " spin=0us");
  const std::array<FlowHandle, 2> flows{net.connect(at_left, patience).value(),
                                        net.connect(at_right, patience).value()};
  for (std::size_t i = 0; i < 100; ++i) {
    REQUIRE(net.send(flows[i % 2], pattern(1, 20)));
    if (i % 4 < 2) {
      REQUIRE(net.wait(patience));
    } else if (net.arm()) {
      pollfd handle{net.native_handle(), POLLIN, 0};
      REQUIRE(::poll(&handle, 1, 60'000) == 1);
    }
    REQUIRE(net.wait(patience));
    const auto event = net.poll();
    REQUIRE(event);
    CHECK(event->flow == flows[i % 2]);
  }
  CHECK_FALSE(net.wait(1ms));
}

TEST_CASE("a channel that ends takes its own flows with it and leaves the others alone",
          "[stack][sidecar]") {
  EchoSidecar boat{"ends", two_interfaces()};
  Net net = board(boat, " spin=0us");
  const auto a = net.connect(at_left, patience), b = net.connect(at_right, patience);
  REQUIRE((a && b));
  boat.pause();
  const std::uint32_t lost = GENERATE(left, right);
  const FlowHandle gone = lost == left ? *a : *b, stays = lost == left ? *b : *a;
  boat.control->end(std::next(boat.sidecar.channels.begin(), lost)->first);
  boat.step();
  REQUIRE(net.wait(patience));
  auto events = drain(net);
  REQUIRE(events.size() == 1);
  CHECK(events[0].kind == EventKind::closed);
  CHECK(events[0].reason == Reason::stack_closed);
  CHECK(events[0].flow == gone);
  // A sleeper is not kept awake by what is gone.
  REQUIRE(net.arm());
  pollfd handle{net.native_handle(), POLLIN, 0};
  CHECK(::poll(&handle, 1, 0) == 0);
  CHECK_FALSE(net.wait(1ms));
  CHECK(net.counters().sleeps < 10);
  REQUIRE(net.send(stays, pattern(1, 20)));
  auto buffer = net.allocate(1000);
  REQUIRE(buffer);
  REQUIRE(net.send(stays, std::move(buffer)));
  net.flush();
  for (int i = 0; i < 4; ++i) boat.step();
  events = drain(net);
  REQUIRE(events.size() == 2);
  CHECK(events[1].message.size() == 1000);
  REQUIRE(net.interfaces().size() == 1);
  CHECK(net.interfaces()[0].name == (lost == left ? "right" : "left"));
  const auto only_there = net.connect({IpAddress::v4(10, 9, 0, 1), 7});
  CHECK(only_there.has_value());  // by the left one's gateway, where the right one is lost
  const auto by_gateway = net.connect({IpAddress::v4(8, 8, 8, 8), 7});
  if (lost == left) CHECK(by_gateway.error() == Reason::stack_closed);
}

TEST_CASE("a stack listens on all its interfaces or on none, or on the one it names",
          "[stack][sidecar]") {
  EchoSidecar boat{"listen", two_interfaces()};
  Net net = board(boat);
  const IpAddress own_left = IpAddress::v4(10, 0, 0, 1), own_right = IpAddress::v4(10, 0, 1, 1);
  // This sidecar gives a port to one channel only: the second interface refuses.
  CHECK(net.listen({7}).error() == Reason::port_in_use);
  CHECK(net.listen({.port = 7, .local = own_right}));  // so nothing was left behind
  CHECK(net.listen({.port = 7, .local = own_left}).error() == Reason::port_in_use);
  CHECK(net.listen({.port = 8, .local = at_left.address}).error() == Reason::invalid_argument);
  CHECK(net.unlisten({.port = 7, .local = own_left}).error() == Reason::invalid_argument);
  CHECK(net.unlisten({7}));
  CHECK(net.unlisten({7}).error() == Reason::invalid_argument);
}

TEST_CASE("more interfaces than a stack has channels for: one has to be named",
          "[stack][sidecar]") {
  std::vector<InterfaceInfo> many(9, two_interfaces()[0]);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].name = "nic" + std::to_string(i);
  EchoSidecar boat{"many", many};
  const auto refused = Net::open(*Net::Options::parse(boat.options()));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().find("option interface") != std::string::npos);
  CHECK(board(boat, " interface=nic8").interfaces()[0].name == "nic8");
}

}  // namespace proa
