// L1: the 24-byte header every Proa packet starts with. All fields are big-endian.
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------+-------+---------------+-------------------------------+
//  |version| type  |     flags     |     ack delay (64 ns units)   |   0
//  +-------+-------+---------------+-------------------------------+
//  |                     destination flow id                       |   4
//  +---------------------------------------------------------------+
//  |                       source flow id                          |   8
//  +---------------------------------------------------------------+
//  |                        packet number                          |  12
//  +---------------------------------------------------------------+
//  |             largest acknowledged packet number                |  16
//  +---------------------------------------------------------------+
//  |                 credit (cumulative byte limit)                |  20
//  +---------------------------------------------------------------+
//  |  frames ...                                                   |  24
//  +---------------------------------------------------------------+
//  |  Crc32c of everything before it, when the trailer flag is set |
//  +---------------------------------------------------------------+
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

inline constexpr std::uint8_t wire_version = 1;

enum class PacketType : std::uint8_t {
  data = 0,          // frames of an established flow
  syn = 1,           // asks for a flow; destination flow id 0; padded to syn_bytes
  syn_ack = 2,       // answers it
  retry = 3,         // answers a SYN under load with a cookie
  refuse = 4,        // answers a SYN that cannot be served, with a reason
  unknown_flow = 5,  // answers a packet whose destination flow does not exist
  path_probe = 6,    // asks which engine a UDP port pair reaches
  path_result = 7,   // answers it
};
inline constexpr std::uint8_t packet_type_last = 7;

enum class HeaderFlag : std::uint8_t {
  acks = 1U << 0U,       // "largest acknowledged" is valid
  trailer = 1U << 1U,    // the packet ends with a Crc32c
  misrouted = 1U << 2U,  // packets of this flow reach the wrong engine: probe for another path
};

/// Ack delay counts in units of 64 ns and saturates at 4.19 ms.
inline constexpr std::int64_t ack_delay_unit_ns = 64;
inline constexpr Duration ack_delay_saturated{0xffff * ack_delay_unit_ns};

struct PacketHeader {
  static constexpr std::size_t size = 24;
  static constexpr std::size_t destination_flow_at = 4;  // all that leads to the flow

  PacketType type = PacketType::data;
  std::uint8_t flags = 0;
  std::uint16_t ack_delay_units = 0;
  std::uint32_t destination_flow = 0;
  std::uint32_t source_flow = 0;
  PacketNumber number;
  PacketNumber largest_acked;
  CreditLimit credit;

  [[nodiscard]] constexpr bool has(HeaderFlag flag) const noexcept {
    return (flags & static_cast<std::uint8_t>(flag)) != 0;
  }
  constexpr void set(HeaderFlag flag) noexcept {
    flags = static_cast<std::uint8_t>(flags | static_cast<std::uint8_t>(flag));
  }
  [[nodiscard]] constexpr Duration ack_delay() const noexcept {
    return Duration{ack_delay_units * ack_delay_unit_ns};
  }
  constexpr void set_ack_delay(Duration delay) noexcept {
    const auto units = std::clamp<std::int64_t>(delay.count() / ack_delay_unit_ns, 0, 0xffff);
    ack_delay_units = static_cast<std::uint16_t>(units);
  }

  /// Reads and checks the header; `out` is unspecified unless the result is Drop::none.
  [[nodiscard]] static constexpr Drop parse(ByteView datagram, PacketHeader& out) noexcept {
    const auto r = FixedReader<size>::over(datagram);
    if (!r) return Drop::truncated;
    const auto version_type = r->be<std::uint8_t, 0>();
    if (version_type >> 4U != wire_version) return Drop::bad_version;
    if ((version_type & 0xfU) > packet_type_last) return Drop::bad_type;
    out.type = static_cast<PacketType>(version_type & 0xfU);
    out.flags = r->be<std::uint8_t, 1>();
    out.ack_delay_units = r->be<std::uint16_t, 2>();
    out.destination_flow = r->be<std::uint32_t, destination_flow_at>();
    out.source_flow = r->be<std::uint32_t, 8>();
    out.number = PacketNumber{r->be<std::uint32_t, 12>()};
    out.largest_acked = PacketNumber{r->be<std::uint32_t, 16>()};
    out.credit = CreditLimit{r->be<std::uint32_t, 20>()};
    return Drop::none;
  }

  constexpr void write(std::span<std::byte, size> out) const noexcept {
    const FixedWriter<size> w{out};
    w.be<0>(static_cast<std::uint8_t>((wire_version << 4U) | static_cast<unsigned>(type)));
    w.be<1>(flags);
    w.be<2>(ack_delay_units);
    w.be<destination_flow_at>(destination_flow);
    w.be<8>(source_flow);
    w.be<12>(number.wire());
    w.be<16>(largest_acked.wire());
    w.be<20>(credit.wire());
  }

  friend constexpr bool operator==(const PacketHeader&, const PacketHeader&) = default;
};

}  // namespace proa
