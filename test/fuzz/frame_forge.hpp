// Fuzzing: whole Ethernet frames made from the input, their checksums right: what an attacker on
// the same network can send.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <proa/transport/integrity.hpp>
#include <proa/wire/arp.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/setup.hpp>
#include <proa/wire/udp.hpp>

#include "input.hpp"

namespace proa::fuzz {

/// Where in an IPv4 frame its UDP payload begins; 0 if there is none.
[[nodiscard]] inline std::size_t udp_payload_at(ByteView frame) noexcept {
  constexpr std::size_t at = ethernet_header_bytes + ipv4_header_bytes + udp_header_bytes;
  const bool is_udp = frame.size() > at && load_be<std::uint16_t>(frame.data() + 12) == 0x0800 &&
                      frame[14] == std::byte{0x45} && frame[23] == std::byte{17};
  return is_udp ? at : 0;
}

/// Makes every checksum right that the frame's lengths allow: IPv4, ICMP, and Proa's trailer.
inline void repair(MutableBytes frame) noexcept {
  const MutableBytes ip = frame.size() < ethernet_header_bytes + ipv4_header_bytes
                              ? MutableBytes{}
                              : frame.subspan(ethernet_header_bytes);
  if (ip.empty() || ip[0] != std::byte{0x45}) return;
  store_be<std::uint16_t>(ip.data() + 10, 0);
  store_be(ip.data() + 10, internet_checksum(ip.first(ipv4_header_bytes)));
  const std::size_t length = load_be<std::uint16_t>(ip.data() + 2);
  if (length < ipv4_header_bytes + icmp_header_bytes || length > ip.size()) return;
  const MutableBytes payload = ip.subspan(ipv4_header_bytes, length - ipv4_header_bytes);
  if (ip[9] == std::byte{1}) {
    store_be<std::uint16_t>(payload.data() + 2, 0);
    store_be(payload.data() + 2, internet_checksum(payload));
  }
  if (ip[9] != std::byte{17}) return;
  store_be<std::uint16_t>(payload.data() + 6, 0);  // RFC 768: none
  const std::size_t udp_length = load_be<std::uint16_t>(payload.data() + 4);
  constexpr std::size_t least = udp_header_bytes + PacketHeader::size + Crc32c::trailer_bytes;
  if (udp_length >= least && udp_length <= payload.size())
    Crc32c::seal(payload.subspan(udp_header_bytes, udp_length - udp_header_bytes));
}

/// Two hosts' addresses, as the forger knows them.
struct Target {
  MacAddress mac, peer_mac;
  IpAddress address, peer_address;
};

class FrameForge {
 public:
  FrameForge(const Target& target, Input& in) : target_(target), in_(&in) {}

  [[nodiscard]] std::vector<std::byte> make() {
    switch (in_->below(4)) {
      case 0:
        return raw();
      case 1:
        return arp();
      case 2:
        return ip(IpProtocol::icmp, bytes(64));
      default:
        return ip(IpProtocol::udp, udp(packet()));
    }
  }

 private:
  std::vector<std::byte> bytes(std::size_t max) {
    const ByteView in = in_->take(in_->below(max + 1));
    return {in.begin(), in.end()};
  }
  std::vector<std::byte> framed(EtherType type, ByteView payload) {
    MacAddress to = target_.mac;
    if (in_->below(8) == 7) to = MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    std::vector<std::byte> out(ethernet_header_bytes);
    write_ethernet(std::span<std::byte, ethernet_header_bytes>{out}, to, target_.peer_mac, type);
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }
  std::vector<std::byte> raw() {
    constexpr std::array types{EtherType::ipv4, EtherType::ipv6, EtherType::arp, EtherType{0x8100}};
    const EtherType type = types[in_->below(types.size())];
    auto out = framed(type, bytes(200));
    repair(out);
    return out;
  }
  IpAddress some_address() {
    const std::size_t which = in_->below(4);
    if (which == 0) return target_.address;
    if (which == 1) return IpAddress::v4(in_->number<std::uint32_t>());
    return target_.peer_address;
  }
  std::vector<std::byte> arp() {
    ArpPacket packet;
    packet.operation = in_->flag() ? ArpOperation::request : ArpOperation::reply;
    packet.sender_mac = target_.peer_mac;
    packet.sender_mac.octets[5] = in_->byte();
    packet.target_mac = target_.mac;
    packet.sender_ip = some_address();
    packet.target_ip = some_address();
    std::array<std::byte, arp_bytes> out{};
    write_arp(out, packet);
    return framed(EtherType::arp, out);
  }
  std::vector<std::byte> ip(IpProtocol protocol, const std::vector<std::byte>& payload) {
    std::vector<std::byte> out(ipv4_header_bytes);
    write_ipv4(std::span<std::byte, ipv4_header_bytes>{out},
               {some_address(), target_.address, protocol, static_cast<Ecn>(in_->below(4)),
                static_cast<std::uint16_t>(payload.size())});
    out.insert(out.end(), payload.begin(), payload.end());
    auto frame = framed(EtherType::ipv4, out);
    repair(frame);
    return frame;
  }
  std::vector<std::byte> udp(const std::vector<std::byte>& payload) {
    std::vector<std::byte> out(udp_header_bytes);
    store_be(out.data(), static_cast<std::uint16_t>(49'152 + in_->byte()));
    store_be(out.data() + 2, static_cast<std::uint16_t>(49'152 + in_->byte()));
    store_be(out.data() + 4, static_cast<std::uint16_t>(out.size() + payload.size()));
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }
  std::vector<std::byte> packet() {
    PacketHeader header;
    header.type = static_cast<PacketType>(in_->below(packet_type_last + 1));
    header.flags = in_->byte();
    header.destination_flow = in_->byte();
    header.source_flow = in_->byte();
    header.number = PacketNumber{in_->number<std::uint32_t>()};
    header.largest_acked = PacketNumber{in_->number<std::uint32_t>()};
    header.credit = CreditLimit{in_->number<std::uint32_t>()};
    std::vector<std::byte> out(PacketHeader::size);
    header.write(std::span<std::byte, PacketHeader::size>{out});
    if (header.type == PacketType::syn) {
      SynBody body;
      body.incarnation = in_->byte();
      body.server_port = 7000;
      body.client_port = in_->byte();
      body.message_bytes_max = in_->number<std::uint32_t>();
      body.idle_limit_ms = in_->number<std::uint32_t>();
      out.resize(syn_bytes);
      body.write(MutableBytes{out}.subspan(PacketHeader::size));
      return out;
    }
    const auto rest = bytes(200);
    out.insert(out.end(), rest.begin(), rest.end());
    out.resize(out.size() + Crc32c::trailer_bytes);
    return out;
  }

  Target target_;
  Input* in_;
};

}  // namespace proa::fuzz
