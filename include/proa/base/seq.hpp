// L0: serial numbers (RFC 1982). They wrap, so they have `before` and `after`, and no `<`.
#pragma once
#include <cstdint>

namespace proa {

/// A 32-bit serial number. `Tag` keeps packet numbers, message numbers and credit apart.
template <class Tag>
class Serial32 {
 public:
  constexpr Serial32() = default;
  constexpr explicit Serial32(std::uint32_t wire) noexcept : wire_(wire) {}

  [[nodiscard]] constexpr std::uint32_t wire() const noexcept { return wire_; }
  [[nodiscard]] constexpr bool before(Serial32 other) const noexcept {
    return static_cast<std::int32_t>(wire_ - other.wire_) < 0;
  }
  [[nodiscard]] constexpr bool after(Serial32 other) const noexcept { return other.before(*this); }

  /// Steps from `other` up to this one; meaningful when `other` is not after this one.
  [[nodiscard]] constexpr std::uint32_t since(Serial32 other) const noexcept {
    return wire_ - other.wire_;
  }
  [[nodiscard]] constexpr Serial32 plus(std::uint32_t steps) const noexcept {
    return Serial32{wire_ + steps};
  }
  [[nodiscard]] constexpr Serial32 minus(std::uint32_t steps) const noexcept {
    return Serial32{wire_ - steps};
  }

  friend constexpr bool operator==(Serial32, Serial32) = default;

 private:
  std::uint32_t wire_ = 0;
};

using PacketNumber = Serial32<struct PacketNumberTag>;
using MessageNumber = Serial32<struct MessageNumberTag>;
using CreditLimit = Serial32<struct CreditLimitTag>;  // cumulative bytes, modulo 2^32

static_assert(PacketNumber{0xffff'ffff}.before(PacketNumber{0}));

}  // namespace proa
