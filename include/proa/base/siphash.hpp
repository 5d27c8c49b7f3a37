// L0: SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012).
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace proa {

/// 128 secret bits.
struct SipKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

namespace detail {

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  constexpr void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  constexpr void absorb(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace detail

/// A keyed 64-bit hash nobody can predict without the key.
[[nodiscard]] constexpr std::uint64_t siphash(SipKey key, std::span<const std::byte> in) noexcept {
  detail::SipState s{key.low ^ 0x736f'6d65'7073'6575U, key.high ^ 0x646f'7261'6e64'6f6dU,
                     key.low ^ 0x6c79'6765'6e65'7261U, key.high ^ 0x7465'6462'7974'6573U};
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    word |= std::to_integer<std::uint64_t>(in[i]) << (8 * (i % 8));
    if (i % 8 != 7) continue;
    s.absorb(word);
    word = 0;
  }
  s.absorb(word | (static_cast<std::uint64_t>(in.size()) << 56U));
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace proa
