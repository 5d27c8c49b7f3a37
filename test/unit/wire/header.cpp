// The 24-byte header against golden vectors.
#include <algorithm>
#include <array>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/wire/header.hpp>

using namespace proa;

namespace {
constexpr std::array<std::uint8_t, 24> golden{
    0x10, 0x03,              // version 1, data; acks, trailer
    0x01, 0x02,              // ack delay 258 units of 64 ns
    0xde, 0xad, 0xbe, 0x41,  // destination flow
    0x12, 0x34, 0x56, 0x02,  // source flow
    0xff, 0xff, 0xff, 0xfe,  // packet number
    0x00, 0x00, 0x00, 0x07,  // largest acknowledged
    0x00, 0x00, 0x40, 0x00,  // credit 16 KiB
};

PacketHeader golden_header() {
  PacketHeader h;
  h.type = PacketType::data;
  h.set(HeaderFlag::acks);
  h.set(HeaderFlag::trailer);
  h.ack_delay_units = 258;
  h.destination_flow = 0xdeadbe41;
  h.source_flow = 0x12345602;
  h.number = PacketNumber{0xffff'fffe};
  h.largest_acked = PacketNumber{7};
  h.credit = CreditLimit{16384};
  return h;
}
}  // namespace

TEST_CASE("the header is written as the diagram says") {
  std::array<std::byte, 24> out{};
  golden_header().write(out);
  CHECK(std::ranges::equal(out, std::as_bytes(std::span{golden})));
}

TEST_CASE("the golden header parses into its fields") {
  PacketHeader h;
  REQUIRE(PacketHeader::parse(std::as_bytes(std::span{golden}), h) == Drop::none);
  CHECK(h == golden_header());
  CHECK(h.ack_delay() == Duration{258 * 64});
}

TEST_CASE("a short header, another version and an unknown type each have their own reason") {
  auto bytes = golden;
  PacketHeader h;
  CHECK(PacketHeader::parse(std::as_bytes(std::span{bytes}.first(23)), h) == Drop::truncated);
  bytes[0] = 0x20;
  CHECK(PacketHeader::parse(std::as_bytes(std::span{bytes}), h) == Drop::bad_version);
  bytes[0] = 0x18;
  CHECK(PacketHeader::parse(std::as_bytes(std::span{bytes}), h) == Drop::bad_type);
}

TEST_CASE("ack delay saturates instead of wrapping") {
  PacketHeader h;
  h.set_ack_delay(Duration{10'000'000'000});
  CHECK(h.ack_delay_units == 0xffff);
  h.set_ack_delay(Duration{-5});
  CHECK(h.ack_delay_units == 0);
}

TEST_CASE("any header that parses writes back to the same bytes") {
  Prng prng{20261123};
  for (int i = 0; i < 10'000; ++i) {
    std::array<std::byte, 24> bytes{};
    for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
    bytes[0] = static_cast<std::byte>(0x10 | prng.below(8));
    PacketHeader h;
    REQUIRE(PacketHeader::parse(bytes, h) == Drop::none);
    std::array<std::byte, 24> back{};
    h.write(back);
    REQUIRE(back == bytes);
  }
}
