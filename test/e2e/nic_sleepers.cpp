// e2e: stacks that sleep while a memif peer comes, goes and comes again hear of it at once.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <proa/in_process.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;
using namespace std::chrono_literals;
using Net = Stack<InProcess<DpdkNic>>;

/// Has nothing to do but to announce itself whenever its link comes up.
std::string sleep_beside_comers(const std::string& socket, Control& control) {
  Net::Options options;
  options.nic = memif(MemifRole::server, socket);
  options.interface.addresses = {{IpAddress::v4(10, 117, 0, 12), 24}};
  auto net = Net::open(options);
  if (!net) return net.error();
  control.send(Verdict{});
  while (!control.ready()) static_cast<void>(net->wait(2s));
  return "";
}

/// From when a client's link is up until the server behind it has said something; -1: never.
std::int64_t ms_until_greeted(const std::string& socket) {
  auto port = Port<DpdkNic>::open(memif(MemifRole::client, socket));
  if (!port) return -1;
  auto nic = port->take_queue();
  if (!nic) return -1;
  const auto up = steady_clock::now();
  std::array<Packet, 32> packets;
  const bool greeted = soon([&] {
    const std::size_t count = nic->rx_burst({}, packets);
    nic->release(std::span{packets}.first(count));
    return count != 0;
  });
  const auto waited = std::chrono::ceil<std::chrono::milliseconds>(steady_clock::now() - up);
  return greeted ? waited.count() : -1;
}

}  // namespace

TEST_CASE("a stack that sleeps hears within 200 ms that a memif peer has come", "[nic]") {
  const SocketPath socket{"comers"};
  auto sleeper = ChildProcess::start([&](Control& control) {
    control.send(Verdict{sleep_beside_comers(socket, control)});
    return 0;
  });
  REQUIRE(sleeper);
  REQUIRE(heard(*sleeper) == "");
  std::array<std::int64_t, 5> waits{};  // one or the other process may get no processor for a while
  for (std::int64_t& wait : waits) {
    auto comer = ChildProcess::start([&](Control& control) {
      control.send(ms_until_greeted(socket));
      return control.receive<char>(60s) ? 0 : 1;
    });
    REQUIRE(comer);
    const auto waited = comer->control().receive<std::int64_t>(60s);
    REQUIRE(waited);
    REQUIRE(*waited >= 0);
    wait = *waited;
    comer->control().send('e');
    CHECK(comer->stop(60s) == 0);
  }
  sleeper->control().send('e');
  CHECK(heard(*sleeper) == "");
  std::sort(waits.begin(), waits.end());
  CAPTURE(waits[0], waits[1], waits[2], waits[3], waits[4]);
  CHECK(waits[2] <= 200);
}
