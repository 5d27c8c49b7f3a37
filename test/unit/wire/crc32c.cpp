// Tests of wire/crc32c.hpp.
#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <proa/base/prng.hpp>
#include <proa/wire/crc32c.hpp>
#include <string_view>
#include <vector>

using namespace proa;

namespace {

std::uint32_t bit_by_bit(ByteView in) {
  std::uint32_t state = ~0U;
  for (const std::byte b : in) {
    state ^= std::to_integer<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~state;
}

constexpr auto digits = [] {
  std::array<std::byte, 9> in{};
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>('1' + i);
  return in;
}();
static_assert(crc32c(digits) == 0xe306'9283);  // the usual check value of the catalogues

}  // namespace

TEST_CASE("CRC-32C gives the values of the iSCSI standard",
          "[wire][crc32c][rfc3720-B.4][rfc3385]") {
  std::array<std::byte, 32> in{};
  CHECK(crc32c(in) == 0x8a91'36aa);
  in.fill(std::byte{0xff});
  CHECK(crc32c(in) == 0x62a8'ab43);
  for (std::size_t i = 0; i < 32; ++i) in[i] = static_cast<std::byte>(i);
  CHECK(crc32c(in) == 0x46dd'794e);
  for (std::size_t i = 0; i < 32; ++i) in[i] = static_cast<std::byte>(31 - i);
  CHECK(crc32c(in) == 0x113f'db5c);
  std::array<std::byte, 48> read_command{};
  const auto put = [&](std::size_t at, unsigned v) {
    read_command[at] = static_cast<std::byte>(v);
  };
  put(0, 0x01), put(1, 0xc0), put(16, 0x14), put(22, 0x04), put(27, 0x14), put(31, 0x18);
  put(32, 0x28), put(40, 0x02);
  CHECK(crc32c(read_command) == 0xd996'3a56);
  CHECK(crc32c({}) == 0);
}

TEST_CASE("hardware and tables agree with the definition for every length and alignment",
          "[wire][crc32c]") {
  Prng prng{0xc32c};
  std::vector<std::byte> bytes(10'016);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  const auto check = [&](std::size_t at, std::size_t length) {
    // A heap block of exactly this size, so that a sanitizer sees a read past either end.
    const auto exact = std::make_unique<std::byte[]>(length + 1);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), length, exact.get() + 1);
    const ByteView in{exact.get() + 1, length};
    const std::uint32_t expected = bit_by_bit(in);
    REQUIRE(crc32c(in) == expected);
    REQUIRE(~detail::crc32c_software(~0U, in.data(), in.size()) == expected);
  };
  for (std::size_t length = 0; length < 400; ++length) check(length % 16, length);
  for (const std::size_t length : {1232U, 1440U, 3071U, 3072U, 3073U, 3143U, 3144U, 8900U, 10'000U})
    for (std::size_t at = 0; at < 9; ++at) check(at, length);
}

TEST_CASE("a CRC-32C can be continued over the next piece", "[wire][crc32c]") {
  Prng prng{7};
  std::vector<std::byte> bytes(2000);
  for (auto& b : bytes) b = static_cast<std::byte>(prng.next());
  const ByteView in{bytes};
  for (int i = 0; i < 200; ++i) {
    const auto cut = static_cast<std::size_t>(prng.below(bytes.size() + 1));
    REQUIRE(crc32c(in.subspan(cut), crc32c(in.first(cut))) == crc32c(in));
  }
}
