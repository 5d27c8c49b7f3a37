// L0: strong units. A number that counts bytes cannot be passed where packets are counted.
#pragma once
#include <compare>
#include <concepts>
#include <cstdint>

namespace proa {

template <class Tag, class Rep>
struct Strong {
  Rep value{};

  friend constexpr auto operator<=>(Strong, Strong) = default;
  friend constexpr Strong operator+(Strong a, Strong b) noexcept {
    return {static_cast<Rep>(a.value + b.value)};
  }
  friend constexpr Strong operator-(Strong a, Strong b) noexcept {
    return {static_cast<Rep>(a.value - b.value)};
  }
  constexpr Strong& operator+=(Strong other) noexcept { return *this = *this + other; }
  constexpr Strong& operator-=(Strong other) noexcept { return *this = *this - other; }
};

using ByteCount = Strong<struct ByteTag, std::uint64_t>;
using PacketCount = Strong<struct PacketTag, std::uint32_t>;
static_assert(!std::equality_comparable_with<ByteCount, PacketCount>);

[[nodiscard]] constexpr ByteCount kib(std::uint64_t n) noexcept { return {n << 10}; }
[[nodiscard]] constexpr ByteCount mib(std::uint64_t n) noexcept { return {n << 20}; }

}  // namespace proa
