// e2e: messages of 0 bytes to 8 MiB go there and back between two stacks over each kind of wire,
// over IPv4 and IPv6.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

struct Run {
  std::uint32_t size, window, flows;
  std::uint64_t messages;
};

/// Every reply is compared with what was sent. Empty: all came back.
std::string echo(const Wire& wire, const Run& run, bool ipv6 = false, bool wait = false) {
  const StackSetup setup{.size = run.size,
                         .window = run.window,
                         .flows = run.flows,
                         .seconds = 1,
                         .messages = run.messages,
                         .wait = wait,
                         .ipv6 = ipv6};
  const auto outcome = measure_stacks(wire, setup);
  return outcome ? "" : outcome.error();
}

constexpr Run empty{0, 16, 3, 3'000}, one_byte{1, 16, 3, 3'000}, two_packets{2'000, 8, 3, 600},
    largest{8U << 20U, 2, 1, 4};

void echo_all(const std::string& name, std::uint32_t mtu = 1500) {
  const auto wire = Wire::make(name, mtu);
  if (!wire) FAIL(wire.error());
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    CHECK(echo(*wire, empty, ipv6) == "");
    CHECK(echo(*wire, one_byte, ipv6) == "");
    CHECK(echo(*wire, two_packets, ipv6) == "");
    CHECK(echo(*wire, largest, ipv6) == "");
  }
}

}  // namespace

TEST_CASE("messages of 0 bytes to 8 MiB cross memif", "[stack]") { echo_all("memif"); }

TEST_CASE("messages of 0 bytes to 8 MiB cross memif with zero-copy and 9000-byte packets",
          "[stack]") {
  echo_all("memif-zc", 9000);
}

TEST_CASE("messages of 0 bytes to 8 MiB cross a veth pair over af_packet", "[stack][root]") {
  echo_all("veth-af_packet");
}

TEST_CASE("messages of 0 bytes to 8 MiB cross a veth pair over af_xdp", "[stack][root]") {
  echo_all("veth-af_xdp");
}

TEST_CASE("two stacks that sleep when idle echo over memif", "[stack]") {
  const auto memif = Wire::make("memif");
  REQUIRE(memif);
  CHECK(echo(*memif, {64, 1, 1, 200}, false, true) == "");
  CHECK(echo(*memif, {64, 1, 1, 200}, true, true) == "");
}

TEST_CASE("two stacks that sleep when idle echo over veth", "[stack][root]") {
  const auto veth = Wire::make("veth-af_packet");
  REQUIRE(veth);
  CHECK(echo(*veth, {64, 1, 1, 200}, false, true) == "");
  CHECK(echo(*veth, {64, 1, 1, 200}, true, true) == "");
}
