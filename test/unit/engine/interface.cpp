// Tests of engine/interface.hpp over IPv4, untagged: frames of datagrams, in and out.
#include <proa/base/prng.hpp>

#include "interface_support.hpp"

using namespace interface_tests;

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

  for (const UdpChecksumBy how : {UdpChecksumBy::zero, UdpChecksumBy::software}) {
    std::vector<std::byte> frame(frame_header_bytes + 5, std::byte{7});
    CHECK(headers.finish(frame, how) == PacketFlag::none);
    const Classified got = b.classify(packet_over(frame), now);
    REQUIRE(got.kind == Arrived::datagram);
    CHECK(got.datagram.source == ip_a);
    CHECK(got.datagram.destination == ip_b);
    CHECK(got.datagram.ports == ports);
    CHECK(got.datagram.source_mac == mac_a);
    CHECK(got.datagram.payload.size() == 5);
    CHECK(got.datagram.udp_checksum_verified == (how == UdpChecksumBy::software));
  }
}

TEST_CASE("a Linux datagram arrives with or without checksum, and CE marks are seen",
          "[engine][interface]") {
  Interface b = linux_peer_b();
  for (auto frame : {linux_frames::udp(), linux_frames::udp_without_checksum()}) {
    for (const PacketFlag flag : {PacketFlag::none, PacketFlag::rx_ip_checksum_good,
                                  PacketFlag::rx_l4_checksum_good, PacketFlag::rx_checksum_bad})
      CHECK(see(b, frame, Instant{1s}, flag) == accepted);
    const Classified got = b.classify(packet_over(frame), Instant{1s});
    CHECK(got.datagram.congestion_experienced);
    CHECK(got.datagram.payload.size() == frame.size() - 42);
    CHECK(got.datagram.payload.data() == frame.data() + 42);
  }
}

