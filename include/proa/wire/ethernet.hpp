// L1: the Ethernet II header (IEEE 802.3 3.2.6), untagged.
//
//    0                   6                   12          14
//   +-------------------+-------------------+-----------+---------
//   | destination MAC   | source MAC        | EtherType | payload
//   +-------------------+-------------------+-----------+---------
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

inline constexpr std::size_t ethernet_header_bytes = 14;
inline constexpr std::size_t ethernet_payload_bytes_min = 46;  // short frames are padded to it

enum class EtherType : std::uint16_t { ipv4 = 0x0800, arp = 0x0806, ipv6 = 0x86dd };

struct EthernetFrame {
  MacAddress destination;
  MacAddress source;
  EtherType type{};
  ByteView payload;  // may end in padding
};

[[nodiscard]] inline MacAddress load_mac(std::span<const std::byte, 6> from) noexcept {
  MacAddress mac;
  std::memcpy(mac.octets.data(), from.data(), 6);
  return mac;
}
inline void store_mac(std::byte* to, const MacAddress& mac) noexcept {
  std::memcpy(to, mac.octets.data(), 6);
}

[[nodiscard]] inline Parsed<EthernetFrame> parse_ethernet(ByteView frame) noexcept {
  const auto in = FixedReader<ethernet_header_bytes>::over(frame);
  if (!in) return dropped(Drop::truncated);
  EthernetFrame out;
  out.destination = load_mac(in->bytes<0, 6>());
  out.source = load_mac(in->bytes<6, 6>());
  out.type = static_cast<EtherType>(in->be<std::uint16_t, 12>());
  switch (out.type) {
    case EtherType::ipv4:
    case EtherType::arp:
    case EtherType::ipv6:
      break;
    default:  // also 802.3 lengths (up to 1500) and VLAN tags
      return dropped(Drop::unknown_ethertype);
  }
  if (out.source.is_multicast()) return dropped(Drop::not_for_us);  // no station sends from a group
  out.payload = frame.subspan(ethernet_header_bytes);
  return out;
}

inline void write_ethernet(std::span<std::byte, ethernet_header_bytes> to,
                           const MacAddress& destination, const MacAddress& source,
                           EtherType type) noexcept {
  store_mac(to.data(), destination);
  store_mac(to.data() + 6, source);
  store_be(to.data() + 12, static_cast<std::uint16_t>(type));
}

}  // namespace proa
