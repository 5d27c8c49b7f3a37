// e2e: a thread that sleeps on a NIC's descriptors wakes when a frame comes, and only then.
#include <poll.h>

#include <catch2/catch.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

constexpr std::uint64_t rounds = 200;

/// Sleeps before every frame; a frame that does not wake it is an error.
std::string sleep_and_echo(DpdkNic& nic, Control& control) {
  bench::RawLink link{nic};
  std::array<int, 4> fds{};
  std::uint64_t slept = 0;
  while (!control.ready()) {
    while (link.echo() != 0) {
    }
    const auto count = nic.wait_descriptors(fds);
    if (count != 1) return "no descriptor to wait on";
    if (!nic.arm_wait()) continue;
    std::array<pollfd, 2> waiting{{{fds[0], POLLIN, 0}, {control.fd(), POLLIN, 0}}};
    const int woken = ::poll(waiting.data(), waiting.size(), 10'000);
    nic.disarm_wait();
    if (woken == 0) return "never woken, after " + std::to_string(slept) + " sleeps";
    ++slept;
  }
  static_cast<void>(control.receive<char>());
  return slept >= rounds / 2 ? "" : "slept only " + std::to_string(slept) + " times";
}

/// One frame at a time, each after the other end has had time to fall asleep.
std::string ping_slowly(DpdkNic& nic, Control&) {
  bench::RawLink link{nic};
  for (std::uint64_t round = 0; round < rounds; ++round) {
    ::usleep(300);  // decides nothing: an end that is still awake answers as well
    if (link.send(1, 100) != 1) return "cannot send";
    const auto deadline = steady_clock::now() + std::chrono::seconds(12);
    while (link.receive([](std::uint64_t, std::span<std::byte>) {}) == 0) {
      if (steady_clock::now() > deadline) return "no answer in round " + std::to_string(round);
      ::sched_yield();
    }
  }
  return "";
}

std::string over_veth(DpdkDriver driver) {
  auto hosts = TwoHosts::make();
  if (!hosts) return hosts.error();
  return run_pair({on_wire(driver), ping_slowly}, {on_wire(driver), sleep_and_echo}, &*hosts);
}

}  // namespace

TEST_CASE("a sleeping memif end is woken by every frame, whichever end it is", "[nic]") {
  const SocketPath socket{"wait"};
  const auto client = memif(MemifRole::client, socket), server = memif(MemifRole::server, socket);
  CHECK(run_pair({client, ping_slowly}, {server, sleep_and_echo}) == "");
  CHECK(run_pair({server, ping_slowly}, {client, sleep_and_echo}) == "");
}

TEST_CASE("a sleeping af_packet end is woken by every frame", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_packet) == "");
}

TEST_CASE("a sleeping af_xdp end is woken by every frame", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_xdp) == "");
}
