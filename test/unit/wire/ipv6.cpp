// Tests of wire/ipv6.hpp, wire/icmpv6.hpp and wire/ipv6_address.hpp.
#include <catch2/catch.hpp>
#include <proa/base/prng.hpp>
#include <proa/wire/icmpv6.hpp>
#include <proa/wire/udp.hpp>

#include "linux_frames6.hpp"

using namespace proa;
namespace six = linux_frames::six;

namespace {

constexpr MacAddress mac_a{{2, 0, 0, 0, 0, 0xa}}, mac_b{{2, 0, 0, 0, 0, 0xb}};

constexpr IpAddress ip6(std::uint8_t first, std::uint8_t second, std::uint8_t last) {
  IpAddress a;
  a.octets[0] = first, a.octets[1] = second, a.octets[15] = last;
  return a;
}
constexpr IpAddress ip_a = ip6(0xfd, 0, 1), ip_b = ip6(0xfd, 0, 2);

std::vector<std::byte> ip_of(const std::vector<std::byte>& frame) {
  return {frame.begin() + 14, frame.end()};
}

/// What the whole chain of parsers says, on exactly these bytes; checksums are made right first.
Drop judge(std::vector<std::byte> bytes, bool mend = true) {
  const auto parse = [](ByteView at) { return parse_ipv6(at); };
  if (const auto ip = parse(bytes); ip && mend && ip->payload.size() >= 8) {
    std::byte* const icmp = bytes.data() + (ip->payload.data() - bytes.data());
    store_be<std::uint16_t>(icmp + 2, 0);
    store_be(icmp + 2, detail::icmpv6_checksum(ip->source, ip->destination, ip->payload));
  }
  linux_frames::Exact exact{bytes};
  const auto ip = parse(exact.span());
  if (!ip) return ip.error();
  const auto icmp = parse_icmpv6(*ip);
  if (!icmp) return icmp.error();
  const auto message = parse_neighbour(*ip, *icmp);
  return message ? Drop::none : message.error();
}

NeighbourMessage neighbour_of(const std::vector<std::byte>& frame) {
  const auto bytes = ip_of(frame);
  const auto ip = parse_ipv6(bytes);
  REQUIRE(ip);
  const auto icmp = parse_icmpv6(*ip);
  REQUIRE(icmp);
  const auto message = parse_neighbour(*ip, *icmp);
  REQUIRE(message);
  return *message;
}

/// A packet of our own: the given extension headers and 4 bytes behind them.
std::vector<std::byte> with_extensions(std::uint8_t next, std::vector<std::uint8_t> extensions) {
  extensions.insert(extensions.end(), {1, 2, 3, 4});
  std::vector<std::byte> out(40 + extensions.size());
  write_ipv6(std::span{out}.first<40>(), {ip_a, ip_b, IpProtocol::udp, Ecn::not_capable,
                                          static_cast<std::uint16_t>(extensions.size())});
  out[6] = static_cast<std::byte>(next);
  for (std::size_t i = 0; i < extensions.size(); ++i)
    out[40 + i] = static_cast<std::byte>(extensions[i]);
  return out;
}
Drop drop_of(std::uint8_t next, const std::vector<std::uint8_t>& extensions) {
  linux_frames::Exact exact{with_extensions(next, extensions)};
  const auto ip = parse_ipv6(exact.span());
  if (ip) CHECK(ip->payload.size() == 4);
  if (ip) CHECK(ip->protocol == 17);
  return ip ? Drop::none : ip.error();
}

}  // namespace

