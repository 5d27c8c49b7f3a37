// L2: how a receiver knows that a packet is as it was sent.
#pragma once
#include <concepts>
#include <cstddef>

#include <proa/base/bytes.hpp>
#include <proa/wire/crc32c.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/header.hpp>

namespace proa {

/// seal() completes a packet whose last trailer_bytes are free; open() gives what is before them,
/// or an empty view if the packet is not as it was sent.
template <class I>
concept Integrity = requires(MutableBytes packet, ByteView view) {
  { I::trailer_bytes } -> std::convertible_to<std::size_t>;
  { I::needs_udp_checksum } -> std::convertible_to<bool>;
  { I::seal(packet) }
  noexcept->std::same_as<void>;
  { I::open(view) }
  noexcept->std::same_as<ByteView>;
};

/// A CRC-32C over the whole packet: the stack's own, so that no NIC needs to be trusted.
struct Crc32c {
  static constexpr std::size_t trailer_bytes = 4;
  static constexpr bool needs_udp_checksum = false;  // RFC 768: zero on IPv4

  static void seal(MutableBytes packet) noexcept {
    packet[1] |= static_cast<std::byte>(HeaderFlag::trailer);
    const std::size_t body = packet.size() - trailer_bytes;
    store_be(packet.data() + body, crc32c(packet.first(body)));
  }
  [[nodiscard]] static ByteView open(ByteView packet) noexcept {
    if (packet.size() < PacketHeader::size + trailer_bytes) return {};
    const bool sealed = (packet[1] & static_cast<std::byte>(HeaderFlag::trailer)) != std::byte{0};
    const ByteView body = packet.first(packet.size() - trailer_bytes);
    if (!sealed || crc32c(body) != load_be<std::uint32_t>(packet.data() + body.size())) return {};
    return body;
  }
};
static_assert(Integrity<Crc32c>);

/// Trusts the UDP checksum alone (verified by the NIC or the interface layer). Still verifies a
/// trailer that is there.
struct UdpChecksum {
  static constexpr std::size_t trailer_bytes = 0;
  static constexpr bool needs_udp_checksum = true;

  static void seal(MutableBytes) noexcept {}
  [[nodiscard]] static ByteView open(ByteView packet) noexcept {
    if (packet.size() < PacketHeader::size) return {};
    const bool sealed = (packet[1] & static_cast<std::byte>(HeaderFlag::trailer)) != std::byte{0};
    return sealed ? Crc32c::open(packet) : packet;
  }
};
static_assert(Integrity<UdpChecksum>);

}  // namespace proa