TEST_CASE("the fast and the careful way agree about every frame", "[engine][interface]") {
  Interface b = linux_peer_b();
  // The same interface seen through its second address takes the careful way only.
  auto options = options_of(mac_b, IpAddress::v4(172, 16, 33, 99));
  options.addresses.push_back({ip_b, 24});
  Interface careful = make(options);
  Prng prng{0xfa57};
  int datagrams = 0;
  for (int round = 0; round < 50'000; ++round) {
    auto frame = prng.chance(1, 2) ? linux_frames::udp() : linux_frames::udp_without_checksum();
    for (auto changes = prng.below(3); changes > 0; --changes)
      frame[prng.below(42)] = static_cast<std::byte>(prng.next());
    if (prng.chance(1, 2)) mend(frame);
    // An ARP answer depends on the rest of the table; the frames here are never ARP requests.
    datagrams += both_accept(b, careful, std::move(frame), prng) ? 1 : 0;
  }
  CHECK(datagrams > 10'000);
}

TEST_CASE("each way to be wrong has its name", "[engine][interface]") {
  Interface b = linux_peer_b();
  const auto after = [&](std::size_t at, std::uint8_t value, bool mended = true) {
    auto frame = linux_frames::udp_without_checksum();
    frame[at] = static_cast<std::byte>(value);
    if (mended) mend(frame);
    return see(b, frame);
  };
  CHECK(after(0, 0x02) == accepted);
  CHECK(after(5, 0x0c) == refused(Drop::not_for_us));  // another station's MAC
  CHECK(after(0, 0x03) == refused(Drop::not_for_us));  // a group
  CHECK(after(6, 0x03) == refused(Drop::not_for_us));  // sent from a group
  CHECK(after(12, 0x81) == refused(Drop::unknown_ethertype));
  CHECK(after(12, 0x86) == refused(Drop::unknown_ethertype));
  CHECK(after(14, 0x55) == refused(Drop::bad_ip_header));
  CHECK(after(17, 0xff) == refused(Drop::truncated));
  CHECK(after(20, 0x20) == refused(Drop::ip_fragment));
  CHECK(after(23, 6) == refused(Drop::not_udp));
  CHECK(after(24, 0, false) == refused(Drop::bad_checksum));
  CHECK(after(26, 224) == refused(Drop::bad_ip_source));
  CHECK(after(26, 0) == refused(Drop::bad_ip_source));
  CHECK(after(33, 9) == refused(Drop::not_for_us));  // not our address
  CHECK(after(34, 0) == refused(Drop::outside_port_range));
  CHECK(after(36, 0) == refused(Drop::outside_port_range));
  CHECK(after(39, 7) == refused(Drop::bad_length));
  CHECK(after(39, 12) == refused(Drop::bad_length));
  CHECK(after(41, 1) == refused(Drop::bad_checksum));  // a checksum, and a wrong one
  CHECK(see(b, ByteView{}) == refused(Drop::truncated));
}

TEST_CASE("an IPv4 broadcast or group frame is not for us", "[engine][interface]") {
  Interface b = linux_peer_b();
  auto frame = linux_frames::udp();
  store_mac(frame.data(), mac_broadcast);
  CHECK(see(b, frame) == refused(Drop::not_for_us));
}

TEST_CASE("headers are right for every length and checksum plan", "[engine][interface][wire]") {
  // The second and third address make the header's and the pseudo header's sum carry.
  for (const IpAddress& local :
       {ip_a, IpAddress::v4(10, 0, 38, 1), IpAddress::v4(10, 0, 235, 230)}) {
    Interface a = make(options_of(mac_a, local));
    const HeaderTemplate headers = a.make_headers({local, ip_b, ports, Ecn::capable});
    Prng prng{42};
    for (std::size_t length = 0; length <= a.payload_bytes_max(true, 1514);
         length += 1 + length / 7) {
      linux_frames::Exact frame{std::vector<std::byte>(42 + length)};
      for (std::byte& b : frame.span()) b = static_cast<std::byte>(prng.next());
      const auto check = [&](UdpChecksumBy how, PacketFlag expected) {
        REQUIRE(headers.finish(frame.span(), how) == expected);
        const auto ip = parse_ipv4(frame.span().subspan(14));
        REQUIRE(ip);
        REQUIRE(ip->ecn == Ecn::capable);
        REQUIRE(ip->hops == 64);
        REQUIRE(load_be<std::uint16_t>(frame.span().data() + 20) == 0x4000);
        const auto udp = parse_udp(ip->payload);
        REQUIRE(udp);
        REQUIRE(udp->payload().size() == length);
        REQUIRE(udp->source_port == ports.source);
        REQUIRE(udp->destination_port == ports.destination);
        return *udp;
      };
      CHECK(check(UdpChecksumBy::zero, PacketFlag::none).checksum == 0);
      const auto software = check(UdpChecksumBy::software, PacketFlag::none);
      CHECK(software.checksum != 0);
      CHECK(udp_checksum_ok(local, ip_b, software));
      // What a NIC does with the offloaded one: sums the UDP packet as it stands.
      check(UdpChecksumBy::offload, PacketFlag::tx_udp_checksum);
      const auto completed = udp_checksum_on_wire(internet_checksum(frame.span().subspan(34)));
      store_be(frame.span().data() + 40, completed);
      CHECK(udp_checksum_ok(local, ip_b, *parse_udp(frame.span().subspan(34))));
    }
  }
}

TEST_CASE("our frame for Linux's datagram is Linux's frame", "[engine][interface][wire]") {
  Interface a = make(options_of(mac_a, ip_a));
  HeaderTemplate headers = a.make_headers({ip_a, ip_b, ports, Ecn::experienced});
  headers.set_next_hop(mac_b);
  auto expected = linux_frames::udp();
  auto frame = expected;
  std::fill(frame.begin(), frame.begin() + 42, std::byte{0xee});
  store_be<std::uint16_t>(expected.data() + 18, 0);  // identification: ours is 0
  mend(expected);
  headers.finish(frame, UdpChecksumBy::software);
  CHECK(frame == expected);
}

TEST_CASE("an answer to a stranger goes back the way it came", "[engine][interface]") {
  Interface b = linux_peer_b();
  auto bytes = linux_frames::udp();
  const auto got = b.classify(packet_over(bytes), Instant{1s});
  REQUIRE(got.kind == Arrived::datagram);
  std::vector<std::byte> answer(42 + 3);
  b.reply_headers(got.datagram).finish(answer, UdpChecksumBy::software);
  Interface a = make(options_of(mac_a, ip_a));
  const auto back = a.classify(packet_over(answer), Instant{1s});
  REQUIRE(back.kind == Arrived::datagram);
  CHECK(back.datagram.ports == UdpPorts{60'000, 50'000});
  CHECK(b.neighbour_count() == 0);
}

TEST_CASE("copies of headers send over other ports", "[engine][interface]") {
  Interface a = make(options_of(mac_a, ip_a));
  HeaderTemplate headers = a.make_headers({ip_a, ip_b, ports});
  HeaderTemplate probe = headers;
  probe.set_ports({51'111, 61'111});
  CHECK(headers.ports() == ports);
  std::vector<std::byte> frame(42 + 8);
  probe.finish(frame, UdpChecksumBy::software);
  const auto ip = parse_ipv4(ByteView{frame}.subspan(14));
  CHECK(udp_checksum_ok(ip_a, ip_b, *parse_udp(ip->payload)));
  CHECK(parse_udp(ip->payload)->source_port == 51'111);
}

TEST_CASE("random frames never break an interface", "[engine][interface]") {
  Interface b = linux_peer_b();
  Prng prng{0xbad};
  const std::vector<std::vector<std::byte>> seeds{
      linux_frames::arp_request(), linux_frames::arp_reply(), linux_frames::echo_request(),
      linux_frames::udp(), linux_frames::icmp_error()};
  Instant now{1s};
  for (int round = 0; round < 50'000; ++round) {
    auto frame = seeds[prng.below(seeds.size())];
    for (auto changes = prng.below(5); changes > 0; --changes)
      frame[prng.below(frame.size())] = static_cast<std::byte>(prng.next());
    if (prng.chance(1, 4)) frame.resize(prng.below(frame.size() + 1));
    if (frame.size() >= 6) store_mac(frame.data(), mac_b);
    now += 1us;
    const Seen seen = see(b, frame, now, static_cast<PacketFlag>(prng.below(8)));
    REQUIRE((seen.drop == Drop::none) == (seen.kind != Arrived::refused));
    if (prng.chance(1, 4)) control_frame(b, now);
    REQUIRE(b.neighbour_count() <= 512);
  }
}
