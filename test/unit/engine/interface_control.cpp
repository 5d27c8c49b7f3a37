// Tests of engine/interface.hpp over IPv4: neighbours, announcements, gateways, pings.
#include "interface_support.hpp"

using namespace interface_tests;

TEST_CASE("a Linux ARP request and ping get the answers Linux gives",
          "[engine][interface][rfc826][rfc792]") {
  Interface b = linux_peer_b();
  const Instant now{1s};
  CHECK(see(b, linux_frames::arp_request()) == consumed);
  CHECK(b.next_timeout() <= now);
  CHECK(control_frame(b, now) == linux_frames::arp_reply());
  CHECK(see(b, linux_frames::echo_request()) == consumed);
  auto expected = linux_frames::echo_reply();
  // Linux numbers its packets and leaves DF off in echo replies; ours carry 0 and DF.
  store_be<std::uint16_t>(expected.data() + 18, 0);
  store_be<std::uint16_t>(expected.data() + 20, 0x4000);
  mend(expected);
  CHECK(control_frame(b, now) == expected);
  CHECK(control_frame(b, now).empty());
  CHECK(b.next_timeout() == never);
  CHECK(b.counters().arp_requests_answered == 1);
  CHECK(b.counters().echo_requests_answered == 1);
  CHECK(see(b, linux_frames::icmp_error()) == refused(Drop::not_for_us));
  Interface a = make(options_of(mac_a, ip_a));
  CHECK(see(a, linux_frames::icmp_error()) == refused(Drop::icmp_ignored));
  CHECK(see(a, linux_frames::echo_reply()) == refused(Drop::icmp_ignored));
}

TEST_CASE("a ping as large as the MTU is answered", "[engine][interface]") {
  Interface b = linux_peer_b();
  std::vector<std::byte> frame(14 + 1500, std::byte{0x5a});
  const std::span to{frame};
  write_ethernet(to.first<14>(), mac_b, mac_a, EtherType::ipv4);
  write_ipv4(to.subspan<14, 20>(), {ip_a, ip_b, IpProtocol::icmp, Ecn::not_capable, 1480});
  to[34] = std::byte{8}, to[35] = std::byte{0};
  store_be<std::uint16_t>(frame.data() + 36, 0);
  store_be(frame.data() + 36, internet_checksum(to.subspan(34)));
  CHECK(see(b, frame) == consumed);
  const auto reply = control_frame(b, Instant{1s});
  REQUIRE(reply.size() == 1514);
  CHECK(internet_checksum(ByteView{reply}.subspan(34)) == 0);
  CHECK(internet_checksum(ByteView{reply}.subspan(14, 20)) == 0);
}

TEST_CASE("floods of pings and ARP requests are bounded, and pings leave room for ARP",
          "[engine][interface]") {
  auto options = options_of(mac_b, ip_b);
  options.control_frames_max = 8;
  options.answers_per_second = 10;
  options.answers_burst = 20;
  Interface b = make(options);
  Instant now{1s};
  int pings = 0;
  for (int i = 0; i < 100; ++i) pings += see(b, linux_frames::echo_request(), now) == consumed;
  CHECK(pings == 6);
  CHECK(see(b, linux_frames::arp_request(), now) == consumed);
  CHECK(see(b, linux_frames::echo_request(), now) == refused(Drop::control_limit));
  int sent = 0;
  while (!control_frame(b, now).empty()) ++sent;
  CHECK(sent == 7);
  int arps = 0;  // with room in the queue the rate decides
  for (int i = 0; i < 1000; ++i) {
    now += 10ms;
    arps += see(b, linux_frames::arp_request(), now) == consumed;
    while (!control_frame(b, now).empty()) {
    }
  }
  CHECK(arps >= 100);
  CHECK(arps <= 120);
}

TEST_CASE("an unsolicited reply poisons nothing, and a stranger's request for another host neither",
          "[engine][interface]") {
  Interface a = make(options_of(mac_a, ip_a));
  const Instant now{1s};
  CHECK(see(a, linux_frames::arp_reply(), now) == consumed);
  CHECK(a.neighbour_count() == 0);
  auto foreign = linux_frames::arp_request();  // 10.0.0.1 asks for 10.0.0.2: c hears it
  Interface c = make(options_of({{2, 0, 0, 0, 0, 0xc}}, IpAddress::v4(10, 0, 0, 3)));
  CHECK(see(c, foreign, now) == consumed);
  CHECK(c.neighbour_count() == 0);
  CHECK(control_frame(c, now).empty());
}

