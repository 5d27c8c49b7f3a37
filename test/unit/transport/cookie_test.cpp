// SipHash against its reference vectors, and cookies.
#include <array>

#include <catch2/catch.hpp>

#include <proa/transport/cookie.hpp>

using namespace proa;
using namespace std::chrono_literals;

TEST_CASE("SipHash-2-4 gives the published vectors") {
  // Key 00 01 .. 0f, input 00 01 .. n-1 (Aumasson and Bernstein, appendix A and vectors.h).
  const SipKey key{0x0706'0504'0302'0100U, 0x0f0e'0d0c'0b0a'0908U};
  std::array<std::byte, 15> in{};
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i);
  CHECK(siphash(key, std::span{in}.first(0)) == 0x726f'db47'dd0e'0e31U);
  CHECK(siphash(key, std::span{in}.first(1)) == 0x74f8'39c5'93dc'67fdU);
  CHECK(siphash(key, in) == 0xa129'ca61'49be'45e5U);
}

TEST_CASE("a cookie is good for its claim, this epoch and the next, and nothing else",
          "[rfc4987-3.6][rfc9000-8.1.2]") {
  const SipKey secret{1, 2};
  const CookieClaim claim{IpAddress::v4(10, 0, 0, 1), 77, 7000};
  const Instant now{1000s};
  const Cookie cookie = make_cookie(secret, claim, now);
  CHECK(cookie_is_good(secret, claim, cookie, now));
  CHECK(cookie_is_good(secret, claim, cookie, now + 8s));
  CHECK_FALSE(cookie_is_good(secret, claim, cookie, now + 16s));
  CHECK_FALSE(cookie_is_good(SipKey{1, 3}, claim, cookie, now));
  CookieClaim other = claim;
  other.client = IpAddress::v4(10, 0, 0, 2);
  CHECK_FALSE(cookie_is_good(secret, other, cookie, now));
  other = claim;
  other.client_flow = 78;
  CHECK_FALSE(cookie_is_good(secret, other, cookie, now));
  other = claim;
  other.server_port = 7001;
  CHECK_FALSE(cookie_is_good(secret, other, cookie, now));
  CHECK_FALSE(cookie_is_good(secret, claim, ByteView{cookie}.first(8), now));
  for (std::size_t bit = 0; bit < cookie_bytes * 8; ++bit) {
    Cookie forged = cookie;
    forged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    CHECK_FALSE(cookie_is_good(secret, claim, forged, now));
  }
}
