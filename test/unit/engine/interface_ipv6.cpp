// Tests of engine/interface.hpp over IPv6.
#include <proa/base/prng.hpp>

#include "../wire/linux_frames6.hpp"
#include "interface_links.hpp"

using namespace interface_tests;
namespace six = linux_frames::six;

namespace {

InterfaceOptions six_options(const MacAddress& mac, const IpAddress& ip) {
  InterfaceOptions options = options_of(mac, ip);
  options.addresses = {{ip, 64}};
  return options;
}
Interface six_peer_b() { return make(six_options(mac_b, six_b)); }

/// An advertisement from station `mac` about `target`, as it comes to a.
std::vector<std::byte> advertisement(const MacAddress& mac, const IpAddress& target, bool solicited,
                                     bool overrides) {
  std::vector<std::byte> frame(14 + 40 + 32);
  const bool to_all = !solicited;
  const MutableBytes rest = write_link(
      frame, {to_all ? ipv6::multicast_mac(ipv6::all_nodes) : mac_a, mac}, EtherType::ipv6);
  write_neighbour(rest, target, to_all ? ipv6::all_nodes : six_a,
                  {true, solicited, overrides, target, mac});
  return frame;
}

NeighbourMessage message_in(const std::vector<std::byte>& frame, IpPacket* packet = nullptr) {
  const auto ip = parse_ipv6(ByteView{frame}.subspan(14));
  REQUIRE(ip);
  const auto icmp = parse_icmpv6(*ip);
  REQUIRE(icmp);
  const auto message = parse_neighbour(*ip, *icmp);
  REQUIRE(message);
  if (packet != nullptr) *packet = *ip;
  return *message;
}

MacAddress next_hop_of(Interface& a, HeaderTemplate& headers, Instant now) {
  REQUIRE(a.refresh(headers, now) == Reach::ready);
  const auto frame = datagram(headers, 0, UdpChecksumBy::software);
  return load_mac(std::span{frame}.first<6>());
}

}  // namespace

TEST_CASE("a Linux datagram over IPv6 arrives, and CE marks are seen", "[engine][interface]") {
  Interface b = six_peer_b();
  auto frame = six::udp();
  const Classified got = b.classify(packet_over(frame), Instant{1s});
  REQUIRE(got.kind == Arrived::datagram);
  CHECK(got.datagram.congestion_experienced);
  CHECK(got.datagram.udp_checksum_verified);
  CHECK(got.datagram.payload.data() == frame.data() + 62);
  CHECK(got.datagram.payload.size() == 23);
  CHECK(see(b, six::udp_behind_options()) == accepted);
  CHECK(see(b, six::fragment()) == refused(Drop::ip_fragment));
  CHECK(see(b, linux_frames::udp()) == refused(Drop::not_for_us));  // no IPv4 address here
  Interface four = linux_peer_b();
  CHECK(see(four, frame) == refused(Drop::not_for_us));
}

