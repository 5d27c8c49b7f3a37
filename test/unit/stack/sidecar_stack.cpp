// L4 tests: Stack<Sidecar> against a sidecar that sends everything back.
#include <catch2/catch.hpp>

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>

#include <proa/sidecar.hpp>

#include "echo_sidecar.hpp"

namespace proa {
namespace {

using namespace proa::test;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // of what only a bug keeps from coming
const Endpoint somewhere{IpAddress::v4(10, 0, 0, 1), 7000};

Stack<Sidecar>::Options parsed(const EchoSidecar& boat) {
  auto options = Stack<Sidecar>::Options::parse(boat.options());
  REQUIRE(options);
  return *options;
}

template <class S>
typename S::Event next(S& net) {
  REQUIRE(net.wait(patience));
  auto event = net.poll();
  REQUIRE(event);
  return std::move(*event);
}

}  // namespace

TEST_CASE("a stack in a sidecar connects, echoes, closes", "[stack][sidecar]") {
  EchoSidecar boat{"stack"};
  Stack<Sidecar> net{parsed(boat)};
  CHECK(net.listen({7}));
  CHECK(net.listen({7}).error() == Reason::port_in_use);
  const auto flow = net.connect(somewhere, patience);
  REQUIRE(flow);
  for (const std::size_t size : {0U, 1U, 64U, 200U, 100'000U}) {
    const auto bytes = pattern(size, size);
    REQUIRE(net.send(*flow, bytes, {.notify = true}));
    auto buffer = net.allocate(size);
    REQUIRE(buffer);
    std::copy(bytes.begin(), bytes.end(), buffer.bytes().begin());
    REQUIRE(net.send(*flow, std::move(buffer)));
    for (int i = 0; i < 3; ++i) {
      const auto event = next(net);
      if (event.kind == EventKind::sent) continue;
      REQUIRE(event.kind == EventKind::message);
      REQUIRE(event.message.size() == size);
      CHECK(std::equal(bytes.begin(), bytes.end(), event.message.bytes().begin()));
    }
  }
  CHECK_FALSE(net.allocate(512 * 1024 + 1));
  const auto info = net.flow_info(*flow);
  REQUIRE(info);
  CHECK(info->messages_sent == 10);
  CHECK(info->messages_received == 10);
  REQUIRE(net.close(*flow));
  CHECK(net.drain(patience));
  const auto closed = next(net);
  CHECK(closed.kind == EventKind::closed);
  CHECK_FALSE(net.flow_info(*flow));
  CHECK_FALSE(net.wait(1ms));
  CHECK(net.counters().flows == 0);
}

TEST_CASE("messages outlive their stack and its sidecar", "[stack][sidecar]") {
  Stack<Sidecar>::Message kept;
  {
    EchoSidecar boat{"outlive"};
    Stack<Sidecar> net{parsed(boat)};
    const auto flow = net.connect(somewhere, patience);
    REQUIRE(flow);
    REQUIRE(net.send(*flow, pattern(5, 5'000)));
    kept = std::move(next(net).message);
  }
  const auto want = pattern(5, 5'000);
  REQUIRE(kept.size() == want.size());
  CHECK(std::equal(want.begin(), want.end(), kept.bytes().begin()));
}

TEST_CASE("detached messages dropped on another thread return to the sidecar", "[stack][sidecar]") {
  EchoSidecar boat{"detach"};
  Stack<Sidecar> net{parsed(boat)};
  const auto flow = net.connect(somewhere, patience);
  REQUIRE(flow);
  for (int i = 0; i < 200; ++i) {  // far more than the leases there are
    REQUIRE(net.send(*flow, pattern(1, 5'000)));
    auto event = next(net);
    REQUIRE(event.kind == EventKind::message);
    std::thread{[lease = event.message.detach()] {}}.join();
  }
}

TEST_CASE("an armed handle becomes readable when the sidecar has something", "[stack][sidecar]") {
  EchoSidecar boat{"arm"};
  Stack<Sidecar> net{parsed(boat)};
  const auto flow = net.connect(somewhere, patience);
  REQUIRE(flow);
  for (int i = 0; i < 50; ++i) {
    REQUIRE(net.send(*flow, pattern(1, 20)));
    while (true) {
      if (const auto event = net.poll()) {
        CHECK(event->kind == EventKind::message);
        break;
      }
      if (!net.arm()) continue;
      pollfd handle{net.native_handle(), POLLIN, 0};
      REQUIRE(::poll(&handle, 1, 60'000) == 1);
    }
  }
}

TEST_CASE("when the sidecar goes, every flow of its applications ends", "[stack][sidecar]") {
  auto boat = std::make_unique<EchoSidecar>("sunk");
  Stack<Sidecar> net{parsed(*boat)};
  REQUIRE(net.connect(somewhere, patience));
  REQUIRE(net.connect(somewhere, patience));
  boat.reset();
  for (int i = 0; i < 2; ++i) {
    const auto event = next(net);
    CHECK(event.kind == EventKind::closed);
    CHECK(event.reason == Reason::stack_closed);
  }
  CHECK(net.connect(somewhere).error() == Reason::stack_closed);
  CHECK(net.listen({1}).error() == Reason::stack_closed);
}

TEST_CASE("options of the sidecar placement name what is wrong", "[stack][sidecar]") {
  using Options = SidecarOptions;
  const auto good = Options::parse("socket=/tmp/a.sock name=me flows=8 spin=5us send_memory=4MiB");
  REQUIRE(good);
  CHECK(good->attach.path == "/tmp/a.sock");
  CHECK(good->attach.send_bytes == 4U << 20U);
  CHECK(good->spin == 5us);
  for (const char* bad : {"nic=x", "flows=131073", "spin=5", "send_memory=4MB",
                          "name="
                          "0123456789012345678901234567890123"})
    CHECK_FALSE(Options::parse(bad));
  CHECK(Options::parse("flows=x").error().find("line 1: flows=x: expected") == 0);
  CHECK_THROWS_AS(Stack<Sidecar>{Options::parse("socket=/nowhere/x timeout=1ms")},
                  ConfigurationError);
}

}  // namespace proa
