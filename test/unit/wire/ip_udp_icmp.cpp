// Tests of wire/ip.hpp, wire/udp.hpp and wire/icmp.hpp.
#include <algorithm>
#include <catch2/catch.hpp>
#include <proa/base/prng.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/udp.hpp>

#include "linux_frames.hpp"

using namespace proa;
using linux_frames::Exact;

namespace {

constexpr IpAddress ip_a = IpAddress::v4(10, 0, 0, 1), ip_b = IpAddress::v4(10, 0, 0, 2);

std::vector<std::byte> ip_of(std::vector<std::byte> frame) {
  frame.erase(frame.begin(), frame.begin() + 14);
  return frame;
}

/// Changes one byte of a Linux UDP packet and makes the header checksum right again.
Drop ip_drop_after(std::size_t at, std::uint8_t value) {
  auto bytes = ip_of(linux_frames::udp());
  bytes[at] = static_cast<std::byte>(value);
  store_be<std::uint16_t>(bytes.data() + 10, 0);
  const std::size_t header =
      std::min(bytes.size(), (std::to_integer<std::size_t>(bytes[0]) & 0xf) * 4);
  store_be(bytes.data() + 10, internet_checksum(ByteView{bytes}.first(header)));
  Exact exact{bytes};
  const auto ip = parse_ipv4(exact.span());
  return ip ? Drop::none : ip.error();
}

}  // namespace

