// Simulation: what a message holds follows from where it belongs, so that every byte can be judged.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/base/prng.hpp>

namespace proa::sim {

/// Names one message of one direction of one flow of one run.
struct ContentKey {
  std::uint64_t seed = 0;
  std::uint32_t pair = 0;
  std::uint32_t from_host = 0;
  std::uint64_t index = 0;  // 0 for the first message sent

  [[nodiscard]] std::uint64_t word0() const noexcept {
    Prng prng{seed ^ (std::uint64_t{pair} << 40U) ^ (std::uint64_t{from_host} << 56U)};
    return Prng{prng.next() + index}.next();
  }
};

/// The word at byte offset 8 * `at`.
[[nodiscard]] inline std::uint64_t content_word(std::uint64_t word0, std::uint64_t at) noexcept {
  std::uint64_t z = (word0 + at) * 0x9e37'79b9'7f4a'7c15U;
  return z ^ (z >> 29U);
}

inline void fill_content(const ContentKey& key, std::span<std::byte> out) noexcept {
  const std::uint64_t word0 = key.word0();
  std::size_t at = 0;
  for (; at + 8 <= out.size(); at += 8) {
    const std::uint64_t word = content_word(word0, at / 8);
    std::memcpy(out.data() + at, &word, 8);
  }
  const std::uint64_t word = content_word(word0, at / 8);
  if (at < out.size()) std::memcpy(out.data() + at, &word, out.size() - at);
}

/// The offset of the first wrong byte, or the size if all are right.
[[nodiscard]] inline std::size_t first_wrong(const ContentKey& key,
                                             std::span<const std::byte> in) noexcept {
  const std::uint64_t word0 = key.word0();
  for (std::size_t at = 0; at < in.size(); at += 8) {
    const std::uint64_t word = content_word(word0, at / 8);
    const std::size_t n = std::min<std::size_t>(8, in.size() - at);
    if (std::memcmp(in.data() + at, &word, n) == 0) continue;
    std::byte right[8];
    std::memcpy(right, &word, 8);
    std::size_t i = 0;
    while (in[at + i] == right[i]) ++i;
    return at + i;
  }
  return in.size();
}

}  // namespace proa::sim