TEST_CASE("addresses have the kind RFC 4291 gives them", "[wire][ipv6][rfc4291]") {
  CHECK(ipv6::is_link_local(ip6(0xfe, 0x80, 1)));
  CHECK(ipv6::is_link_local(ip6(0xfe, 0xbf, 1)));
  CHECK_FALSE(ipv6::is_link_local(ip6(0xfe, 0xc0, 1)));
  CHECK(ipv6::is_multicast(ipv6::all_nodes));
  CHECK(ipv6::is_unique_local(ip_a));
  CHECK_FALSE(ipv6::is_unique_local(ip6(0x20, 1, 1)));
  CHECK(ipv6::is_host(ip_a));
  for (const IpAddress& none :
       {IpAddress{}, ip6(0, 0, 1), ipv6::all_nodes, IpAddress::v4(10, 0, 0, 1)})
    CHECK_FALSE(ipv6::is_host(none));
  CHECK(common_prefix_bits(ip_a, ip_b) == 126);
  CHECK(common_prefix_bits(ip_a, ip_a) == 128);
  CHECK(common_prefix_bits(ip_a, ip6(0x7d, 0, 1)) == 0);
}

TEST_CASE("groups and link-local addresses follow as Linux derives them",
          "[wire][ipv6][rfc4291-2.7.1][rfc2464]") {
  const auto frame = six::solicitation();
  CHECK(load_mac(std::span{frame}.first<6>()) == ipv6::multicast_mac(ipv6::solicited_node(ip_b)));
  const auto bytes = ip_of(frame);
  CHECK(parse_ipv6(bytes)->destination == ipv6::solicited_node(ip_b));
  const auto unicast = ip_of(six::solicitation_by_unicast());
  CHECK(parse_ipv6(unicast)->source == ipv6::link_local_of(mac_b));
}

TEST_CASE("a Linux datagram over IPv6 is read as sent", "[wire][ipv6][udp][rfc8200-3]") {
  const auto bytes = ip_of(six::udp());
  const auto ip = parse_ipv6(bytes);
  REQUIRE(ip);
  CHECK(ip->source == ip_a);
  CHECK(ip->destination == ip_b);
  CHECK(ip->ecn == Ecn::experienced);
  CHECK(ip->hops == 64);
  const auto udp = parse_udp(ip->payload);
  REQUIRE(udp);
  CHECK(udp_checksum_ok(ip->source, ip->destination, *udp));
  CHECK(udp->payload().size() == 23);
  auto broken = bytes;
  broken.back() ^= std::byte{1};
  CHECK_FALSE(udp_checksum_ok(ip_a, ip_b, *parse_udp(ByteView{broken}.subspan(40))));
}

