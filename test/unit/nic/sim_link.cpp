// What the simulated cables and the switch do to frames: bursts of loss, CE, partitions, clogging.
#include <catch2/catch.hpp>

#include <proa/nic/sim.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>

#include "frames.hpp"

using namespace proa;
using namespace proa::test;

namespace {

/// A frame with a valid IPv4 header of that ECN codepoint.
std::vector<std::byte> ip4(Ecn ecn) {
  auto frame = udp4(mac_a, mac_b, 1, 2, 3, 4);
  write_ipv4(std::span{frame}.subspan<14, 20>(),
             {IpAddress::v4(1), IpAddress::v4(2), IpProtocol::udp, ecn, 26});
  return frame;
}
Ecn ecn_of(std::span<const std::byte> frame) {
  return static_cast<Ecn>(std::to_integer<unsigned>(frame[15]) & 3U);
}
bool checksum_holds(std::span<const std::byte> frame) {
  InternetChecksum sum;
  sum.add(frame.subspan(14, 20));
  return sum.finish() == 0;
}
SimPortOptions linked(const SimLinkOptions& link) {
  SimPortOptions options;
  options.link = link;
  return options;
}
/// Sends `count` numbered frames from a to b, far apart; which of them arrived.
std::vector<bool> arrived(Pair& net, std::uint32_t count) {
  std::vector<bool> out(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Instant at = net.network.now() + std::chrono::microseconds{1};
    REQUIRE(send(net.a, at, ethernet(mac_a, mac_b, 64, i)));
    for (const auto& frame : receive(net.b, at + std::chrono::microseconds{50}))
      out[mark_of(frame)] = true;
  }
  return out;
}

}  // namespace

TEST_CASE("losses come in bursts of the mean length asked for", "[nic][sim]") {
  SimLinkOptions link;
  link.to_port = {.enter_ppm = 10'000, .leave_ppm = 250'000};
  Pair net(3, linked(link));
  const auto got = arrived(net, 40'000);
  std::uint32_t lost = 0, bursts = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    lost += got[i] ? 0 : 1;
    bursts += !got[i] && (i == 0 || got[i - 1]) ? 1 : 0;
  }
  // The bad state lasts 4 frames in the mean and begins once in 100 good ones.
  CHECK(static_cast<double>(lost) / bursts == Approx(4).margin(0.6));
  CHECK(static_cast<double>(lost) / 40'000 == Approx(0.01 / (0.01 + 0.25)).margin(0.006));
  CHECK(net.network.counters().link_losses == lost);
  CHECK(net.network.buffers_made() == net.network.buffers_free());
}

TEST_CASE("each direction of a link loses on its own", "[nic][sim]") {
  Pair net;
  SimLinkOptions deaf;
  deaf.to_port = {.enter_ppm = 1'000'000, .leave_ppm = 0};
  net.port_a.set_link(deaf);
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_b)));
  CHECK(receive(net.b, at_us(100)).size() == 1);
  REQUIRE(send(net.b, at_us(100), ethernet(mac_b, mac_a)));
  CHECK(receive(net.a, at_us(200)).empty());
  net.port_a.set_link({});
  REQUIRE(send(net.b, at_us(200), ethernet(mac_b, mac_a)));
  CHECK(receive(net.a, at_us(300)).size() == 1);
}

TEST_CASE("a queue longer than its mark gives CE to the ECN-capable, with a valid checksum",
          "[nic][sim][rfc3168-5]") {
  SimLinkOptions link;
  link.mark_above = ByteCount{150};
  Pair net(1, linked(link));
  net.port_a.set_link({.bits_per_second = 0});  // a burst reaches the switch at once
  for (const Ecn ecn : {Ecn::capable, Ecn::capable_1, Ecn::not_capable, Ecn::experienced})
    for (int i = 0; i < 4; ++i) REQUIRE(send(net.a, start, ip4(ecn)));
  const auto got = receive(net.b, at_us(100));
  REQUIRE(got.size() == 16);
  CHECK(ecn_of(got[0]) == Ecn::capable);  // it found an empty queue
  CHECK(ecn_of(got[3]) == Ecn::experienced);
  CHECK(ecn_of(got[7]) == Ecn::experienced);
  CHECK(ecn_of(got[8]) == Ecn::not_capable);
  for (const auto& frame : got) CHECK(checksum_holds(frame));
  CHECK(net.network.counters().marked > 8);
}

TEST_CASE("CE in an IPv6 header is where RFC 8200 has its traffic class", "[nic][sim]") {
  auto frame = ethernet(mac_a, mac_b, 14 + 40);
  store_be<std::uint16_t>(frame.data() + 12, std::uint16_t{0x86dd});
  const auto header = std::span{frame}.subspan<14, 40>();
  write_ipv6(header, {IpAddress::v4(1), IpAddress::v4(2), IpProtocol::udp, Ecn::capable, 0});
  CHECK(detail::sim_mark_ce(frame));
  auto marked = frame;
  write_ipv6(std::span{marked}.subspan<14, 40>(),
             {IpAddress::v4(1), IpAddress::v4(2), IpProtocol::udp, Ecn::experienced, 0});
  CHECK(frame == marked);
  write_ipv6(header, {IpAddress::v4(1), IpAddress::v4(2), IpProtocol::udp, Ecn::not_capable, 0});
  CHECK_FALSE(detail::sim_mark_ce(frame));
}

TEST_CASE("a cut stops one direction of one pair of ports", "[nic][sim]") {
  Pair net;
  net.network.set_path_faults({{net.port_a.index(), net.port_b.index(), true, {}}});
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_b)));
  REQUIRE(send(net.b, start, ethernet(mac_b, mac_a)));
  CHECK(receive(net.b, at_us(100)).empty());
  CHECK(receive(net.a, at_us(100)).size() == 1);
  CHECK(net.network.counters().cut == 1);
  net.network.set_path_faults({});
  REQUIRE(send(net.a, at_us(100), ethernet(mac_a, mac_b)));
  CHECK(receive(net.b, at_us(200)).size() == 1);
}

TEST_CASE("a clogged path keeps its frames until it is free, in their order", "[nic][sim]") {
  Pair net;
  net.network.set_path_faults({{net.port_a.index(), net.port_b.index(), false, at_us(500)}});
  for (std::uint32_t i = 0; i < 3; ++i)
    REQUIRE(send(net.a, at_us(i), ethernet(mac_a, mac_b, 64, i)));
  REQUIRE(send(net.b, at_us(2), ethernet(mac_b, mac_a)));
  CHECK(receive(net.a, at_us(100)).size() == 1);
  CHECK(receive(net.b, at_us(500)).empty());
  const auto got = receive(net.b, at_us(600));
  REQUIRE(got.size() == 3);
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(mark_of(got[i]) == i);
}
