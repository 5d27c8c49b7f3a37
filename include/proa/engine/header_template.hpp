// L3: the Ethernet, IP and UDP headers of one flow, made once and patched per packet.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/engine/neighbours.hpp>
#include <proa/mem/packet.hpp>
#include <proa/wire/checksum.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/udp.hpp>

namespace proa {

/// Bytes of IP and UDP header before the UDP payload.
[[nodiscard]] constexpr std::size_t ip_udp_header_bytes(bool v4) noexcept {
  return (v4 ? ipv4_header_bytes : ipv6_header_bytes) + udp_header_bytes;
}
/// Bytes before the UDP payload, untagged and over IPv4: what nearly every frame has.
inline constexpr std::size_t frame_header_bytes = ethernet_header_bytes + ip_udp_header_bytes(true);
static_assert(frame_header_bytes == 42);
/// The most there can be: tagged and over IPv6.
inline constexpr std::size_t frame_header_bytes_max =
    ethernet_header_bytes_max + ip_udp_header_bytes(false);
static_assert(frame_header_bytes_max == 66);

/// How the UDP checksum of an outgoing packet is made.
enum class UdpChecksumBy : std::uint8_t {
  zero,      // none over IPv4, when Crc32c protects the payload (RFC 768); IPv6: software
  offload,   // the NIC completes it: the field holds the pseudo header's sum
  software,  // computed here, over the whole payload
};

/// Who sends to whom. Both addresses are of one family.
struct HeaderFields {
  IpAddress local, peer;
  UdpPorts ports;
  Ecn ecn = Ecn::not_capable;
};

/// A value; copy it to send one packet over other ports.
class HeaderTemplate {
 public:
  HeaderTemplate() = default;
  HeaderTemplate(const HeaderFields& fields, const LinkFields& link) noexcept
      : v4_(fields.peer.is_v4()),
        link_bytes_(static_cast<std::uint8_t>(link_header_bytes(link.vlan))),
        size_(static_cast<std::uint8_t>(link_bytes_ + ip_udp_header_bytes(v4_))) {
    const MutableBytes ip = write_link(bytes_, link, is_v4() ? EtherType::ipv4 : EtherType::ipv6);
    if (is_v4())
      begin_ipv4(ip.first<ipv4_header_bytes>(), fields);
    else
      write_ipv6(ip.first<ipv6_header_bytes>(),
                 {fields.local, fields.peer, IpProtocol::udp, fields.ecn, 0});
    InternetChecksum pseudo;
    add_pseudo_header(pseudo, fields.local, fields.peer, static_cast<std::uint8_t>(IpProtocol::udp),
                      0);
    pseudo_sum_ = pseudo.partial();
    set_ports(fields.ports);
  }

  void set_ports(UdpPorts ports) noexcept {
    std::byte* const udp = bytes_.data() + size_ - udp_header_bytes;
    store_be(udp, ports.source);
    store_be(udp + 2, ports.destination);
    if (!is_v4()) set_flow_label(ports);
  }
  [[nodiscard]] UdpPorts ports() const noexcept {
    const std::byte* const udp = bytes_.data() + size_ - udp_header_bytes;
    return {load_be<std::uint16_t>(udp), load_be<std::uint16_t>(udp + 2)};
  }
  void set_next_hop(const MacAddress& mac) noexcept { store_mac(bytes_.data(), mac); }
  [[nodiscard]] IpAddress peer() const noexcept {
    const std::byte* const udp = bytes_.data() + size_ - udp_header_bytes;
    if (v4_) return IpAddress::v4(load_be<std::uint32_t>(udp - 4));
    IpAddress out;
    std::memcpy(out.octets.data(), udp - out.octets.size(), out.octets.size());
    return out;
  }
  [[nodiscard]] bool is_v4() const noexcept { return v4_; }
  /// Bytes before the UDP payload.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Fills the headers before a payload already in place. `frame` is the whole frame, at most
  /// 65,535 bytes of IP packet. Returns what the NIC must be asked for.
  PacketFlag finish(std::span<std::byte> frame, UdpChecksumBy how) const noexcept {
    switch (size_) {
      [[likely]] case frame_header_bytes : return finish_ipv4<ethernet_header_bytes>(frame, how);
      case frame_header_bytes + vlan_tag_bytes:
        return finish_ipv4<ethernet_header_bytes_max>(frame, how);
      case frame_header_bytes_max:
        return finish_ipv6<ethernet_header_bytes_max>(frame, how);
      default:
        return finish_ipv6<ethernet_header_bytes>(frame, how);
    }
  }

