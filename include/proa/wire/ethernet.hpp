// L1: the Ethernet II header (IEEE 802.3 3.2.6), untagged or with one VLAN tag (IEEE 802.1Q 9.6).
//
//    0                   6                   12          14
//   +-------------------+-------------------+-----------+---------
//   | destination MAC   | source MAC        | EtherType | payload
//   +-------------------+-------------------+-----------+---------
//                                           | 0x8100    | priority 3, DEI 1, VLAN 12 | EtherType |
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

inline constexpr std::size_t ethernet_header_bytes = 14;
inline constexpr std::size_t ethernet_payload_bytes_min = 46;  // short frames are padded to it
inline constexpr std::size_t vlan_tag_bytes = 4;
inline constexpr std::size_t ethernet_header_bytes_max = ethernet_header_bytes + vlan_tag_bytes;

enum class EtherType : std::uint16_t { ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd };

/// IEEE 802.1Q (9.6): 1 to 4094 name a VLAN.
using VlanId = std::uint16_t;
inline constexpr VlanId no_vlan = 0;  // untagged; a tag with it carries a priority only
inline constexpr VlanId vlan_max = 4094;

struct EthernetFrame {
  MacAddress destination;
  MacAddress source;
  EtherType type{};
  VlanId vlan = no_vlan;  // without a tag, and in a tag that carries a priority only
  ByteView payload;       // may end in padding
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
  std::size_t header_bytes = ethernet_header_bytes;
  if (out.type == EtherType::vlan) {
    const auto tagged = FixedReader<ethernet_header_bytes_max>::over(frame);
    if (!tagged) return dropped(Drop::truncated);
    out.vlan = tagged->be<std::uint16_t, 14>() & 0xfffU;
    out.type = static_cast<EtherType>(tagged->be<std::uint16_t, 16>());
    header_bytes = ethernet_header_bytes_max;
  }
  switch (out.type) {
    case EtherType::ipv4:
    case EtherType::arp:
    case EtherType::ipv6:
      break;
    case EtherType::vlan:
    default:  // also 802.3 lengths (up to 1500) and second tags
      return dropped(Drop::unknown_ethertype);
  }
  if (out.source.is_multicast()) return dropped(Drop::not_for_us);  // no station sends from a group
  out.payload = frame.subspan(header_bytes);
  return out;
}

/// What goes before every packet of one interface.
struct LinkFields {
  MacAddress destination;
  MacAddress source;
  VlanId vlan = no_vlan;
};

[[nodiscard]] constexpr std::size_t link_header_bytes(VlanId vlan) noexcept {
  return vlan == no_vlan ? ethernet_header_bytes : ethernet_header_bytes_max;
}

inline void write_ethernet(std::span<std::byte, ethernet_header_bytes> to,
                           const MacAddress& destination, const MacAddress& source,
                           EtherType type) noexcept {
  store_mac(to.data(), destination);
  store_mac(to.data() + 6, source);
  store_be(to.data() + 12, static_cast<std::uint16_t>(type));
}

/// Writes link_header_bytes(link.vlan) bytes and returns what is behind them. Priority 0.
inline MutableBytes write_link(MutableBytes to, const LinkFields& link, EtherType type) noexcept {
  const bool tagged = link.vlan != no_vlan;
  write_ethernet(to.first<ethernet_header_bytes>(), link.destination, link.source,
                 tagged ? EtherType::vlan : type);
  if (!tagged) return to.subspan(ethernet_header_bytes);
  store_be(to.data() + 14, link.vlan);
  store_be(to.data() + 16, static_cast<std::uint16_t>(type));
  return to.subspan(ethernet_header_bytes_max);
}

}  // namespace proa
