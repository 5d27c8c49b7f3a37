// L0: a small seeded generator for jitter, flow ids and the simulator. Not for secrets.
#pragma once
#include <cstdint>

namespace proa {

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
class Prng {
 public:
  constexpr explicit Prng(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e37'79b9'7f4a'7c15U);
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9U;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebU;
    return z ^ (z >> 31);
  }
  constexpr std::uint32_t next32() noexcept { return static_cast<std::uint32_t>(next() >> 32); }

  /// Uniform in [0, bound); the bias of the modulus is below 2^-32 for 32-bit bounds.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }

  /// True with probability `parts` / `whole`.
  constexpr bool chance(std::uint64_t parts, std::uint64_t whole) noexcept {
    return below(whole) < parts;
  }

 private:
  std::uint64_t state_;
};

}  // namespace proa