 private:
  friend class Interface;

  static constexpr std::uint16_t fold(std::uint32_t sum) noexcept {
    return static_cast<std::uint16_t>((sum >> 16) + (sum & 0xffff));  // two addends: no more carry
  }

  void begin_ipv4(std::span<std::byte, ipv4_header_bytes> ip, const HeaderFields& fields) noexcept {
    write_ipv4(ip, {fields.local, fields.peer, IpProtocol::udp, fields.ecn, 0});
    // Both sums leave the length out: it is added per packet.
    store_be<std::uint16_t>(ip.data() + 2, 0);
    store_be<std::uint16_t>(ip.data() + 10, 0);
    InternetChecksum header;
    header.add(ip);
    ip_sum_ = header.partial();
  }

  /// RFC 6437 (3): "packets belonging to a flow" carry one label, and a network may balance by it
  /// instead of by ports: another pair of ports has another label.
  void set_flow_label(UdpPorts ports) noexcept {
    const std::uint32_t pair = (std::uint32_t{ports.source} << 16U) | ports.destination;
    const std::uint32_t label = (pair * 0x9e37'79b1U) >> 12U;
    std::byte* const ip = bytes_.data() + link_bytes_;
    store_be(ip, (load_be<std::uint32_t>(ip) & 0xfff0'0000U) | label);
  }

  template <std::size_t IpAt>
  PacketFlag finish_ipv4(std::span<std::byte> frame, UdpChecksumBy how) const noexcept {
    constexpr std::size_t udp_at = IpAt + ipv4_header_bytes;
    std::byte* const to = frame.data();
    std::memcpy(to, bytes_.data(), udp_at + udp_header_bytes);
    const auto ip_length = static_cast<std::uint16_t>(frame.size() - IpAt);
    const auto udp_length = static_cast<std::uint16_t>(ip_length - ipv4_header_bytes);
    store_be(to + IpAt + 2, ip_length);
    store_be(to + IpAt + 10, static_cast<std::uint16_t>(~fold(std::uint32_t{ip_sum_} + ip_length)));
    store_be(to + udp_at + 4, udp_length);
    if (how == UdpChecksumBy::zero) return PacketFlag::none;
    return finish_udp(frame.subspan(udp_at), how);
  }

  template <std::size_t IpAt>
  PacketFlag finish_ipv6(std::span<std::byte> frame, UdpChecksumBy how) const noexcept {
    constexpr std::size_t udp_at = IpAt + ipv6_header_bytes;
    std::byte* const to = frame.data();
    std::memcpy(to, bytes_.data(), udp_at + udp_header_bytes);
    const auto udp_length = static_cast<std::uint16_t>(frame.size() - udp_at);
    store_be(to + IpAt + 4, udp_length);
    store_be(to + udp_at + 4, udp_length);
    return finish_udp(frame.subspan(udp_at), how);
  }

  /// RFC 8200 (8.1): over IPv6 "the UDP checksum is not optional".
  PacketFlag finish_udp(std::span<std::byte> udp, UdpChecksumBy how) const noexcept {
    const std::uint16_t pseudo =
        fold(std::uint32_t{pseudo_sum_} + static_cast<std::uint32_t>(udp.size()));
    if (how == UdpChecksumBy::offload) {
      store_be(udp.data() + 6, pseudo);
      return PacketFlag::tx_udp_checksum;
    }
    InternetChecksum sum;
    sum.add16(pseudo);
    sum.add(udp);
    store_be(udp.data() + 6, udp_checksum_on_wire(sum.finish()));
    return PacketFlag::none;
  }

  std::array<std::byte, frame_header_bytes_max> bytes_{};
  bool v4_ = true;
  std::uint8_t link_bytes_ = ethernet_header_bytes;
  std::uint8_t size_ = frame_header_bytes;
  std::uint16_t ip_sum_ = 0;
  std::uint16_t pseudo_sum_ = 0;
  // Interface::refresh keeps these: the answer of which version, from which neighbour.
  std::uint16_t slot_ = Neighbours::no_slot;
  std::uint32_t version_ = 0;
};

}  // namespace proa