TEST_CASE("a sender outside our networks is answered but not entered", "[engine][interface]") {
  Interface b = linux_peer_b();
  auto request = linux_frames::arp_request();
  store_be(request.data() + 28, IpAddress::v4(192, 168, 0, 1).to_v4());
  CHECK(see(b, request) == consumed);
  CHECK(b.neighbour_count() == 0);
  CHECK(control_frame(b, Instant{1s}).size() == 42);
}

TEST_CASE("an address probe is answered and teaches nothing", "[engine][interface][rfc5227]") {
  Interface b = linux_peer_b();
  auto probe = linux_frames::arp_request();
  store_be<std::uint32_t>(probe.data() + 28, 0);
  CHECK(see(b, probe) == consumed);
  CHECK(b.neighbour_count() == 0);
  CHECK(control_frame(b, Instant{1s}).size() == 42);
}

TEST_CASE("another station with our address is counted, and the address defended now and then",
          "[engine][interface][rfc5227-2.4]") {
  Interface b = linux_peer_b();
  auto claim = linux_frames::arp_request();
  store_be(claim.data() + 28, ip_b.to_v4());
  Instant now{1h};
  int defences = 0;
  for (int i = 0; i < 30; ++i, now += 1s) {
    CHECK(see(b, claim, now) == refused(Drop::bad_arp));
    for (auto frame = control_frame(b, now); !frame.empty(); frame = control_frame(b, now)) {
      const auto arp = parse_arp(ByteView{frame}.subspan(14));
      REQUIRE(arp);
      CHECK(arp->sender_ip == ip_b);
      CHECK(arp->target_ip == ip_b);
      ++defences;
    }
  }
  CHECK(defences == 3);
  CHECK(b.counters().address_conflicts == 30);
  CHECK(b.neighbour_count() == 0);
}

TEST_CASE("an interface announces its addresses twice at start",
          "[engine][interface][rfc5227-2.3]") {
  auto options = options_of(mac_a, ip_a);
  options.addresses.push_back({IpAddress::v4(10, 0, 0, 7), 24});
  options.announce = true;
  Interface a = make(options);
  Instant now{1s};
  for (int round = 0; round < 2; ++round) {
    CHECK(a.next_timeout() <= now);
    for (const IpAddress own : {ip_a, IpAddress::v4(10, 0, 0, 7)}) {
      const auto frame = control_frame(a, now);
      REQUIRE(frame.size() == 42);
      CHECK(load_mac(std::span{frame}.first<6>()) == mac_broadcast);
      const auto arp = parse_arp(ByteView{frame}.subspan(14));
      CHECK(arp->operation == ArpOperation::request);
      CHECK(arp->sender_ip == own);
      CHECK(arp->target_ip == own);
    }
    CHECK(control_frame(a, now).empty());
    now += 2s;
  }
  CHECK(control_frame(a, now).empty());
  CHECK(a.next_timeout() == never);
}

TEST_CASE("a gratuitous announcement changes the MAC address flows send to",
          "[engine][interface]") {
  Interface a = make(options_of(mac_a, ip_a));
  const Instant now{1s};
  HeaderTemplate headers = a.make_headers({ip_a, ip_b, ports});
  CHECK(a.refresh(headers, now) == Reach::pending);
  CHECK(control_frame(a, now) == linux_frames::arp_request());
  CHECK(see(a, linux_frames::arp_reply(), now) == consumed);
  CHECK(a.refresh(headers, now) == Reach::ready);
  std::vector<std::byte> frame(42);
  headers.finish(frame, UdpChecksumBy::zero);
  CHECK(load_mac(std::span{frame}.first<6>()) == mac_b);

  auto moved = linux_frames::arp_reply();  // as an announcement from a new station
  const MacAddress mac_c{{2, 0, 0, 0, 0, 0xc}};
  store_mac(moved.data(), mac_broadcast);
  store_be<std::uint16_t>(moved.data() + 20, 1);
  store_mac(moved.data() + 22, mac_c);
  store_be(moved.data() + 38, ip_b.to_v4());
  CHECK(see(a, moved, now) == consumed);
  CHECK(a.refresh(headers, now) == Reach::ready);
  headers.finish(frame, UdpChecksumBy::zero);
  CHECK(load_mac(std::span{frame}.first<6>()) == mac_c);
}

