// bench/apps: message content both ends can derive, so that every byte of a reply is checked.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/base/prng.hpp>

namespace proa::bench {

/// Message `number` of flow `flow` starts at its own place of one fixed random pattern. The
/// pattern's length is prime: parts that arrive in the wrong place of a message never match.
class Content {
 public:
  Content() noexcept {
    Prng random{0x7072'6f61};
    for (auto& one : pattern_) one = static_cast<std::byte>(random.next32() & 0xffU);
  }

  void fill(std::uint32_t flow, std::uint64_t number, std::span<std::byte> out) const noexcept {
    std::size_t at = start(flow, number);
    for (; !out.empty(); at = 0) {
      const std::size_t run = std::min(out.size(), pattern_.size() - at);
      std::memcpy(out.data(), pattern_.data() + at, run);
      out = out.subspan(run);
    }
  }
  [[nodiscard]] bool matches(std::uint32_t flow, std::uint64_t number,
                             std::span<const std::byte> in) const noexcept {
    std::size_t at = start(flow, number);
    for (; !in.empty(); at = 0) {
      const std::size_t run = std::min(in.size(), pattern_.size() - at);
      if (std::memcmp(in.data(), pattern_.data() + at, run) != 0) return false;
      in = in.subspan(run);
    }
    return true;
  }

 private:
  static constexpr std::size_t pattern_bytes = 65'521;

  static std::size_t start(std::uint32_t flow, std::uint64_t number) noexcept {
    const std::uint64_t mixed = (number + (std::uint64_t{flow} << 40U)) * 0x9e37'79b9'7f4a'7c15U;
    return static_cast<std::size_t>(((mixed >> 32U) * pattern_bytes) >> 32U);
  }

  std::array<std::byte, pattern_bytes> pattern_{};
};

}  // namespace proa::bench