TEST_CASE("our frame for Linux's IPv6 datagram is Linux's frame but for the flow label",
          "[engine][interface][wire]") {
  Interface a = make(six_options(mac_a, six_a));
  HeaderTemplate headers = a.make_headers({six_a, six_b, ports, Ecn::experienced});
  headers.set_next_hop(mac_b);
  auto expected = six::udp();
  auto frame = expected;
  std::fill(frame.begin(), frame.begin() + 62, std::byte{0xee});
  headers.finish(frame, UdpChecksumBy::software);
  const auto label = load_be<std::uint32_t>(frame.data() + 14) & 0xf'ffffU;
  store_be(expected.data() + 14,
           (load_be<std::uint32_t>(expected.data() + 14) & 0xfff0'0000U) | label);
  CHECK(frame == expected);
}

TEST_CASE("another pair of ports has another flow label, the same pair the same",
          "[engine][interface][rfc6437-3]") {
  Interface a = make(six_options(mac_a, six_a));
  HeaderTemplate headers = a.make_headers({six_a, six_b, ports});
  const auto label = [&] {
    const auto frame = datagram(headers, 0, UdpChecksumBy::software);
    return load_be<std::uint32_t>(frame.data() + 14) & 0xf'ffffU;
  };
  const auto first = label();
  headers.set_ports({51'111, 61'111});
  CHECK(label() != first);
  headers.set_ports(ports);
  CHECK(label() == first);
}

TEST_CASE("the fast and the careful way agree about every IPv6 frame", "[engine][interface]") {
  Interface b = six_peer_b();
  auto options = six_options(mac_b, *parse_ip("2001:db8::99"));
  options.addresses.push_back({six_b, 64});
  Interface careful = make(options);
  Prng prng{0xfa57};
  int datagrams = 0;
  for (int round = 0; round < 50'000; ++round) {
    auto frame = six::udp();
    for (auto changes = prng.below(3); changes > 0; --changes)
      frame[prng.below(62)] = static_cast<std::byte>(prng.next());
    datagrams += both_accept(b, careful, std::move(frame), prng) ? 1 : 0;
  }
  CHECK(datagrams > 10'000);
}

TEST_CASE("each way to be wrong over IPv6 has its name", "[engine][interface]") {
  Interface b = six_peer_b();
  const auto after = [&](std::size_t at, std::uint8_t value) {
    auto frame = six::udp();
    frame[at] = static_cast<std::byte>(value);
    return see(b, frame);
  };
  CHECK(after(5, 0x0c) == refused(Drop::not_for_us));  // another station's MAC
  CHECK(after(0, 0x33) == refused(Drop::not_for_us));
  CHECK(after(14, 0x45) == refused(Drop::bad_ip_header));
  CHECK(after(18, 0xff) == refused(Drop::truncated));
  CHECK(after(20, 6) == refused(Drop::not_udp));
  CHECK(after(20, 50) == refused(Drop::not_udp));  // ESP
  CHECK(after(22, 0xff) == refused(Drop::bad_ip_source));
  CHECK(after(53, 9) == refused(Drop::not_for_us));  // not our address
  CHECK(after(54, 0) == refused(Drop::outside_port_range));
  CHECK(after(59, 7) == refused(Drop::bad_length));
  CHECK(after(61, 0) == refused(Drop::bad_checksum));
  auto none = six::udp();
  store_be<std::uint16_t>(none.data() + 60, 0);  // RFC 8200 (8.1): must be discarded
  CHECK(see(b, none) == refused(Drop::bad_checksum));
}

TEST_CASE("Linux's solicitation and IPv6 ping get the answers Linux gives",
          "[engine][interface][rfc4861-7.2.4][rfc4443-4.2]") {
  Interface b = six_peer_b();
  const Instant now{1s};
  CHECK(see(b, six::solicitation()) == consumed);
  CHECK(b.next_timeout() <= now);
  CHECK(control_frame(b, now) == six::advertisement());
  CHECK(see(b, six::echo_request()) == consumed);
  auto expected = six::echo_reply();
  store_be<std::uint32_t>(expected.data() + 14, 0x6000'0000);  // ours has no flow label
  CHECK(control_frame(b, now) == expected);
  CHECK(control_frame(b, now).empty());
  CHECK(b.counters().solicitations_answered == 1);
  CHECK(b.counters().echo_requests_answered == 1);
  Interface a = make(six_options(mac_a, six_a));
  CHECK(see(a, six::icmp_error()) == refused(Drop::icmp_ignored));
  CHECK(see(a, six::echo_reply()) == refused(Drop::icmp_ignored));
  CHECK(see(a, six::solicitation_by_unicast()) == consumed);  // without an option nobody is lost
  CHECK_FALSE(control_frame(a, now).empty());
}

TEST_CASE("our question is the one Linux asks", "[engine][interface][rfc4861-7.2.2]") {
  Interface a = make(six_options(mac_a, six_a));
  CHECK(a.reach(six_b, Instant{1s}) == Reach::pending);
  CHECK(control_frame(a, Instant{1s}) == six::solicitation());
  CHECK(see(a, six::advertisement()) == consumed);
  CHECK(a.reach(six_b, Instant{1s}) == Reach::ready);
}

TEST_CASE("neighbours that are new or changed by their own word are re-checked at first use",
          "[engine][interface][rfc4861-7.2.3][rfc4861-7.2.5]") {
  Interface a = make(six_options(mac_a, six_a));
  const Instant now{1s};
  HeaderTemplate headers = a.make_headers({six_a, six_b, ports});
  const MacAddress mac_c{{2, 0, 0, 0, 0, 0xc}};
  CHECK(see(a, advertisement(mac_c, six_b, true, true), now) == consumed);
  CHECK(a.neighbour_count() == 0);  // nobody asked
  static_cast<void>(a.refresh(headers, now));
  static_cast<void>(control_frame(a, now));
  CHECK(see(a, advertisement(mac_b, six_b, true, false), now) == consumed);
  CHECK(next_hop_of(a, headers, now) == mac_b);
  CHECK(control_frame(a, now).empty());
  // Without the override flag another address is not believed, but the old one is in doubt.
  CHECK(see(a, advertisement(mac_c, six_b, false, false), now) == consumed);
  CHECK(next_hop_of(a, headers, now) == mac_b);
  const auto question = control_frame(a, now);
  REQUIRE(question.size() == 86);
  CHECK(load_mac(std::span{question}.first<6>()) == mac_b);
  // With it, it is, and is asked itself.
  CHECK(see(a, advertisement(mac_c, six_b, false, true), now) == consumed);
  CHECK(next_hop_of(a, headers, now) == mac_c);
  const auto again = control_frame(a, now);
  REQUIRE(again.size() == 86);
  CHECK(load_mac(std::span{again}.first<6>()) == mac_c);
  CHECK(message_in(again).target == six_b);
}

TEST_CASE("what one engine hears of an IPv6 neighbour others believe as if they had heard it",
          "[engine][interface][rfc4861-7.2.3][rfc4861-7.2.5]") {
  const Instant now{1s};
  const MacAddress mac_c{{2, 0, 0, 0, 0, 0xc}};
  Interface c = make(six_options(mac_c, six_b));
  static_cast<void>(c.reach(six_a, now));
  const auto solicitation = control_frame(c, now);
  for (const auto& frame :
       {advertisement(mac_c, six_b, true, true), advertisement(mac_c, six_b, true, false),
        advertisement(mac_c, six_b, false, true), advertisement(mac_c, six_b, false, false),
        advertisement(mac_b, six_b, true, false), solicitation}) {
    for (const bool known : {true, false}) {
      CAPTURE(known);
      Interface heard = make(six_options(mac_a, six_a)), told = make(six_options(mac_a, six_a)),
                without = make(six_options(mac_a, six_a));
      HeaderTemplate headers = heard.make_headers({six_a, six_b, ports});
      for (Interface* one : {&heard, &told}) {
        static_cast<void>(one->reach(six_b, now));
        static_cast<void>(control_frame(*one, now));
        if (known) static_cast<void>(see(*one, advertisement(mac_b, six_b, true, true), now));
      }
      while (heard.poll_news()) {
      }
      CHECK(see(heard, frame, now) == consumed);
      while (const auto news = heard.poll_news()) {
        told.hear(*news, now);
        without.hear(*news, now);
      }
      HeaderTemplate others = headers;
      CHECK(told.refresh(others, now) == heard.refresh(headers, now));
      CHECK(next_hop_of(told, others, now) == next_hop_of(heard, headers, now));
      if (!frame.empty() && frame == solicitation)
        static_cast<void>(control_frame(heard, now));                // its answer
      CHECK(control_frame(told, now) == control_frame(heard, now));  // whether it is in doubt
      CHECK(without.neighbour_count() == 0);
    }
  }
}

TEST_CASE("an address that answers our probe, or is probed too, is counted as a conflict",
          "[engine][interface][rfc4862-5.4]") {
  auto options = six_options(mac_a, six_b);
  options.announce = true;
  Interface a = make(options);
  const Instant now{1s};
  IpPacket packet;
  const auto probe = control_frame(a, now);
  const NeighbourMessage asked = message_in(probe, &packet);
  CHECK(packet.source.is_unset());
  CHECK(asked.target == six_b);
  CHECK_FALSE(asked.link_address);
  std::vector<std::vector<std::byte>> rest;
  for (auto frame = control_frame(a, now); !frame.empty(); frame = control_frame(a, now))
    rest.push_back(frame);
  REQUIRE(rest.size() == 4);                   // link-local probe, groups, both addresses
  CHECK_FALSE(message_in(rest[2]).overrides);  // RFC 4429 (3.3): it may be another's
  CHECK(see(a, six::duplicate_probe(), now) == consumed);  // Linux takes the same address
  CHECK(a.counters().address_conflicts == 1);
  const NeighbourMessage defence = message_in(control_frame(a, now), &packet);
  CHECK(defence.advertisement);
  CHECK_FALSE(defence.solicited);
  CHECK_FALSE(defence.overrides);
  CHECK(packet.destination == ipv6::all_nodes);
  CHECK(see(a, six::unsolicited_advertisement(), now) == refused(Drop::bad_neighbour));
  CHECK(a.counters().address_conflicts == 2);
  CHECK(a.neighbour_count() == 0);
  // Later on a probe is answered and no conflict: whoever asks learns that the address is taken.
  CHECK(see(a, six::duplicate_probe(), now + 10s) == consumed);
  CHECK(message_in(control_frame(a, now + 10s)).overrides);  // no longer tentative
  CHECK(a.counters().address_conflicts == 2);
}

TEST_CASE("a router's membership query is answered as Linux reports its groups",
          "[engine][interface][rfc3810-5]") {
  Interface b = six_peer_b();
  std::vector<std::byte> query(14 + 40 + 8 + 28);
  const MutableBytes rest =
      write_link(query, {ipv6::multicast_mac(ipv6::all_nodes), mac_a}, EtherType::ipv6);
  const IpAddress router = *parse_ip("fe80::1");
  write_ipv6(rest.first<40>(),
             {router, ipv6::all_nodes, IpProtocol::icmpv6, Ecn::not_capable, 36, 1});
  rest[6] = std::byte{0};
  store_be<std::uint64_t>(rest.data() + 40, 0x3a00'0502'0000'0100U);
  rest[48] = static_cast<std::byte>(Icmpv6Type::membership_query);
  store_be(rest.data() + 50,
           detail::icmpv6_checksum(router, ipv6::all_nodes, ByteView{rest}.subspan(48)));
  CHECK(see(b, query) == consumed);
  auto expected = six::membership_report();
  CHECK(control_frame(b, Instant{1s}) == expected);
  CHECK(control_frame(b, Instant{1s}).empty());
  query[14 + 7] = std::byte{2};  // it came from farther away
  CHECK(see(b, query) == refused(Drop::icmp_ignored));
}

TEST_CASE("a link that came up is announced, and neighbours are re-checked",
          "[engine][interface]") {
  for (const Link& link : links) {
    auto options = link.options(true);
    options.announce = true;
    options.detect_duplicates = false;
    Interface a = make(options), b = make(link.options(false));
    Instant now{1s};
    HeaderTemplate headers = a.make_headers({link.a, link.b, ports});
    static_cast<void>(a.refresh(headers, now));
    talk(a, b, now);
    now += 3s;
    talk(a, b, now);
    REQUIRE(a.refresh(headers, now) == Reach::ready);
    REQUIRE(control_frame(a, now).empty());
    a.link_came_up(now, true);
    CHECK(a.refresh(headers, now) == Reach::ready);  // in use meanwhile
    bool to_everybody = false, to_b = false;
    for (auto frame = control_frame(a, now); !frame.empty(); frame = control_frame(a, now)) {
      const MacAddress to = load_mac(std::span{frame}.first<6>());
      to_everybody = to_everybody || to.is_multicast();
      to_b = to_b || to == mac_b;
    }
    CHECK(to_everybody);
    CHECK(to_b);
  }
}

TEST_CASE("random IPv6 frames never break an interface", "[engine][interface]") {
  Interface b = six_peer_b();
  Prng prng{0xbad6};
  const std::vector<std::vector<std::byte>> seeds{six::solicitation(),
                                                  six::advertisement(),
                                                  six::duplicate_probe(),
                                                  six::echo_request(),
                                                  six::udp(),
                                                  six::udp_behind_options(),
                                                  six::icmp_error(),
                                                  six::membership_report(),
                                                  six::fragment()};
  Instant now{1s};
  for (int round = 0; round < 50'000; ++round) {
    auto frame = seeds[prng.below(seeds.size())];
    for (auto changes = prng.below(4); changes > 0; --changes)
      frame[prng.below(frame.size())] = static_cast<std::byte>(prng.next());
    if (prng.chance(1, 4)) frame.resize(prng.below(frame.size() + 1));
    if (frame.size() >= 6 && prng.chance(1, 2)) store_mac(frame.data(), mac_b);
    now += 1us;
    const Seen seen = see(b, frame, now, static_cast<PacketFlag>(prng.below(8)));
    REQUIRE((seen.drop == Drop::none) == (seen.kind != Arrived::refused));
    if (prng.chance(1, 4)) control_frame(b, now);
    REQUIRE(b.neighbour_count() <= 512);
  }
}
