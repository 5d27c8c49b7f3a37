// ICMP and ICMPv6 words about packets that were too big: what is read of them and what is refused.
#include <array>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/wire/packet_too_big.hpp>

using namespace proa;

namespace {

/// The ICMP message a router would send about a UDP packet of ours of `quoted` bytes.
std::vector<std::byte> too_big_v4(std::size_t quoted) {
  std::vector<std::byte> out(icmp_header_bytes + quoted);
  out[0] = std::byte{3};
  out[1] = std::byte{4};
  const auto ip = std::span{out}.subspan(icmp_header_bytes);
  if (quoted >= ipv4_header_bytes)
    write_ipv4(ip.first<ipv4_header_bytes>(),
               {IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), IpProtocol::udp,
                Ecn::not_capable, 1400});
  for (std::size_t i = 28; i < quoted; ++i) ip[i] = static_cast<std::byte>(i);
  return out;
}
IcmpMessage message(const std::vector<std::byte>& bytes) {
  return {IcmpType::unreachable, std::to_integer<std::uint8_t>(bytes[1]), bytes};
}

}  // namespace

TEST_CASE("Fragmentation needed names our packet by addresses and first bytes",
          "[wire][icmp][rfc1191]") {
  const auto bytes = too_big_v4(60);
  const auto quoted = parse_packet_too_big(message(bytes));
  REQUIRE(quoted);
  CHECK(quoted->source == IpAddress::v4(10, 0, 0, 1));
  CHECK(quoted->destination == IpAddress::v4(10, 0, 0, 2));
  REQUIRE(quoted->bytes.size() == 60 - 28);
  CHECK(quoted->bytes[0] == std::byte{28});
}

TEST_CASE("A quotation cut short anywhere is refused and never read past", "[wire][icmp]") {
  for (std::size_t size = 0; size < 28; ++size)
    CHECK_FALSE(parse_packet_too_big(message(too_big_v4(size))));
  CHECK(parse_packet_too_big(message(too_big_v4(28)))->bytes.empty());  // RFC 792: 8 bytes of it
}

TEST_CASE("Other codes, protocols and IP versions are not ours", "[wire][icmp]") {
  auto bytes = too_big_v4(60);
  bytes[1] = std::byte{3};  // port unreachable
  CHECK(parse_packet_too_big(message(bytes)).error() == Drop::icmp_ignored);
  bytes = too_big_v4(60);
  bytes[8 + 9] = std::byte{6};  // TCP
  CHECK(parse_packet_too_big(message(bytes)).error() == Drop::icmp_ignored);
  bytes = too_big_v4(60);
  bytes[8] = std::byte{0x65};
  CHECK(parse_packet_too_big(message(bytes)).error() == Drop::icmp_ignored);
  bytes = too_big_v4(60);
  bytes[8] = std::byte{0x4f};  // options to the end of the quotation
  CHECK(parse_packet_too_big(message(bytes)).error() == Drop::truncated);
}

TEST_CASE("ICMPv6 packet too big names our packet too", "[wire][icmp][rfc4443-3.2]") {
  std::vector<std::byte> bytes(icmpv6_header_bytes + ipv6_header_bytes + 8 + 24);
  bytes[0] = std::byte{2};
  bytes[8] = std::byte{0x60};
  bytes[8 + 6] = std::byte{17};
  bytes[8 + 8] = bytes[8 + 24] = std::byte{0xfe};
  bytes[8 + 23] = std::byte{1};
  bytes[8 + 39] = std::byte{2};
  const auto quoted =
      parse_packet_too_big(Icmpv6Message{Icmpv6Type::packet_too_big, 0, ByteView{bytes}});
  REQUIRE(quoted);
  CHECK(quoted->source.octets[15] == 1);
  CHECK(quoted->destination.octets[15] == 2);
  CHECK(quoted->bytes.size() == 24);
  const ByteView cut = ByteView{bytes}.first(icmpv6_header_bytes + ipv6_header_bytes + 7);
  CHECK_FALSE(parse_packet_too_big(Icmpv6Message{Icmpv6Type::packet_too_big, 0, cut}));
  CHECK_FALSE(parse_packet_too_big(Icmpv6Message{Icmpv6Type::unreachable, 0, ByteView{bytes}}));
}
