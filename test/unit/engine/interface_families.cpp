// Tests of engine/interface.hpp over both families and both kinds of frames, tagged or not, alike.
#include "interface_links.hpp"

using namespace interface_tests;

TEST_CASE("two interfaces resolve each other and pass datagrams, over every kind of link",
          "[engine][interface][requirement-10]") {
  for (const Link& link : links) {
    CAPTURE(to_text(link.a), link.vlan);
    Interface a = make(link.options(true)), b = make(link.options(false));
    const Instant now{1s};
    HeaderTemplate headers = a.make_headers({link.a, link.b, ports});
    CHECK(headers.size() == link.headers());
    CHECK(a.refresh(headers, now) == Reach::pending);
    talk(a, b, now);
    CHECK(a.refresh(headers, now) == Reach::ready);
    CHECK(b.reach(link.a, now) == Reach::ready);  // the question told who asks
    for (const UdpChecksumBy how : {UdpChecksumBy::zero, UdpChecksumBy::software}) {
      auto frame = datagram(headers, 5, how);
      const Classified got = b.classify(packet_over(frame), now);
      REQUIRE(got.kind == Arrived::datagram);
      CHECK(got.datagram.source == link.a);
      CHECK(got.datagram.destination == link.b);
      CHECK(got.datagram.ports == ports);
      CHECK(got.datagram.source_mac == mac_a);
      CHECK(got.datagram.payload.size() == 5);
      CHECK(got.datagram.udp_checksum_verified ==
            (how == UdpChecksumBy::software || !link.a.is_v4()));
      CHECK(b.read_back(frame).source == link.a);
      CHECK(b.read_back(frame).payload.size() == 5);
      // The answer to a stranger goes back without any table.
      auto answer = datagram(b.reply_headers(got.datagram), 3, how);
      const Classified back = a.classify(packet_over(answer), now);
      REQUIRE(back.kind == Arrived::datagram);
      CHECK(back.datagram.ports == UdpPorts{ports.destination, ports.source});
    }
  }
}

TEST_CASE("headers are right for every length and checksum plan, over every kind of link",
          "[engine][interface][wire][rfc8200-8.1]") {
  for (const Link& link : links) {
    CAPTURE(to_text(link.a), link.vlan);
    Interface a = make(link.options(true));
    const HeaderTemplate headers = a.make_headers({link.a, link.b, ports, Ecn::capable});
    const std::size_t udp_at = link.headers() - 8;
    const std::uint32_t most = a.payload_bytes_max(link.a.is_v4(), 1514);
    CHECK(most + link.headers() == 1514);
    CHECK(a.payload_bytes_max(link.a.is_v4(), 9000) == (link.a.is_v4() ? 1472 : 1452));
    for (std::size_t length = 0; length <= most; length += 1 + length / 5) {
      for (const auto how :
           {UdpChecksumBy::zero, UdpChecksumBy::software, UdpChecksumBy::offload}) {
        auto frame = datagram(headers, length, how);
        if (how == UdpChecksumBy::offload)  // what a NIC does: sums the UDP packet as it stands
          store_be(frame.data() + udp_at + 6,
                   udp_checksum_on_wire(internet_checksum(ByteView{frame}.subspan(udp_at))));
        const auto link_part = parse_ethernet(frame);
        REQUIRE(link_part);
        REQUIRE(link_part->vlan == link.vlan);
        const auto ip =
            link.a.is_v4() ? parse_ipv4(link_part->payload) : parse_ipv6(link_part->payload);
        REQUIRE(ip);
        REQUIRE(ip->ecn == Ecn::capable);
        REQUIRE(ip->hops == 64);
        const auto udp = parse_udp(ip->payload);
        REQUIRE(udp);
        REQUIRE(udp->payload().size() == length);
        REQUIRE(udp_checksum_ok(link.a, link.b, *udp));
        REQUIRE((udp->checksum == 0) == (how == UdpChecksumBy::zero && link.a.is_v4()));
      }
    }
  }
}

