// L1: CRC-32C (Castagnoli), the integrity check of every packet. RFC 3720 12.1, RFC 3385.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <proa/base/bytes.hpp>

#if defined(__x86_64__)
#define PROA_CRC32C_X86 1
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

namespace proa {
namespace detail {

// The polynomial 0x1edc6f41 with its bits reflected: bit 31 of a value is the coefficient of x^0.
inline constexpr std::uint32_t crc32c_polynomial = 0x82f6'3b78;

constexpr std::uint32_t crc32c_times_x(std::uint32_t v) noexcept {
  return (v >> 1) ^ ((v & 1U) != 0 ? crc32c_polynomial : 0U);
}

// [k][b]: the register after byte b and k zero bytes. Eight tables take eight bytes per step.
inline constexpr auto crc32c_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t v = b;
    for (int bit = 0; bit < 8; ++bit) v = crc32c_times_x(v);
    t[0][b] = v;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t b = 0; b < 256; ++b) t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  return t;
}();

constexpr std::uint32_t crc32c_byte(std::uint32_t state, std::byte b) noexcept {
  return (state >> 8) ^ crc32c_tables[0][(state ^ std::to_integer<std::uint32_t>(b)) & 0xff];
}

/// The table form: any machine, and constant expressions.
constexpr std::uint32_t crc32c_software(std::uint32_t state, const std::byte* in,
                                        std::size_t bytes) noexcept {
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    for (; bytes >= 8; in += 8, bytes -= 8) {
      std::uint64_t word;
      std::memcpy(&word, in, 8);
      word ^= state;
      state = 0;
      for (std::size_t k = 0; k < 8; ++k) state ^= crc32c_tables[7 - k][(word >> (8 * k)) & 0xff];
    }
  }
  for (; bytes > 0; ++in, --bytes) state = crc32c_byte(state, *in);
  return state;
}

#ifdef PROA_CRC32C_X86

inline constexpr std::size_t crc32c_stream_words_max = 128;
// Below this the instruction's latency costs less than joining three streams.
inline constexpr std::size_t crc32c_streams_from_bytes = 72;

// [w]: x^(64 w - 33) mod P: multiplying by it carry-less and feeding the product to the crc
// instruction moves a register over w 8-byte words (the product of two reflected 32-bit values
// stands one bit low, and the instruction itself multiplies by x^32: 33 in all).
inline constexpr auto crc32c_skip_words = [] {
  std::array<std::uint32_t, 2 * crc32c_stream_words_max + 1> skip{};
  std::uint32_t v = 1;  // x^31
  for (std::size_t w = 1; w < skip.size(); ++w) {
    skip[w] = v;
    for (int bit = 0; bit < 64; ++bit) v = crc32c_times_x(v);
  }
  return skip;
}();

__attribute__((target("sse4.2"))) inline std::uint64_t crc32c_word(std::uint64_t state,
                                                                   const std::byte* in) noexcept {
  std::uint64_t word;
  std::memcpy(&word, in, 8);
  return _mm_crc32_u64(state, word);
}

__attribute__((target("sse4.2,pclmul"))) inline std::uint64_t crc32c_skip(
    std::uint64_t state, std::size_t words) noexcept {
  const __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(state)),
                           _mm_cvtsi32_si128(static_cast<int>(crc32c_skip_words[words])), 0);
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

/// The instruction takes 3 cycles but one can start each cycle: three streams side by side over
/// adjacent thirds, joined at the end by folding the first two into the last word of the third.
__attribute__((target("sse4.2,pclmul"))) inline std::uint32_t crc32c_hardware(
    std::uint32_t start, const std::byte* in, std::size_t bytes) noexcept {
  std::uint64_t state = start;
  while (bytes >= crc32c_streams_from_bytes) {
    const std::size_t words = std::min(bytes / 24, crc32c_stream_words_max);
    const std::byte* const first = in;
    const std::byte* const second = first + 8 * words;
    const std::byte* const third = second + 8 * words;
    std::uint64_t a = state, b = 0, c = 0;
    for (std::size_t at = 0; at + 8 < 8 * words; at += 8) {
      a = crc32c_word(a, first + at);
      b = crc32c_word(b, second + at);
      c = crc32c_word(c, third + at);
    }
    a = crc32c_word(a, second - 8);
    b = crc32c_word(b, third - 8);
    std::uint64_t last;
    std::memcpy(&last, third + 8 * (words - 1), 8);
    state = _mm_crc32_u64(c, last ^ crc32c_skip(a, 2 * words) ^ crc32c_skip(b, words));
    in += 24 * words;
    bytes -= 24 * words;
  }
  for (; bytes >= 8; in += 8, bytes -= 8) state = crc32c_word(state, in);
  auto narrow = static_cast<std::uint32_t>(state);
  if (bytes >= 4) {
    std::uint32_t word;
    std::memcpy(&word, in, 4);
    narrow = _mm_crc32_u32(narrow, word);
    in += 4;
    bytes -= 4;
  }
  for (; bytes > 0; ++in, --bytes)
    narrow = _mm_crc32_u8(narrow, std::to_integer<unsigned char>(*in));
  return narrow;
}

inline const bool crc32c_has_hardware = [] {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
}();

#endif

}  // namespace detail

/// The CRC-32C of `in`; with `before` = crc32c(a), the one of a followed by `in`.
[[nodiscard]] constexpr std::uint32_t crc32c(ByteView in, std::uint32_t before = 0) noexcept {
#ifdef PROA_CRC32C_X86
  if (!std::is_constant_evaluated() && detail::crc32c_has_hardware) [[likely]]
    return ~detail::crc32c_hardware(~before, in.data(), in.size());
#endif
  return ~detail::crc32c_software(~before, in.data(), in.size());
}

}  // namespace proa
