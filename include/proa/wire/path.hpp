// L1: the bodies of the packets that look for a path. They follow the 24-byte header, alone.
//
//  path_probe   | tag 4 |
//  path_result  | tag 4 | engine that received it 1 | engines of that host 1 |
#pragma once
#include <cstdint>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

struct PathProbeBody {
  static constexpr std::size_t size = 4;

  std::uint32_t tag = 0;  // random: what the result repeats

  [[nodiscard]] static constexpr Drop parse(ByteView body, PathProbeBody& out) noexcept {
    const auto r = FixedReader<size>::over(body);
    if (!r) return Drop::truncated;
    out.tag = r->be<std::uint32_t, 0>();
    return Drop::none;
  }
  constexpr void write(std::span<std::byte, size> out) const noexcept {
    FixedWriter<size>{out}.be<0>(tag);
  }
  friend constexpr bool operator==(const PathProbeBody&, const PathProbeBody&) = default;
};

struct PathResultBody {
  static constexpr std::size_t size = 6;

  std::uint32_t tag = 0;
  std::uint8_t engine = 0;   // whose queue the probe reached
  std::uint8_t engines = 1;  // how many there are: the chance of the next probe

  [[nodiscard]] static constexpr Drop parse(ByteView body, PathResultBody& out) noexcept {
    const auto r = FixedReader<size>::over(body);
    if (!r) return Drop::truncated;
    out.tag = r->be<std::uint32_t, 0>();
    out.engine = r->be<std::uint8_t, 4>();
    out.engines = r->be<std::uint8_t, 5>();
    if (out.engines == 0 || out.engine >= out.engines) return Drop::protocol_violation;
    return Drop::none;
  }
  constexpr void write(std::span<std::byte, size> out) const noexcept {
    const FixedWriter<size> w{out};
    w.be<0>(tag);
    w.be<4>(engine);
    w.be<5>(engines);
  }
  friend constexpr bool operator==(const PathResultBody&, const PathResultBody&) = default;
};

}  // namespace proa
