// L3: a received frame's way through the interface; included by engine/interface.hpp only.
#pragma once
#include <proa/engine/interface.hpp>

namespace proa {

// --- the fast way -------------------------------------------------------------------------------

inline bool Interface::is_plain_datagram(const Packet& packet, UdpArrival& out) const noexcept {
  const ByteView frame = packet.bytes();
  if (frame.size() < frame_header_bytes) return false;
  if (std::memcmp(frame.data(), plan_.options.mac.octets.data(), 6) != 0) return false;
  if (plan_.options.vlan == no_vlan) [[likely]]
    return is_plain_ip<ethernet_header_bytes>(packet, out);
  return is_plain_tagged(packet, out);
}

[[gnu::noinline]] inline bool Interface::is_plain_tagged(const Packet& packet,
                                                         UdpArrival& out) const noexcept {
  const ByteView frame = packet.bytes();
  const std::uint32_t tag = 0x8100'0000U | plan_.options.vlan;
  if (frame.size() < frame_header_bytes + vlan_tag_bytes ||
      (load_be<std::uint32_t>(frame.data() + 12) & 0xffff'0fffU) != tag)
    return false;
  return is_plain_ip<ethernet_header_bytes_max>(packet, out);
}

template <std::size_t IpAt>
inline bool Interface::is_plain_ip(const Packet& packet, UdpArrival& out) const noexcept {
  const auto type_and_version = load_be<std::uint32_t>(packet.bytes().data() + IpAt - 2);
  if ((type_and_version & 0xffff'ff00U) == 0x0800'4500U) [[likely]]
    return is_plain_ipv4<IpAt>(packet, out);
  if ((type_and_version & 0xffff'f000U) == 0x86dd'6000U) return is_plain_ipv6<IpAt>(packet, out);
  return false;
}

template <std::size_t IpAt>
inline bool Interface::is_plain_ipv4(const Packet& packet, UdpArrival& out) const noexcept {
  const ByteView frame = packet.bytes();
  const std::byte* const at = frame.data();
  const std::byte* const ip = at + IpAt;
  const std::size_t total_bytes = load_be<std::uint16_t>(ip + 2);
  const std::size_t udp_bytes = load_be<std::uint16_t>(ip + 24);
  const UdpPorts ports{load_be<std::uint16_t>(ip + 20), load_be<std::uint16_t>(ip + 22)};
  const auto udp_checksum = load_be<std::uint16_t>(ip + 26);
  const auto source = load_be<std::uint32_t>(ip + 12);
  if (total_bytes > frame.size() - IpAt || total_bytes < udp_bytes + ipv4_header_bytes ||
      udp_bytes < udp_header_bytes)
    return false;
  if ((load_be<std::uint16_t>(ip + 6) & 0x3fffU) != 0 || ip[9] != std::byte{17}) return false;
  if (load_be<std::uint32_t>(ip + 16) != plain_ipv4_ || !is_host_v4(source)) return false;
  if (!in_port_range(ports.source) || !in_port_range(ports.destination)) return false;
  const bool verified = packet.has(PacketFlag::rx_l4_checksum_good);
  if (udp_checksum != 0 && !verified) return false;
  if (!packet.has(PacketFlag::rx_ip_checksum_good) &&
      internet_checksum(frame.subspan<IpAt, ipv4_header_bytes>()) != 0)
    return false;
  if ((at[6] & std::byte{1}) != std::byte{0}) return false;  // no station sends from a group
  out.source = IpAddress::v4(source);
  out.destination = primary_;
  out.ports = ports;
  std::memcpy(out.source_mac.octets.data(), at + 6, 6);
  out.congestion_experienced = (ip[1] & std::byte{3}) == std::byte{3};
  out.udp_checksum_verified = udp_checksum != 0;
  out.payload = frame.subspan(IpAt + ip_udp_header_bytes(true), udp_bytes - udp_header_bytes);
  return true;
}

template <std::size_t IpAt>
bool Interface::is_plain_ipv6(const Packet& packet, UdpArrival& out) const noexcept {
  const ByteView frame = packet.bytes();
  if (frame.size() < IpAt + ip_udp_header_bytes(false)) return false;
  const std::byte* const at = frame.data();
  const std::byte* const ip = at + IpAt;
  const std::size_t payload_bytes = load_be<std::uint16_t>(ip + 4);
  const std::size_t udp_bytes = load_be<std::uint16_t>(ip + 44);
  const UdpPorts ports{load_be<std::uint16_t>(ip + 40), load_be<std::uint16_t>(ip + 42)};
  if (payload_bytes > frame.size() - IpAt - ipv6_header_bytes || payload_bytes < udp_bytes ||
      udp_bytes < udp_header_bytes || ip[6] != std::byte{17})
    return false;
  std::memcpy(out.source.octets.data(), ip + 8, 16);
  if (std::memcmp(ip + 24, primary_ipv6_.octets.data(), 16) != 0 || !ipv6::is_host(out.source) ||
      primary_ipv6_.is_unset())
    return false;
  if (!in_port_range(ports.source) || !in_port_range(ports.destination)) return false;
  if ((at[6] & std::byte{1}) != std::byte{0}) return false;
  if (!packet.has(PacketFlag::rx_l4_checksum_good)) {
    UdpDatagram udp;
    udp.checksum = load_be<std::uint16_t>(ip + 46);
    udp.bytes = frame.subspan(IpAt + ipv6_header_bytes, udp_bytes);
    if (!udp_checksum_ok(out.source, primary_ipv6_, udp)) return false;
  }
  out.destination = primary_ipv6_;
  out.ports = ports;
  std::memcpy(out.source_mac.octets.data(), at + 6, 6);
  out.congestion_experienced = (ip[1] & std::byte{0x30}) == std::byte{0x30};
  out.udp_checksum_verified = true;
  out.payload = frame.subspan(IpAt + ip_udp_header_bytes(false), udp_bytes - udp_header_bytes);
  return true;
}

inline UdpArrival Interface::read_back(ByteView frame) const noexcept {
  const std::byte* const ip = frame.data() + link_header_bytes(plan_.options.vlan);
  const bool v4 = (std::to_integer<unsigned>(ip[0]) >> 4U) == 4;
  UdpArrival out;
  if (v4) {
    out.source = IpAddress::v4(load_be<std::uint32_t>(ip + 12));
    out.destination = IpAddress::v4(load_be<std::uint32_t>(ip + 16));
  } else {
    std::memcpy(out.source.octets.data(), ip + 8, 16);
    std::memcpy(out.destination.octets.data(), ip + 24, 16);
  }
  out.udp_checksum_verified = true;
  out.payload = frame.subspan(link_header_bytes(plan_.options.vlan) + ip_udp_header_bytes(v4));
  return out;
}

// --- the careful way ----------------------------------------------------------------------------

inline void Interface::classify_slowly(const Packet& packet, Instant now,
                                       Classified& out) noexcept {
  const auto frame = parse_ethernet(packet.bytes());
  Drop drop = Drop::none;
  out.kind = Arrived::consumed;
  if (!frame)
    drop = frame.error();
  else if (frame->vlan != plan_.options.vlan)
    drop = Drop::wrong_vlan;
  else if (frame->type == EtherType::arp)
    drop = take_arp(*frame, now);
  else if (frame->type == EtherType::ipv4)
    drop = take_ipv4(*frame, packet, now, out);
  else
    drop = take_ipv6(*frame, packet, now, out);
  if (drop == Drop::none) return;
  out.kind = Arrived::refused;
  out.drop = drop;
}

inline Drop Interface::take_ipv4(const EthernetFrame& frame, const Packet& packet, Instant now,
                                 Classified& out) noexcept {
  if (frame.destination != plan_.options.mac) return Drop::not_for_us;
  const auto ip = parse_ipv4(frame.payload, packet.has(PacketFlag::rx_ip_checksum_good)
                                                ? HeaderChecksum::known_good
                                                : HeaderChecksum::verify);
  if (!ip) return ip.error();
  if (!plan_.owns(ip->destination)) return Drop::not_for_us;
  if (!is_host_v4(ip->source.to_v4())) return Drop::bad_ip_source;
  if (ip->protocol == static_cast<std::uint8_t>(IpProtocol::icmp))
    return take_icmp(frame, *ip, now, out);
  if (ip->protocol != static_cast<std::uint8_t>(IpProtocol::udp)) return Drop::not_udp;
  const Drop drop = take_udp(*ip, packet, out.datagram);
  if (drop != Drop::none) return drop;
  out.datagram.source_mac = frame.source;
  out.kind = Arrived::datagram;
  return Drop::none;
}

inline Drop Interface::take_ipv6(const EthernetFrame& frame, const Packet& packet, Instant now,
                                 Classified& out) noexcept {
  const auto& to = frame.destination.octets;
  const bool to_us = frame.destination == plan_.options.mac;
  if (!to_us && (to[0] != 0x33 || to[1] != 0x33)) return Drop::not_for_us;  // RFC 2464 (7)
  if (primary_ipv6_.is_unset()) return Drop::not_for_us;  // this interface has IPv4 only
  const auto ip = parse_ipv6(frame.payload);
  if (!ip) return ip.error();
  if (ip->protocol == static_cast<std::uint8_t>(IpProtocol::icmpv6))
    return take_icmpv6(frame, *ip, now, out);
  if (!to_us || !plan_.owns(ip->destination)) return Drop::not_for_us;
  if (!ipv6::is_host(ip->source)) return Drop::bad_ip_source;
  if (ip->protocol != static_cast<std::uint8_t>(IpProtocol::udp)) return Drop::not_udp;
  const Drop drop = take_udp(*ip, packet, out.datagram);
  if (drop != Drop::none) return drop;
  out.datagram.source_mac = frame.source;
  out.kind = Arrived::datagram;
  return Drop::none;
}

inline Drop Interface::take_udp(const IpPacket& ip, const Packet& packet,
                                UdpArrival& out) noexcept {
  const auto udp = parse_udp(ip.payload);
  if (!udp) return udp.error();
  if (!in_port_range(udp->source_port) || !in_port_range(udp->destination_port))
    return Drop::outside_port_range;
  // Some NICs call an absent checksum bad, so their "bad" only means that we look ourselves.
  if (!packet.has(PacketFlag::rx_l4_checksum_good) &&
      !udp_checksum_ok(ip.source, ip.destination, *udp))
    return Drop::bad_checksum;
  out.source = ip.source;
  out.destination = ip.destination;
  out.ports = {udp->source_port, udp->destination_port};
  out.congestion_experienced = ip.ecn == Ecn::experienced;
  out.udp_checksum_verified = udp->checksum != 0 || !ip.source.is_v4();
  out.payload = udp->payload();
  return Drop::none;
}

// --- ICMP ---------------------------------------------------------------------------------------

/// RFC 8899 (4.6): what the network says is not believed, it only makes the flow look for itself.
template <class Icmp>
Drop Interface::take_too_big(const Icmp& icmp, Instant now, Classified& out) noexcept {
  const auto quoted = parse_packet_too_big(icmp);
  if (!quoted) return quoted.error();
  if (!plan_.owns(quoted->source)) return Drop::not_for_us;
  if (!echo_limit_.allow(now)) return Drop::control_limit;
  out.kind = Arrived::too_big;
  out.datagram.source = quoted->destination;
  out.datagram.destination = quoted->source;
  out.datagram.payload = quoted->bytes;
  return Drop::none;
}

inline Drop Interface::take_icmp(const EthernetFrame& frame, const IpPacket& ip, Instant now,
                                 Classified& out) noexcept {
  const auto icmp = parse_icmp(ip.payload);
  if (!icmp) return icmp.error();
  if (icmp->type == IcmpType::unreachable) return take_too_big(*icmp, now, out);
  if (icmp->type != IcmpType::echo_request || icmp->code != 0) return Drop::icmp_ignored;
  return answer_echo(frame, ip, *icmp, now);
}

/// Neighbour messages also come to the groups of our addresses, everything else to us alone.
inline Drop Interface::take_icmpv6(const EthernetFrame& frame, const IpPacket& ip, Instant now,
                                   Classified& out) noexcept {
  const bool to_us = frame.destination == plan_.options.mac && plan_.owns(ip.destination);
  if (!to_us && !plan_.owns(ip.destination) && !is_our_group(ip.destination))
    return Drop::not_for_us;
  const auto icmp = parse_icmpv6(ip);
  if (!icmp) return icmp.error();
  switch (icmp->type) {
    case Icmpv6Type::neighbour_solicitation:
    case Icmpv6Type::neighbour_advertisement: {
      const auto message = parse_neighbour(ip, *icmp);
      if (!message) return message.error();
      if (frame.source == plan_.options.mac) return Drop::bad_neighbour;  // our own words come back
      return message->advertisement ? take_advertisement(frame, *message, now)
                                    : take_solicitation(frame, ip, *message, now);
    }
    case Icmpv6Type::membership_query:
      // RFC 3810 (5.1.14): from a link-local address and over this link only.
      if (!ipv6::is_link_local(ip.source) || ip.hops != 1) return Drop::icmp_ignored;
      announcer_.report_membership();
      return Drop::none;
    case Icmpv6Type::packet_too_big:
      return to_us ? take_too_big(*icmp, now, out) : Drop::icmp_ignored;
    case Icmpv6Type::echo_request:
      if (!to_us || !ipv6::is_host(ip.source) || icmp->code != 0) return Drop::icmp_ignored;
      return answer_echo(frame, ip, *icmp, now);
    default:
      return Drop::icmp_ignored;
  }
}

/// The answer goes back to where the request came from, without any table.
template <class Icmp>
Drop Interface::answer_echo(const EthernetFrame& frame, const IpPacket& ip, const Icmp& request,
                            Instant now) noexcept {
  if (!echo_limit_.allow(now)) return Drop::control_limit;
  const bool v4 = ip.source.is_v4();
  const std::size_t ip_bytes = v4 ? ipv4_header_bytes : ipv6_header_bytes;
  const std::size_t link_bytes = link_header_bytes(plan_.options.vlan);
  const std::span<std::byte> out =
      control_.push(link_bytes + ip_bytes + request.bytes.size(), control_.frames_max() / 4);
  if (out.empty()) return Drop::control_limit;
  const MutableBytes to =
      write_link(out, link_to(frame.source), v4 ? EtherType::ipv4 : EtherType::ipv6);
  const IpFields fields{ip.destination, ip.source, v4 ? IpProtocol::icmp : IpProtocol::icmpv6,
                        Ecn::not_capable, static_cast<std::uint16_t>(request.bytes.size())};
  if (v4)
    write_ipv4(to.first<ipv4_header_bytes>(), fields);
  else
    write_ipv6(to.first<ipv6_header_bytes>(), fields);
  write_echo_reply(to.subspan(ip_bytes), request);
  ++counters_.echo_requests_answered;
  return Drop::none;
}

// --- neighbours ---------------------------------------------------------------------------------

inline bool Interface::is_our_group(const IpAddress& group) const noexcept {
  if (!ipv6::is_multicast(group)) return false;
  if (group == ipv6::all_nodes) return true;
  return std::any_of(plan_.options.addresses.begin(), plan_.options.addresses.end(),
                     [&](const IpPrefix& own) {
                       return !own.address.is_v4() && ipv6::solicited_node(own.address) == group;
                     });
}

/// RFC 826 "Packet Reception", with the merge flag as may_create.
inline Drop Interface::take_arp(const EthernetFrame& frame, Instant now) noexcept {
  const MacAddress& mac = plan_.options.mac;
  if (frame.destination != mac && frame.destination != mac_broadcast) return Drop::not_for_us;
  const auto arp = parse_arp(frame.payload);
  if (!arp) return arp.error();
  if (arp->sender_mac == mac) return Drop::bad_arp;  // our own words coming back
  if (plan_.owns(arp->sender_ip)) {
    note_claim(arp->sender_mac, now);
    return Drop::bad_arp;
  }
  const bool for_us = plan_.owns(arp->target_ip);
  const bool request = arp->operation == ArpOperation::request;
  if (arp->sender_ip.to_v4() != 0) {
    const bool stranger_may_enter = for_us && request && plan_.routes.is_on_link(arp->sender_ip);
    const bool announcement = arp->target_ip == arp->sender_ip;  // RFC 5227 (2.3)
    const NeighbourNews news{arp->sender_ip, arp->sender_mac};
    hear(news, now, stranger_may_enter);
    if (for_us || announcement) tell_news(news);
  }
  if (!request) {
    ++counters_.arp_replies_heard;
    return Drop::none;
  }
  if (!for_us) return Drop::none;
  if (!neighbour_limit_.allow(now)) return Drop::control_limit;
  const std::span<std::byte> out = control_.push(link_header_bytes(plan_.options.vlan) + arp_bytes);
  if (out.empty()) return Drop::control_limit;
  write_arp_frame(out, arp->sender_mac,
                  {ArpOperation::reply, mac, arp->target_ip, arp->sender_mac, arp->sender_ip});
  ++counters_.arp_requests_answered;
  return Drop::none;
}

/// RFC 4861 (7.2.3, 7.2.4).
inline Drop Interface::take_solicitation(const EthernetFrame& frame, const IpPacket& ip,
                                         const NeighbourMessage& asked, Instant now) noexcept {
  if (!plan_.owns(asked.target)) return Drop::none;
  if (plan_.owns(ip.source)) {
    note_claim(asked.link_address.value_or(frame.source), now);
    return Drop::bad_neighbour;
  }
  const bool probe = ip.source.is_unset();
  // RFC 4862 (5.4.3): somebody else is about to take the address, as we are.
  if (probe && announcer_.tentative(now)) ++counters_.address_conflicts;
  if (asked.link_address) {
    const NeighbourNews news{ip.source, asked.link_address, NeighbourNews::Said::solicitation};
    hear(news, now, plan_.routes.is_on_link(ip.source));
    tell_news(news);
  }
  if (!neighbour_limit_.allow(now)) return Drop::control_limit;
  const std::span<std::byte> out = control_.push(link_header_bytes(plan_.options.vlan) +
                                                 ipv6_header_bytes + neighbour_message_bytes_max);
  if (out.empty()) return Drop::control_limit;
  const NeighbourMessage answer{true, !probe, !announcer_.tentative(now), asked.target,
                                plan_.options.mac};
  const IpAddress& destination = probe ? ipv6::all_nodes : ip.source;
  write_neighbour_frame(
      out, probe ? ipv6::multicast_mac(ipv6::all_nodes) : asked.link_address.value_or(frame.source),
      asked.target, destination, answer);
  ++counters_.solicitations_answered;
  return Drop::none;
}

/// RFC 4861 (7.2.5).
inline Drop Interface::take_advertisement(const EthernetFrame& frame, const NeighbourMessage& said,
                                          Instant now) noexcept {
  if (plan_.owns(said.target)) {
    note_claim(said.link_address.value_or(frame.source), now);
    return Drop::bad_neighbour;
  }
  const NeighbourNews news{said.target, said.link_address, NeighbourNews::Said::advertisement,
                           said.solicited, said.overrides};
  hear(news, now);
  tell_news(news);
  ++counters_.advertisements_heard;
  return Drop::none;
}

}  // namespace proa
