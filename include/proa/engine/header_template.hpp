// L3: the Ethernet, IPv4 and UDP headers of one flow, made once and patched per packet.
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
#include <proa/wire/udp.hpp>

namespace proa {

/// Bytes before the UDP payload over IPv4.
inline constexpr std::size_t frame_header_bytes =
    ethernet_header_bytes + ipv4_header_bytes + udp_header_bytes;
static_assert(frame_header_bytes == 42);

/// How the UDP checksum of an outgoing packet is made.
enum class UdpChecksumBy : std::uint8_t {
  zero,      // none: over IPv4, when Crc32c protects the payload (RFC 768)
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
  HeaderTemplate(const HeaderFields& fields, const MacAddress& local_mac) noexcept
      : local_(fields.local), peer_(fields.peer) {
    const std::span bytes{bytes_};
    write_ethernet(bytes.first<ethernet_header_bytes>(), {}, local_mac, EtherType::ipv4);
    const auto ip = bytes.subspan<ethernet_header_bytes, ipv4_header_bytes>();
    write_ipv4(ip, {fields.local, fields.peer, IpProtocol::udp, fields.ecn, 0});
    // Both sums leave the length out: it is added per packet.
    store_be<std::uint16_t>(ip.data() + 2, 0);
    store_be<std::uint16_t>(ip.data() + 10, 0);
    InternetChecksum header;
    header.add(ip);
    ip_sum_ = header.partial();
    InternetChecksum pseudo;
    add_pseudo_header(pseudo, fields.local, fields.peer, static_cast<std::uint8_t>(IpProtocol::udp),
                      0);
    pseudo_sum_ = pseudo.partial();
    set_ports(fields.ports);
  }

  void set_ports(UdpPorts ports) noexcept {
    store_be(bytes_.data() + udp_at, ports.source);
    store_be(bytes_.data() + udp_at + 2, ports.destination);
  }
  [[nodiscard]] UdpPorts ports() const noexcept {
    return {load_be<std::uint16_t>(bytes_.data() + udp_at),
            load_be<std::uint16_t>(bytes_.data() + udp_at + 2)};
  }
  void set_next_hop(const MacAddress& mac) noexcept { store_mac(bytes_.data(), mac); }
  [[nodiscard]] const IpAddress& local() const noexcept { return local_; }
  [[nodiscard]] const IpAddress& peer() const noexcept { return peer_; }

  /// Fills the headers before a payload already in place. `frame` is the whole frame, at most
  /// 65,535 bytes of IP packet. Returns what the NIC must be asked for.
  PacketFlag finish(std::span<std::byte> frame, UdpChecksumBy how) const noexcept {
    std::byte* const to = frame.data();
    std::memcpy(to, bytes_.data(), frame_header_bytes);
    const auto ip_length = static_cast<std::uint16_t>(frame.size() - ethernet_header_bytes);
    const auto udp_length = static_cast<std::uint16_t>(ip_length - ipv4_header_bytes);
    store_be(to + 16, ip_length);
    store_be(to + 24, static_cast<std::uint16_t>(~fold(std::uint32_t{ip_sum_} + ip_length)));
    store_be(to + udp_at + 4, udp_length);
    if (how == UdpChecksumBy::zero) return PacketFlag::none;
    const std::uint16_t pseudo = fold(std::uint32_t{pseudo_sum_} + udp_length);
    if (how == UdpChecksumBy::offload) {
      store_be(to + udp_at + 6, pseudo);
      return PacketFlag::tx_udp_checksum;
    }
    InternetChecksum sum;
    sum.add16(pseudo);
    sum.add(frame.subspan(udp_at));
    store_be(to + udp_at + 6, udp_checksum_on_wire(sum.finish()));
    return PacketFlag::none;
  }

 private:
  friend class Interface;
  static constexpr std::size_t udp_at = ethernet_header_bytes + ipv4_header_bytes;

  static constexpr std::uint16_t fold(std::uint32_t sum) noexcept {
    return static_cast<std::uint16_t>((sum >> 16) + (sum & 0xffff));  // two addends: no more carry
  }

  std::array<std::byte, frame_header_bytes> bytes_{};
  std::uint16_t ip_sum_ = 0;
  std::uint16_t pseudo_sum_ = 0;
  // Interface::refresh keeps these: the answer of which version, from which neighbour.
  std::uint16_t slot_ = Neighbours::no_slot;
  std::uint32_t version_ = 0;
  IpAddress local_, peer_;
};

}  // namespace proa