TEST_CASE("a Linux UDP packet is read as sent, CE mark and checksums included",
          "[wire][ip][udp][rfc791][rfc768]") {
  const auto bytes = ip_of(linux_frames::udp());
  const auto ip = parse_ipv4(bytes);
  REQUIRE(ip);
  CHECK(ip->source == ip_a);
  CHECK(ip->destination == ip_b);
  CHECK(ip->protocol == 17);
  CHECK(ip->hops == 64);
  CHECK(ip->ecn == Ecn::experienced);
  const auto udp = parse_udp(ip->payload);
  REQUIRE(udp);
  CHECK(udp->source_port == 50'000);
  CHECK(udp->destination_port == 60'000);
  CHECK(udp->checksum == 0x1c51);
  CHECK(udp_checksum_ok(ip_a, ip_b, *udp));
  const std::string_view text{reinterpret_cast<const char*>(udp->payload().data()),
                              udp->payload().size()};
  CHECK(text == "a proa is a fast canoe!");
}

TEST_CASE("padding behind the IP packet is no payload", "[wire][ip]") {
  auto bytes = ip_of(linux_frames::udp_without_checksum());
  bytes.resize(46);  // as a switch pads short frames
  const auto ip = parse_ipv4(bytes);
  REQUIRE(ip);
  CHECK(ip->payload.size() == 11);
}

TEST_CASE("impossible IPv4 headers are refused by name", "[wire][ip][rfc791]") {
  CHECK(ip_drop_after(1, 0) == Drop::none);
  CHECK(ip_drop_after(0, 0x65) == Drop::bad_ip_header);  // version
  CHECK(ip_drop_after(0, 0x44) == Drop::bad_ip_header);  // header below 20 bytes
  CHECK(ip_drop_after(0, 0x4f) == Drop::bad_ip_header);  // header of 60 bytes in a total of 51
  CHECK(ip_drop_after(3, 19) == Drop::bad_ip_header);    // total below the header
  CHECK(ip_drop_after(3, 52) == Drop::truncated);        // total beyond the frame
  CHECK(ip_drop_after(6, 0x20) == Drop::ip_fragment);    // more fragments
  CHECK(ip_drop_after(7, 0x01) == Drop::ip_fragment);    // not the first
  CHECK(ip_drop_after(6, 0x40) == Drop::none);           // don't fragment
}

TEST_CASE("IPv4 options are skipped", "[wire][ip][rfc791]") {
  auto bytes = ip_of(linux_frames::udp());
  bytes.insert(bytes.begin() + 20, 4, std::byte{1});  // four no-operations
  bytes[0] = std::byte{0x46};
  bytes[3] = std::byte{55};
  store_be<std::uint16_t>(bytes.data() + 10, 0);
  store_be(bytes.data() + 10, internet_checksum(ByteView{bytes}.first(24)));
  const auto ip = parse_ipv4(bytes);
  REQUIRE(ip);
  CHECK(parse_udp(ip->payload)->source_port == 50'000);
}

TEST_CASE("every single-bit error of an IPv4 header is noticed", "[wire][ip][rfc1122-3.2.1.2]") {
  for (std::size_t bit = 0; bit < 160; ++bit) {
    auto bytes = ip_of(linux_frames::udp());
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    CHECK_FALSE(parse_ipv4(bytes));
  }
  auto bytes = ip_of(linux_frames::udp());
  bytes[8] ^= std::byte{1};
  CHECK(parse_ipv4(bytes).error() == Drop::bad_checksum);
  CHECK(parse_ipv4(bytes, HeaderChecksum::known_good));  // the NIC's word counts
}

TEST_CASE("every single-bit error of a UDP packet fails its checksum", "[wire][udp][rfc768]") {
  const auto good = ip_of(linux_frames::udp());
  for (std::size_t bit = 160; bit < good.size() * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto udp = parse_udp(ByteView{bytes}.subspan(20));
    if (udp) CHECK_FALSE(udp_checksum_ok(ip_a, ip_b, *udp));
  }
}

TEST_CASE("an absent UDP checksum is allowed over IPv4 only", "[wire][udp][rfc768][rfc8200-8.1]") {
  const auto bytes = ip_of(linux_frames::udp_without_checksum());
  const auto udp = parse_udp(ByteView{bytes}.subspan(20));
  REQUIRE(udp);
  CHECK(udp_checksum_ok(ip_a, ip_b, *udp));
  IpAddress six;
  six.octets[0] = 0xfd;
  CHECK_FALSE(udp_checksum_ok(six, six, *udp));
  CHECK(udp_checksum_on_wire(0) == 0xffff);
  CHECK(udp_checksum_on_wire(7) == 7);
}

TEST_CASE("UDP lengths that contradict the packet are refused", "[wire][udp]") {
  auto bytes = ip_of(linux_frames::udp());
  const auto length_gives = [&](std::uint16_t length) {
    store_be(bytes.data() + 24, length);
    Exact exact{ByteView{bytes}.subspan(20)};
    const auto udp = parse_udp(exact.span());
    return udp ? Drop::none : udp.error();
  };
  CHECK(length_gives(7) == Drop::bad_length);
  CHECK(length_gives(0) == Drop::bad_length);
  CHECK(length_gives(32) == Drop::bad_length);
  CHECK(length_gives(8) == Drop::none);
  CHECK(length_gives(31) == Drop::none);
}

TEST_CASE("the IPv4 header we write carries DF, identification 0 and TTL 64",
          "[wire][ip][rfc6864-4.1]") {
  std::array<std::byte, 20> out;
  write_ipv4(out, {ip_a, ip_b, IpProtocol::udp, Ecn::experienced, 31});
  auto linux_header = ip_of(linux_frames::udp());
  linux_header.resize(20);
  store_be<std::uint16_t>(linux_header.data() + 4, 0);  // Linux counts; nothing else differs
  store_be(linux_header.data() + 10, checksum_replace(0xe1b4, 0x4500, 0));
  CHECK(std::equal(out.begin(), out.end(), linux_header.begin(), linux_header.end()));
}

TEST_CASE("an IPv6 header is read back as written", "[wire][ip][rfc8200-3]") {
  IpAddress a, b;
  a.octets[0] = 0xfd, a.octets[15] = 1, b.octets[0] = 0xfd, b.octets[15] = 2;
  std::vector<std::byte> bytes(40 + 9);
  write_ipv6(std::span{bytes}.first<40>(), {a, b, IpProtocol::udp, Ecn::capable, 9});
  CHECK(ByteView{bytes}.first(8)[0] == std::byte{0x60});
  Exact exact{bytes};
  const auto ip = parse_ipv6(exact.span());
  REQUIRE(ip);
  CHECK(ip->source == a);
  CHECK(ip->destination == b);
  CHECK(ip->ecn == Ecn::capable);
  CHECK(ip->payload.size() == 9);
  CHECK(parse_ipv6(ByteView{bytes}.first(48)).error() == Drop::truncated);
  CHECK(parse_ipv6(ByteView{bytes}.first(39)).error() == Drop::truncated);
  bytes[0] = std::byte{0x45};
  CHECK(parse_ipv6(bytes).error() == Drop::bad_ip_header);
}

TEST_CASE("the reply to an echo of zeros has a right checksum", "[wire][icmp][rfc1624]") {
  // RFC 1624 (3): the updated checksum comes out as 0 where the one of a new sum would be 0xffff.
  std::array<std::byte, 12> bytes{std::byte{8}};
  store_be(bytes.data() + 2, internet_checksum(bytes));
  const auto request = parse_icmp(bytes);
  REQUIRE(request.has_value());
  std::array<std::byte, 12> reply{};
  write_echo_reply(reply, *request);
  CHECK(parse_icmp(reply).has_value());
}

TEST_CASE("our echo reply is the one Linux gives", "[wire][icmp][rfc792]") {
  const auto request_bytes = ip_of(linux_frames::echo_request());
  const auto request = parse_icmp(ByteView{request_bytes}.subspan(20));
  REQUIRE(request);
  CHECK(request->type == IcmpType::echo_request);
  const auto expected = ip_of(linux_frames::echo_reply());
  std::vector<std::byte> reply(expected.size() - 20);
  write_echo_reply(reply, *request);
  CHECK(std::equal(reply.begin(), reply.end(), expected.begin() + 20));
}

TEST_CASE("ICMP with a wrong checksum or a cut header is refused", "[wire][icmp]") {
  auto bytes = ip_of(linux_frames::icmp_error());
  CHECK(parse_icmp(ByteView{bytes}.subspan(20))->type == IcmpType::unreachable);
  CHECK(parse_icmp(ByteView{bytes}.subspan(20, 7)).error() == Drop::truncated);
  bytes.back() ^= std::byte{4};
  CHECK(parse_icmp(ByteView{bytes}.subspan(20)).error() == Drop::bad_checksum);
}

TEST_CASE("random and mutilated bytes are parsed without touching anything outside",
          "[wire][ip][udp][icmp]") {
  Prng prng{0x1b};
  const std::vector<std::vector<std::byte>> seeds{ip_of(linux_frames::udp()),
                                                  ip_of(linux_frames::echo_request()),
                                                  ip_of(linux_frames::icmp_error())};
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = seeds[prng.below(seeds.size())];
    for (auto changes = prng.below(4); changes > 0; --changes)
      bytes[prng.below(bytes.size())] = static_cast<std::byte>(prng.next());
    bytes.resize(prng.below(bytes.size() + 8));
    Exact exact{bytes};
    const ByteView all = exact.span();
    const auto inside = [&](ByteView part) {
      return part.empty() ||
             (part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size());
    };
    const auto ip = parse_ipv4(all, HeaderChecksum::known_good);
    if (ip) REQUIRE(inside(ip->payload));
    if (const auto six = parse_ipv6(all)) REQUIRE(inside(six->payload));
    const ByteView rest = ip ? ip->payload : all;
    if (const auto udp = parse_udp(rest)) {
      REQUIRE(inside(udp->payload()));
      static_cast<void>(udp_checksum_ok(ip_a, ip_b, *udp));
    }
    if (const auto icmp = parse_icmp(rest)) REQUIRE(inside(icmp->bytes));
  }
}
