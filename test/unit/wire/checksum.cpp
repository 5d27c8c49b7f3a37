// Tests of wire/checksum.hpp.
#include <catch2/catch.hpp>
#include <proa/base/prng.hpp>
#include <proa/wire/checksum.hpp>
#include <vector>

#include "linux_frames.hpp"

using namespace proa;

namespace {

/// RFC 1071 as its text says: big-endian 16-bit words, end-around carry.
std::uint16_t word_by_word(ByteView in) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < in.size(); i += 2) {
    const auto high = std::to_integer<std::uint32_t>(in[i]);
    const auto low = i + 1 < in.size() ? std::to_integer<std::uint32_t>(in[i + 1]) : 0;
    sum += (high << 8) | low;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<std::uint16_t>(~sum);
}

std::vector<std::byte> random_bytes(Prng& prng, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  return bytes;
}

}  // namespace

TEST_CASE("the Internet checksum gives the sum of the standard's example", "[wire][rfc1071-3]") {
  const auto in = linux_frames::hex("00 01 f2 03 f4 f5 f6 f7");
  InternetChecksum sum;
  sum.add(in);
  CHECK(sum.partial() == 0xddf2);
  CHECK(sum.finish() == 0x220d);
}

TEST_CASE("the Internet checksum agrees with its definition for every length", "[wire][checksum]") {
  Prng prng{1071};
  for (std::size_t length = 0; length < 200; ++length) {
    linux_frames::Exact in{random_bytes(prng, length)};
    REQUIRE(internet_checksum(in.span()) == word_by_word(in.span()));
  }
  const std::vector<std::byte> ones(9000, std::byte{0xff});
  CHECK(internet_checksum(ones) == 0);
}

TEST_CASE("a checksum can be summed in even pieces and from fields", "[wire][checksum]") {
  const auto in = linux_frames::hex("12 34 56 78 9a bc de f0 11 22 33");
  InternetChecksum sum;
  sum.add16(0x1234);
  sum.add32(0x5678'9abc);
  sum.add(ByteView{in}.subspan(6));
  CHECK(sum.finish() == internet_checksum(in));
}

TEST_CASE("replacing a field gives the checksum of the changed bytes", "[wire][rfc1624-3]") {
  CHECK(checksum_replace(0xdd2f, 0x5555, 0x3285) == 0x0000);  // the RFC's own example, section 4
  Prng prng{1624};
  for (int i = 0; i < 2000; ++i) {
    auto bytes = random_bytes(prng, 40);
    const std::uint16_t before = internet_checksum(bytes);
    const auto from = load_be<std::uint16_t>(bytes.data() + 8);
    const auto to = static_cast<std::uint16_t>(prng.next());
    store_be(bytes.data() + 8, to);
    REQUIRE(checksum_replace(before, from, to) == internet_checksum(bytes));
  }
}

TEST_CASE("the pseudo header covers addresses, protocol and length",
          "[wire][rfc768][rfc8200-8.1]") {
  InternetChecksum four, by_hand_four;
  add_pseudo_header(four, IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 17, 31);
  by_hand_four.add(linux_frames::hex("0a 00 00 01 0a 00 00 02 00 11 00 1f"));
  CHECK(four.finish() == by_hand_four.finish());

  IpAddress a, b;
  a.octets[0] = 0xfd, a.octets[15] = 1, b.octets[0] = 0xfd, b.octets[15] = 2;
  InternetChecksum six, by_hand_six;
  add_pseudo_header(six, a, b, 17, 0x12345);
  by_hand_six.add(
      linux_frames::hex("fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"
                        "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 00 01 23 45 00 00 00 11"));
  CHECK(six.finish() == by_hand_six.finish());
}
