// L1: the Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo headers.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// A running one's-complement sum. Summing is independent of byte order (RFC 1071 2B), so bytes are
/// added as this machine loads them and swapped once at the end.
class InternetChecksum {
 public:
  /// Adds bytes; only the last piece may have an odd length (RFC 1071: padded with a zero byte).
  void add(ByteView in) noexcept {
    const std::byte* at = in.data();
    std::size_t left = in.size();
    for (; left >= 4; at += 4, left -= 4) {
      std::uint32_t word;
      std::memcpy(&word, at, 4);
      sum_ += word;
    }
    if (left >= 2) {
      std::uint16_t half;
      std::memcpy(&half, at, 2);
      sum_ += half;
      at += 2;
      left -= 2;
    }
    if (left == 0) return;
    const std::array<std::byte, 2> padded{*at, std::byte{0}};
    sum_ += std::bit_cast<std::uint16_t>(padded);
  }
  void add16(std::uint16_t host_order) noexcept { sum_ += detail::to_big(host_order); }
  void add32(std::uint32_t host_order) noexcept { sum_ += detail::to_big(host_order); }

  /// The folded sum, not complemented: what offloading NICs want in a UDP checksum field.
  [[nodiscard]] std::uint16_t partial() const noexcept {
    std::uint64_t s = (sum_ >> 32) + (sum_ & 0xffff'ffff);
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    return detail::to_big(static_cast<std::uint16_t>(s));
  }
  /// The checksum to store. Over data that contain a correct checksum it is 0.
  [[nodiscard]] std::uint16_t finish() const noexcept {
    return static_cast<std::uint16_t>(~partial());
  }

 private:
  std::uint64_t sum_ = 0;  // room for 2^32 words before it could wrap
};

[[nodiscard]] inline std::uint16_t internet_checksum(ByteView in) noexcept {
  InternetChecksum sum;
  sum.add(in);
  return sum.finish();
}

/// RFC 1624 (eqn. 3): the checksum after one 16-bit field changed from `from` to `to`.
[[nodiscard]] constexpr std::uint16_t checksum_replace(std::uint16_t checksum, std::uint16_t from,
                                                       std::uint16_t to) noexcept {
  std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~from);
  sum += to;
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<std::uint16_t>(~sum);
}

/// RFC 768, RFC 8200 (8.1): adds the pseudo header. Both addresses are of one family; `length` is
/// that of the transport header and payload.
inline void add_pseudo_header(InternetChecksum& sum, const IpAddress& source,
                              const IpAddress& destination, std::uint8_t protocol,
                              std::uint32_t length) noexcept {
  const std::size_t skip = source.is_v4() ? 12 : 0;
  sum.add(std::as_bytes(std::span{source.octets}).subspan(skip));
  sum.add(std::as_bytes(std::span{destination.octets}).subspan(skip));
  sum.add16(protocol);
  sum.add32(length);
}

}  // namespace proa