TEST_CASE("a peer behind the gateway costs one resolution, of the gateway",
          "[engine][interface][requirement-10]") {
  InterfaceOptions options = options_of(mac_a, ip_a);
  options.addresses = {{ip_a, 32}};
  options.routes = {{{IpAddress::v4(0), 0}, ip_b}};
  Interface a = make(options);
  const Instant now{1s};
  for (std::uint8_t i = 3; i < 20; ++i)
    CHECK(a.reach(IpAddress::v4(10, 0, 0, i), now) == Reach::pending);
  CHECK(control_frame(a, now) == linux_frames::arp_request());
  CHECK(control_frame(a, now).empty());
  CHECK(see(a, linux_frames::arp_reply(), now) == consumed);
  for (std::uint8_t i = 3; i < 20; ++i)
    CHECK(a.reach(IpAddress::v4(10, 0, 0, i), now) == Reach::ready);
  CHECK(a.neighbour_count() == 1);
}

TEST_CASE("there is no way to groups, or without a route", "[engine][interface]") {
  Interface a = make(options_of(mac_a, ip_a));
  CHECK(a.reach(IpAddress::v4(8, 8, 8, 8), Instant{1s}) == Reach::no_route);
  CHECK(a.reach(IpAddress::v4(10, 0, 0, 255), Instant{1s}) == Reach::no_route);
  CHECK_FALSE(a.source_for(IpAddress::v4(8, 8, 8, 8)));
  CHECK(a.source_for(ip_b) == ip_a);
  CHECK(a.reach(ip_a, Instant{1s}) == Reach::ready);  // itself
  CHECK(control_frame(a, Instant{1s}).empty());
}

TEST_CASE("what one engine hears serves another that asked", "[engine][interface]") {
  Interface first = make(options_of(mac_a, ip_a)), second = make(options_of(mac_a, ip_a));
  const Instant now{1s};
  CHECK(first.reach(ip_b, now) == Reach::pending);
  CHECK(see(second, linux_frames::arp_reply(), now) == consumed);  // RSS gave it to the other one
  int told = 0;
  while (const auto news = second.poll_news()) {
    first.hear(*news, now);
    ++told;
  }
  CHECK(told == 1);
  CHECK(first.reach(ip_b, now) == Reach::ready);
  for (int i = 0; i < 100; ++i) CHECK(see(second, linux_frames::arp_reply(), now) == consumed);
  for (told = 0; second.poll_news(); ++told) {
  }
  CHECK(told == 16);  // bounded
}

TEST_CASE("of two announcements in a turn the last one counts for the other engines too",
          "[engine][interface]") {
  Interface heard = make(options_of(mac_a, ip_a)), told = make(options_of(mac_a, ip_a));
  const Instant now{1s};
  HeaderTemplate headers = told.make_headers({ip_a, ip_b, ports});
  CHECK(told.refresh(headers, now) == Reach::pending);
  for (const std::uint8_t station : {std::uint8_t{0xb}, std::uint8_t{0xc}}) {
    auto announcement = linux_frames::arp_reply();
    store_mac(announcement.data(), mac_broadcast);
    store_be<std::uint16_t>(announcement.data() + 20, 1);
    store_mac(announcement.data() + 22, MacAddress{{2, 0, 0, 0, 0, station}});
    store_be(announcement.data() + 38, ip_b.to_v4());
    CHECK(see(heard, announcement, now) == consumed);
  }
  while (const auto news = heard.poll_news()) told.hear(*news, now);
  CHECK(told.refresh(headers, now) == Reach::ready);
  std::vector<std::byte> frame(42);
  headers.finish(frame, UdpChecksumBy::zero);
  CHECK(load_mac(std::span{frame}.first<6>()) == MacAddress{{2, 0, 0, 0, 0, 0xc}});
}
