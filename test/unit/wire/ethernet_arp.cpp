// Tests of wire/ethernet.hpp and wire/arp.hpp.
#include <catch2/catch.hpp>
#include <proa/wire/arp.hpp>
#include <proa/wire/ethernet.hpp>

#include "linux_frames.hpp"

using namespace proa;

namespace {

constexpr MacAddress mac_a{{2, 0, 0, 0, 0, 0xa}}, mac_b{{2, 0, 0, 0, 0, 0xb}};
constexpr IpAddress ip_a = IpAddress::v4(10, 0, 0, 1), ip_b = IpAddress::v4(10, 0, 0, 2);

Drop arp_drop_after(std::size_t at, std::uint8_t value) {
  auto bytes = linux_frames::arp_request();
  bytes[ethernet_header_bytes + at] = static_cast<std::byte>(value);
  const auto arp = parse_arp(ByteView{bytes}.subspan(ethernet_header_bytes));
  return arp ? Drop::none : arp.error();
}

}  // namespace

TEST_CASE("a Linux ARP request and reply are read as sent", "[wire][arp][rfc826]") {
  const auto request_bytes = linux_frames::arp_request();
  const auto frame = parse_ethernet(request_bytes);
  REQUIRE(frame);
  CHECK(frame->destination == mac_broadcast);
  CHECK(frame->source == mac_a);
  CHECK(frame->type == EtherType::arp);
  const auto request = parse_arp(frame->payload);
  REQUIRE(request);
  CHECK(request->operation == ArpOperation::request);
  CHECK(request->sender_mac == mac_a);
  CHECK(request->sender_ip == ip_a);
  CHECK(request->target_mac == MacAddress{});
  CHECK(request->target_ip == ip_b);

  const auto reply_bytes = linux_frames::arp_reply();
  const auto reply = parse_arp(ByteView{reply_bytes}.subspan(ethernet_header_bytes));
  REQUIRE(reply);
  CHECK(reply->operation == ArpOperation::reply);
  CHECK(reply->sender_mac == mac_b);
}

TEST_CASE("the ARP frames we write are the ones Linux writes", "[wire][arp][rfc826]") {
  std::vector<std::byte> out(42);
  const std::span to{out};
  write_ethernet(to.first<14>(), mac_a, mac_b, EtherType::arp);
  write_arp(to.subspan<14, 28>(), {ArpOperation::reply, mac_b, ip_b, mac_a, ip_a});
  CHECK(out == linux_frames::arp_reply());
  write_ethernet(to.first<14>(), mac_broadcast, mac_a, EtherType::arp);
  write_arp(to.subspan<14, 28>(), {ArpOperation::request, mac_a, ip_a, {}, ip_b});
  CHECK(out == linux_frames::arp_request());
}

TEST_CASE("ARP for other hardware, protocols, operations or groups is refused", "[wire][arp]") {
  CHECK(arp_drop_after(7, 1) == Drop::none);
  CHECK(arp_drop_after(1, 6) == Drop::bad_arp);     // hardware
  CHECK(arp_drop_after(2, 0x86) == Drop::bad_arp);  // protocol
  CHECK(arp_drop_after(4, 8) == Drop::bad_arp);
  CHECK(arp_drop_after(5, 16) == Drop::bad_arp);
  CHECK(arp_drop_after(7, 3) == Drop::bad_arp);     // reverse ARP
  CHECK(arp_drop_after(8, 0x03) == Drop::bad_arp);  // sender MAC is a group
  CHECK(arp_drop_after(14, 224) == Drop::bad_arp);  // sender IP is a group
  CHECK(arp_drop_after(14, 255) == Drop::bad_arp);
}

TEST_CASE("unknown EtherTypes, lengths and tags are refused by name", "[wire][ethernet]") {
  auto bytes = linux_frames::udp();
  for (const unsigned type : {0x8100U, 0x05dcU, 0x0000U, 0x88ccU}) {
    store_be(bytes.data() + 12, static_cast<std::uint16_t>(type));
    CHECK(parse_ethernet(bytes).error() == Drop::unknown_ethertype);
  }
  store_be<std::uint16_t>(bytes.data() + 12, 0x86dd);
  CHECK(parse_ethernet(bytes)->type == EtherType::ipv6);
  bytes[6] |= std::byte{1};
  CHECK(parse_ethernet(bytes).error() == Drop::not_for_us);
}

TEST_CASE("one VLAN tag is read and written, and says which VLAN",
          "[wire][ethernet][ieee802.1q-9.6]") {
  const auto untagged = linux_frames::udp();
  std::vector<std::byte> tagged(untagged.size() + 4);
  const MutableBytes behind = write_link(tagged, {mac_b, mac_a, 5}, EtherType::ipv4);
  REQUIRE(behind.size() == untagged.size() - 14);
  std::copy(untagged.begin() + 14, untagged.end(), behind.begin());
  CHECK(ByteView{tagged}.subspan(12, 6).data()[0] == std::byte{0x81});
  CHECK(load_be<std::uint16_t>(tagged.data() + 14) == 5);
  const auto frame = parse_ethernet(tagged);
  REQUIRE(frame);
  CHECK(frame->vlan == 5);
  CHECK(frame->type == EtherType::ipv4);
  CHECK(frame->payload.size() == untagged.size() - 14);
  tagged[14] = std::byte{0xe0};  // priority 7
  CHECK(parse_ethernet(tagged)->vlan == 5);
  tagged[15] = std::byte{0};  // a priority and no VLAN
  CHECK(parse_ethernet(tagged)->vlan == no_vlan);
  CHECK(parse_ethernet(untagged)->vlan == no_vlan);
  store_be<std::uint16_t>(tagged.data() + 16, 0x8100);  // two tags
  CHECK(parse_ethernet(tagged).error() == Drop::unknown_ethertype);
  for (std::size_t length = 14; length < 18; ++length)
    CHECK(parse_ethernet(linux_frames::Exact{ByteView{tagged}.first(length)}.span()).error() ==
          Drop::truncated);
  std::vector<std::byte> plain(14);
  CHECK(write_link(plain, {mac_b, mac_a}, EtherType::ipv4).empty());
  CHECK(std::equal(plain.begin(), plain.end(), untagged.begin()));
}

TEST_CASE("every cut of an Ethernet or ARP header is truncated", "[wire][ethernet][arp]") {
  const auto bytes = linux_frames::arp_request();
  for (std::size_t length = 0; length < ethernet_header_bytes; ++length)
    CHECK(parse_ethernet(linux_frames::Exact{ByteView{bytes}.first(length)}.span()).error() ==
          Drop::truncated);
  for (std::size_t length = 0; length < arp_bytes; ++length)
    CHECK(parse_arp(linux_frames::Exact{ByteView{bytes}.subspan(14, length)}.span()).error() ==
          Drop::truncated);
}
