// L2: the stateless proof that a client answers at its address (the idea of RFC 4987 SYN cookies
// and RFC 9000 8.1.2 Retry), as pure arithmetic.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/base/endpoint.hpp>
#include <proa/base/siphash.hpp>
#include <proa/base/time.hpp>

namespace proa {

inline constexpr std::size_t cookie_bytes = 9;
inline constexpr Duration cookie_epoch = std::chrono::seconds{8};

/// Who asks for what. Never the UDP ports: the answer may take another path.
struct CookieClaim {
  IpAddress client;
  std::uint32_t client_flow = 0;
  std::uint16_t server_port = 0;
};

using Cookie = std::array<std::byte, cookie_bytes>;

namespace detail {

[[nodiscard]] inline std::uint64_t cookie_hash(SipKey secret, const CookieClaim& claim,
                                               std::uint64_t epoch) noexcept {
  std::array<std::byte, 30> text{};
  for (std::size_t i = 0; i < 16; ++i) text[i] = static_cast<std::byte>(claim.client.octets[i]);
  store_be(text.data() + 16, claim.client_flow);
  store_be(text.data() + 20, claim.server_port);
  store_be(text.data() + 22, epoch);
  return siphash(secret, text);
}

[[nodiscard]] inline std::uint64_t epoch_of(Instant now) noexcept {
  return static_cast<std::uint64_t>(now.time_since_epoch() / cookie_epoch);
}

}  // namespace detail

/// The epoch's low byte, then the hash: the server keeps nothing.
[[nodiscard]] inline Cookie make_cookie(SipKey secret, const CookieClaim& claim,
                                        Instant now) noexcept {
  Cookie cookie;
  const std::uint64_t epoch = detail::epoch_of(now);
  cookie[0] = static_cast<std::byte>(epoch & 0xffU);
  store_be(cookie.data() + 1, detail::cookie_hash(secret, claim, epoch));
  return cookie;
}

/// True for a cookie of this claim made in this epoch or the one before.
[[nodiscard]] inline bool cookie_is_good(SipKey secret, const CookieClaim& claim, ByteView cookie,
                                         Instant now) noexcept {
  if (cookie.size() != cookie_bytes) return false;
  const std::uint64_t epoch = detail::epoch_of(now);
  for (std::uint64_t age = 0; age <= 1 && age <= epoch; ++age) {
    if (cookie[0] != static_cast<std::byte>((epoch - age) & 0xffU)) continue;
    return load_be<std::uint64_t>(cookie.data() + 1) ==
           detail::cookie_hash(secret, claim, epoch - age);
  }
  return false;
}

}  // namespace proa