TEST_CASE("extension headers a host must get past are passed", "[wire][ipv6][rfc8200-4][rfc6946]") {
  const auto bytes = ip_of(six::udp_behind_options());
  const auto ip = parse_ipv6(bytes);
  REQUIRE(ip);
  CHECK(ip->protocol == static_cast<std::uint8_t>(IpProtocol::udp));
  const auto udp = parse_udp(ip->payload);
  REQUIRE(udp);
  CHECK(udp->source_port == 50'001);
  CHECK(udp_checksum_ok(ip->source, ip->destination, *udp));

  CHECK(drop_of(0, {17, 0, 5, 2, 0, 0, 1, 0}) == Drop::none);  // a router alert
  CHECK(drop_of(0, {60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}) == Drop::none);
  CHECK(drop_of(60, {17, 0, 0x1e, 4, 1, 2, 3, 4}) == Drop::none);  // unknown, to be skipped
  CHECK(drop_of(60, {17, 0, 0, 0, 0, 0, 0, 0}) == Drop::none);     // nothing but Pad1
  CHECK(drop_of(43, {17, 0, 4, 0, 0, 0, 0, 0}) == Drop::none);     // no segments left
  CHECK(drop_of(44, {17, 0, 0, 0, 1, 2, 3, 4}) == Drop::none);     // a whole packet all the same
}

TEST_CASE("extension headers nobody here understands and fragments are refused by name",
          "[wire][ipv6][rfc8200-4]") {
  const auto fragment = ip_of(six::fragment());
  CHECK(parse_ipv6(fragment).error() == Drop::ip_fragment);
  CHECK(drop_of(44, {17, 0, 0, 1, 1, 2, 3, 4}) == Drop::ip_fragment);      // more to come
  CHECK(drop_of(44, {17, 0, 0, 8, 1, 2, 3, 4}) == Drop::ip_fragment);      // not the first
  CHECK(drop_of(43, {17, 0, 0, 1, 0, 0, 0, 0}) == Drop::ip_extension);     // segments left
  CHECK(drop_of(60, {17, 0, 0x5e, 4, 1, 2, 3, 4}) == Drop::ip_extension);  // "discard" if unknown
  CHECK(drop_of(60, {17, 0, 0x9e, 4, 1, 2, 3, 4}) == Drop::ip_extension);
  CHECK(drop_of(60, {17, 0, 1, 5, 0, 0, 0, 0}) == Drop::ip_extension);  // past the header's end
  CHECK(drop_of(60, {17, 0, 1, 3, 0, 0, 0, 1}) == Drop::ip_extension);  // half an option
  CHECK(drop_of(60, {17, 2, 1, 4, 0, 0, 0, 0}) == Drop::truncated);
  // Hop-by-hop options come first or not at all; five headers are too many.
  CHECK(drop_of(60, {0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}) == Drop::ip_extension);
  std::vector<std::uint8_t> chain;
  for (int i = 0; i < 5; ++i)
    chain.insert(chain.end(), {std::uint8_t(i == 4 ? 17 : 60), 0, 1, 4, 0, 0, 0, 0});
  CHECK(drop_of(60, chain) == Drop::ip_extension);
}

TEST_CASE("our IPv6 echo reply is the one Linux gives", "[wire][icmpv6][rfc4443-4.2]") {
  const auto request_bytes = ip_of(six::echo_request());
  const auto request = parse_icmpv6(*parse_ipv6(request_bytes));
  REQUIRE(request);
  CHECK(request->type == Icmpv6Type::echo_request);
  const auto expected = ip_of(six::echo_reply());
  std::vector<std::byte> reply(expected.size() - 40);
  write_echo_reply(reply, *request);
  CHECK(std::equal(reply.begin(), reply.end(), expected.begin() + 40));
}

TEST_CASE("Linux's neighbour messages are read as sent", "[wire][icmpv6][rfc4861-4]") {
  const NeighbourMessage asked = neighbour_of(six::solicitation());
  CHECK_FALSE(asked.advertisement);
  CHECK(asked.target == ip_b);
  CHECK(asked.link_address == mac_a);
  const NeighbourMessage answer = neighbour_of(six::advertisement());
  CHECK(answer.advertisement);
  CHECK(answer.solicited);
  CHECK(answer.overrides);
  CHECK(answer.target == ip_b);
  CHECK(answer.link_address == mac_b);
  const NeighbourMessage told = neighbour_of(six::unsolicited_advertisement());
  CHECK_FALSE(told.solicited);
  CHECK(told.overrides);
  CHECK_FALSE(neighbour_of(six::duplicate_probe()).link_address);
  CHECK_FALSE(neighbour_of(six::advertisement_without_address()).link_address);
}

TEST_CASE("the neighbour messages and reports we write are the ones Linux writes",
          "[wire][icmpv6][rfc4861-4][rfc3810-5.2]") {
  std::vector<std::byte> out(200);
  const auto written = [&](std::size_t bytes) { return ByteView{out}.first(bytes); };
  const auto same = [](ByteView ours, const std::vector<std::byte>& linux_frame) {
    return std::equal(ours.begin(), ours.end(), linux_frame.begin() + 14, linux_frame.end());
  };
  NeighbourMessage ask;
  ask.target = ip_b;
  ask.link_address = mac_a;
  CHECK(same(written(write_neighbour(out, ip_a, ipv6::solicited_node(ip_b), ask)),
             six::solicitation()));
  const NeighbourMessage answer{true, true, true, ip_b, mac_b};
  CHECK(same(written(write_neighbour(out, ip_b, ip_a, answer)), six::advertisement()));
  const NeighbourMessage told{true, false, true, ip_b, mac_b};
  CHECK(same(written(write_neighbour(out, ip_b, ipv6::all_nodes, told)),
             six::unsolicited_advertisement()));
  const std::array groups{ipv6::solicited_node(ip_b),
                          ipv6::solicited_node(ipv6::link_local_of(mac_b))};
  CHECK(same(written(write_membership_report(out, ipv6::link_local_of(mac_b),
                                             MembershipRecord::joins, groups)),
             six::membership_report()));
}

TEST_CASE("neighbour messages that must not be believed are refused by name",
          "[wire][icmpv6][rfc4861-7.1]") {
  const auto after = [](std::vector<std::byte> frame, std::size_t at, std::uint8_t value) {
    auto bytes = ip_of(frame);
    bytes[at] = static_cast<std::byte>(value);
    return judge(bytes);
  };
  const auto asks = six::solicitation(), says = six::advertisement();
  CHECK(after(asks, 7, 255) == Drop::none);
  CHECK(after(asks, 7, 254) == Drop::bad_neighbour);  // it came through a router
  CHECK(after(says, 7, 64) == Drop::bad_neighbour);
  CHECK(after(asks, 41, 1) == Drop::bad_neighbour);     // code
  CHECK(after(asks, 48, 0xff) == Drop::bad_neighbour);  // the target is a group
  CHECK(after(asks, 65, 0) == Drop::bad_neighbour);     // an option of no length
  CHECK(after(asks, 65, 2) == Drop::bad_neighbour);     // and one past the end
  CHECK(after(asks, 66, 3) == Drop::bad_neighbour);     // a group's MAC address
  CHECK(after(says, 24, 0xff) == Drop::bad_neighbour);  // solicited, and yet to a group
  CHECK(after(says, 8, 0xff) == Drop::bad_neighbour);   // sent from a group
  CHECK(after(asks, 64, 7) == Drop::none);              // an unknown option is ignored
  auto probe = ip_of(six::duplicate_probe());
  CHECK(judge(probe) == Drop::none);
  probe[64] = std::byte{1};  // a probe that names a MAC address
  store_mac(probe.data() + 66, mac_a);
  CHECK(judge(probe) == Drop::bad_neighbour);
  probe = ip_of(six::duplicate_probe());
  probe[39] = std::byte{9};  // a probe to another group
  CHECK(judge(probe) == Drop::bad_neighbour);
  auto longer = ip_of(asks);  // a link-layer address of 14 octets
  longer.resize(longer.size() + 8);
  longer[65] = std::byte{2};
  store_be<std::uint16_t>(longer.data() + 4, 40);
  CHECK(judge(longer) == Drop::bad_neighbour);
  auto cut = ip_of(asks);
  cut.resize(40 + 23);
  store_be<std::uint16_t>(cut.data() + 4, 23);
  CHECK(judge(cut) == Drop::truncated);
  auto wrong = ip_of(asks);
  wrong[50] ^= std::byte{1};
  CHECK(judge(wrong, false) == Drop::bad_checksum);
}

TEST_CASE("every single-bit error of an ICMPv6 message is noticed", "[wire][icmpv6][rfc4443-2.3]") {
  const auto good = ip_of(six::advertisement());
  for (std::size_t bit = 8 * 8; bit < good.size() * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    CHECK(judge(bytes, false) != Drop::none);
  }
}

TEST_CASE("random and mutilated IPv6 packets are parsed without touching anything outside",
          "[wire][ipv6][icmpv6]") {
  Prng prng{0x6b};
  const std::vector<std::vector<std::byte>> seeds{
      ip_of(six::udp()),           ip_of(six::udp_behind_options()), ip_of(six::fragment()),
      ip_of(six::advertisement()), ip_of(six::duplicate_probe()),    ip_of(six::icmp_error())};
  int whole = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = seeds[prng.below(seeds.size())];
    for (auto changes = prng.below(4); changes > 0; --changes)
      bytes[prng.below(bytes.size())] = static_cast<std::byte>(prng.next());
    if (prng.chance(1, 2)) bytes.resize(prng.below(bytes.size() + 8));
    whole += judge(bytes, prng.chance(1, 2)) == Drop::none ? 1 : 0;
  }
  CHECK(whole > 100);
}