TEST_CASE("a peer behind a gateway costs one resolution, of the gateway, in both families",
          "[engine][interface][requirement-10]") {
  for (const Link& link : links) {
    auto options = link.options(true);
    options.addresses = {{link.a, link.host_bits}};
    options.routes = {{{link.a.is_v4() ? IpAddress::v4(0) : IpAddress{}, 0}, link.b}};
    Interface a = make(options), gateway = make(link.options(false));
    const Instant now{1s};
    for (std::uint8_t i = 10; i < 20; ++i) {
      IpAddress peer = link.stranger;
      peer.octets[15] = i;
      CHECK(a.reach(peer, now) == Reach::pending);
    }
    CHECK(a.neighbour_count() == 1);
    talk(a, gateway, now);
    CHECK(a.reach(link.stranger, now) == Reach::ready);
    CHECK(a.counters().arp_requests_sent + a.counters().solicitations_sent == 1);
  }
}

TEST_CASE("a neighbour in use is re-checked by unicast and stays in use meanwhile",
          "[engine][interface][rfc4861-7.3][rfc1122-2.3.2.1]") {
  for (const Link& link : links) {
    CAPTURE(to_text(link.a), link.vlan);
    Interface a = make(link.options(true)), b = make(link.options(false));
    Instant now{1s};
    HeaderTemplate headers = a.make_headers({link.a, link.b, ports});
    static_cast<void>(a.refresh(headers, now));
    talk(a, b, now);
    CHECK(a.refresh(headers, now) == Reach::ready);
    now += 31s;
    CHECK(a.refresh(headers, now) == Reach::ready);
    auto question = control_frame(a, now);
    REQUIRE_FALSE(question.empty());
    CHECK(load_mac(std::span{question}.first<6>()) == mac_b);
    CHECK(a.refresh(headers, now) == Reach::ready);
    CHECK(see(b, question, now) == consumed);
    const auto answer = control_frame(b, now);
    CHECK(see(a, answer, now) == consumed);
    CHECK(control_frame(a, now + 10s).empty());  // answered
    CHECK(a.refresh(headers, now + 10s) == Reach::ready);
  }
}

TEST_CASE("a station that says it moved is followed at once, in both families",
          "[engine][interface][rfc5227-2.3][rfc4861-7.2.6]") {
  for (const Link& link : links) {
    CAPTURE(to_text(link.a), link.vlan);
    Interface a = make(link.options(true)), b = make(link.options(false));
    const Instant now{1s};
    HeaderTemplate headers = a.make_headers({link.a, link.b, ports});
    static_cast<void>(a.refresh(headers, now));
    talk(a, b, now);
    REQUIRE(a.refresh(headers, now) == Reach::ready);
    auto moved = link.options(false);
    moved.mac = {{2, 0, 0, 0, 0, 0xc}};
    moved.announce = true;
    moved.detect_duplicates = false;
    Interface c = make(moved);
    talk(c, a, now);
    CHECK(a.refresh(headers, now) == Reach::ready);
    const auto frame = datagram(headers, 0, UdpChecksumBy::software);
    CHECK(load_mac(std::span{frame}.first<6>()) == moved.mac);
  }
}

TEST_CASE("only the interface's own VLAN comes in, and a priority is no VLAN",
          "[engine][interface][ieee802.1q-6.9]") {
  for (const bool v4 : {true, false}) {
    const Link& plain = links[v4 ? 0 : 2];
    const Link& tagged = links[v4 ? 1 : 3];
    Interface b = make(plain.options(false)), b5 = make(tagged.options(false));
    const auto frame_with = [&](const Link& link) {
      Interface a = make(link.options(true));
      HeaderTemplate headers = a.make_headers({link.a, link.b, ports});
      headers.set_next_hop(mac_b);
      return datagram(headers, 4, UdpChecksumBy::software);
    };
    auto untagged = frame_with(plain), five = frame_with(tagged);
    CHECK(see(b, untagged) == accepted);
    CHECK(see(b5, five) == accepted);
    CHECK(see(b5, untagged) == refused(Drop::wrong_vlan));
    CHECK(see(b, five) == refused(Drop::wrong_vlan));
    five[14] = std::byte{0xe0};  // another priority, the same VLAN
    CHECK(see(b5, five) == accepted);
    five[15] = std::byte{6};
    CHECK(see(b5, five) == refused(Drop::wrong_vlan));
    five[15] = std::byte{0};  // a priority alone is as good as no tag
    CHECK(see(b, five) == accepted);
    CHECK(see(b5, five) == refused(Drop::wrong_vlan));
  }
}
