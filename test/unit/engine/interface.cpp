// Tests of engine/interface.hpp.
#include <catch2/catch.hpp>
#include <proa/engine/interface.hpp>
#include <vector>

using namespace proa;
using namespace std::chrono_literals;

namespace {

constexpr MacAddress mac_a{{2, 0, 0, 0, 0, 0xa}}, mac_b{{2, 0, 0, 0, 0, 0xb}};
constexpr IpAddress ip_a = IpAddress::v4(10, 0, 0, 1), ip_b = IpAddress::v4(10, 0, 0, 2);
constexpr UdpPorts ports{50'000, 60'000};

InterfaceOptions options_of(const MacAddress& mac, const IpAddress& ip) {
  InterfaceOptions options;
  options.mac = mac;
  options.addresses = {{ip, 24}};
  options.announce = false;
  return options;
}

Interface make(const InterfaceOptions& options) {
  auto plan = InterfacePlan::make(options);
  if (!plan) FAIL(plan.error());
  return Interface{*plan};
}

Packet packet_over(std::vector<std::byte>& bytes) {
  return Packet{bytes.data(), static_cast<std::uint32_t>(bytes.size()), 0,
                static_cast<std::uint16_t>(bytes.size()), bytes.data()};
}

std::vector<std::byte> control_frame(Interface& from, Instant now) {
  std::vector<std::byte> out(1514);
  out.resize(from.poll_control(now, out));
  return out;
}

}  // namespace

TEST_CASE("two interfaces resolve each other and pass a datagram", "[engine][interface]") {
  Interface a = make(options_of(mac_a, ip_a));
  Interface b = make(options_of(mac_b, ip_b));
  const Instant now{1s};
  HeaderTemplate headers = a.make_headers({ip_a, ip_b, ports});
  CHECK(a.refresh(headers, now) == Reach::pending);

  auto request = control_frame(a, now);
  REQUIRE(request.size() == 42);
  CHECK(b.classify(packet_over(request), now).kind == Arrived::consumed);
  auto reply = control_frame(b, now);
  REQUIRE(reply.size() == 42);
  CHECK(a.classify(packet_over(reply), now).kind == Arrived::consumed);
  CHECK(a.refresh(headers, now) == Reach::ready);
  // b learned a from the request (RFC 826).
  CHECK(b.reach(ip_a, now) == Reach::ready);

  for (const UdpChecksum how : {UdpChecksum::zero, UdpChecksum::software}) {
    std::vector<std::byte> frame(frame_header_bytes + 5, std::byte{7});
    CHECK(headers.finish(frame, how) == PacketFlag::none);
    const Classified got = b.classify(packet_over(frame), now);
    REQUIRE(got.kind == Arrived::datagram);
    CHECK(got.datagram.source == ip_a);
    CHECK(got.datagram.destination == ip_b);
    CHECK(got.datagram.ports == ports);
    CHECK(got.datagram.source_mac == mac_a);
    CHECK(got.datagram.payload.size() == 5);
    CHECK(got.datagram.udp_checksum_verified == (how == UdpChecksum::software));
  }
}
