// L0: big-endian loads and stores with bounds checked at compile time where the size is fixed.
#pragma once
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace proa {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

namespace detail {

template <std::unsigned_integral T>
constexpr T to_big(T v) noexcept {
  if constexpr (sizeof(T) == 1 || std::endian::native == std::endian::big)
    return v;
  else if constexpr (sizeof(T) == 2)
    return __builtin_bswap16(v);
  else if constexpr (sizeof(T) == 4)
    return __builtin_bswap32(v);
  else
    return __builtin_bswap64(v);
}

}  // namespace detail

/// Loads a big-endian integer; the caller guarantees sizeof(T) readable bytes at `from`.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_be(const std::byte* from) noexcept {
  if (std::is_constant_evaluated()) {
    T v{};
    for (std::size_t i = 0; i < sizeof(T); ++i)
      v = static_cast<T>((v << (sizeof(T) > 1 ? 8 : 0)) | std::to_integer<T>(from[i]));
    return v;
  }
  T v;
  std::memcpy(&v, from, sizeof v);
  return detail::to_big(v);
}

/// Stores a big-endian integer; the caller guarantees sizeof(T) writable bytes at `to`.
template <std::unsigned_integral T>
constexpr void store_be(std::byte* to, T v) noexcept {
  if (std::is_constant_evaluated()) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      to[i] = static_cast<std::byte>((v >> (8 * (sizeof(T) - 1 - i))) & 0xff);
    return;
  }
  v = detail::to_big(v);
  std::memcpy(to, &v, sizeof v);
}

/// Reads fields of an N-byte header; an offset outside it does not compile.
template <std::size_t N>
class FixedReader {
 public:
  [[nodiscard]] static constexpr std::optional<FixedReader> over(ByteView in) noexcept {
    if (in.size() < N) return std::nullopt;
    return FixedReader{in.template first<N>()};
  }
  template <std::unsigned_integral T, std::size_t At>
  requires(At + sizeof(T) <= N) [[nodiscard]] constexpr T be() const noexcept {
    return load_be<T>(bytes_.data() + At);
  }
  template <std::size_t At, std::size_t Length>
  requires(At + Length <= N)
      [[nodiscard]] constexpr std::span<const std::byte, Length> bytes() const noexcept {
    return bytes_.template subspan<At, Length>();
  }

 private:
  constexpr explicit FixedReader(std::span<const std::byte, N> bytes) noexcept : bytes_(bytes) {}
  std::span<const std::byte, N> bytes_;
};

/// Writes fields of an N-byte header; an offset outside it does not compile.
template <std::size_t N>
class FixedWriter {
 public:
  constexpr explicit FixedWriter(std::span<std::byte, N> bytes) noexcept : bytes_(bytes) {}

  template <std::size_t At, std::unsigned_integral T>
  requires(At + sizeof(T) <= N) constexpr void be(T v) const noexcept {
    store_be(bytes_.data() + At, v);
  }
  template <std::size_t At, std::size_t Length>
  requires(At + Length <=
           N) constexpr void bytes(std::span<const std::byte, Length> from) const noexcept {
    for (std::size_t i = 0; i < Length; ++i) bytes_[At + i] = from[i];
  }

 private:
  std::span<std::byte, N> bytes_;
};

}  // namespace proa
