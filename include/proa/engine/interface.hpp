// L3: one NIC port's addresses, neighbours and routes, sans-I/O: which received frames carry Proa
// packets, what ARP and ICMP get as an answer, which headers go before a packet.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/time.hpp>
#include <proa/engine/control_queue.hpp>
#include <proa/engine/header_template.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/engine/neighbours.hpp>
#include <proa/engine/routes.hpp>
#include <proa/mem/packet.hpp>
#include <proa/wire/arp.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/udp.hpp>

namespace proa {

/// A UDP datagram between ports of the configured range, addressed to us. `payload` points into
/// the frame.
struct UdpArrival {
  IpAddress source, destination;
  UdpPorts ports;  // as on the wire: source is the peer's
  MacAddress source_mac;
  bool congestion_experienced = false;  // RFC 3168
  bool udp_checksum_verified = false;   // false: the sender sent none
  ByteView payload;
};

enum class Arrived : std::uint8_t { datagram, consumed, refused };

struct Classified {
  Arrived kind = Arrived::refused;
  Drop drop = Drop::none;  // of `refused`
  UdpArrival datagram;     // of `datagram`
};

struct InterfaceCounters {
  std::uint64_t arp_requests_sent = 0, arp_requests_answered = 0, arp_replies_heard = 0;
  std::uint64_t echo_requests_answered = 0;
  std::uint64_t address_conflicts = 0;  // another station claims one of our addresses (RFC 5227)
};

/// What one engine learned and the others should hear: ARP replies reach one queue only.
struct NeighbourNews {
  IpAddress address;
  MacAddress mac;
};

/// Belongs to one engine's thread; allocates only when made.
class Interface {
 public:
  explicit Interface(const InterfacePlan& plan)
      : plan_(plan),
        neighbours_(plan.options.neighbours),
        control_(plan.options.control_frames_max, plan.options.mtu_bytes + ethernet_header_bytes),
        arp_limit_(plan.options.answers_per_second, plan.options.answers_burst),
        echo_limit_(arp_limit_),
        announces_left_(plan.options.announce ? announces : 0) {
    primary_ = plan.primary_ipv4();
  }

  // Receive ------------------------------------------------------------------------------------

  /// Decides what a received frame is. `packet` carries the NIC's checksum verdicts.
  [[nodiscard]] Classified classify(const Packet& packet, Instant now) noexcept {
    Classified out;
    if (is_plain_datagram(packet, out.datagram)) [[likely]]
      out.kind = Arrived::datagram;
    else
      classify_slowly(packet, now, out);
    return out;
  }

  // Transmit -----------------------------------------------------------------------------------

  /// The address packets to `peer` come from; nothing when there is no route or no such peer.
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& peer) const noexcept {
    return plan_.source_for(peer);
  }

  /// Whether `peer` can be sent to; starts resolving its next hop.
  [[nodiscard]] Reach reach(const IpAddress& peer, Instant now) noexcept {
    HeaderTemplate scratch;
    scratch.peer_ = peer;
    return resolve(scratch, now);
  }

  [[nodiscard]] HeaderTemplate make_headers(const HeaderFields& fields) const noexcept {
    return HeaderTemplate{fields, plan_.options.mac};
  }

  /// Before each packet: only `ready` may be sent. A few ns while nothing changes.
  [[nodiscard]] Reach refresh(HeaderTemplate& headers, Instant now) noexcept {
    if (headers.version_ == neighbours_.version()) [[likely]] {
      if (headers.slot_ != Neighbours::no_slot) neighbours_.touch(headers.slot_, now);
      return Reach::ready;
    }
    return resolve(headers, now);
  }

  /// Headers straight back to where a datagram came from, without any table: for answers to
  /// strangers. Ready to finish().
  [[nodiscard]] HeaderTemplate reply_headers(const UdpArrival& to) const noexcept {
    HeaderTemplate headers{
        {to.destination, to.source, {to.ports.destination, to.ports.source}, Ecn::not_capable},
        plan_.options.mac};
    headers.set_next_hop(to.source_mac);
    return headers;
  }

  /// Changes when a `pending` or `unreachable` answer may have changed: ask waiting flows again.
  [[nodiscard]] std::uint32_t version() const noexcept { return neighbours_.version(); }

  // Its own frames -----------------------------------------------------------------------------

  /// Writes the next frame this interface sends by itself (ARP, echo reply); 0 when there is none.
  /// `out` should hold mtu + 14 bytes. Call until it returns 0.
  [[nodiscard]] std::size_t poll_control(Instant now, MutableBytes out) noexcept {
    if (const std::size_t bytes = control_.pop(out); bytes > 0) return bytes;
    if (out.size() < arp_frame_bytes) return 0;
    if (announces_left_ > 0 && now >= announce_at_) return write_announcement(now, out);
    const auto ask = neighbours_.poll_ask(now);
    return ask ? write_request(*ask, out) : 0;
  }

  [[nodiscard]] Instant next_timeout() const noexcept {
    if (!control_.empty()) return Instant::min();
    return std::min(neighbours_.next_timeout(), announces_left_ > 0 ? announce_at_ : never);
  }

  /// What other engines of this port should be told, and how they are told.
  [[nodiscard]] std::optional<NeighbourNews> poll_news() noexcept {
    if (news_count_ == 0) return std::nullopt;
    return news_[--news_count_];
  }
  void hear(const NeighbourNews& news, Instant now) noexcept {
    neighbours_.heard(news.address, news.mac, now, false);
  }

  [[nodiscard]] const InterfaceOptions& options() const noexcept { return plan_.options; }
  [[nodiscard]] const InterfaceCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t neighbour_count() const noexcept { return neighbours_.size(); }
  /// The longest UDP payload that fits the interface's MTU.
  [[nodiscard]] std::uint32_t payload_bytes_max() const noexcept {
    return plan_.options.mtu_bytes - std::uint32_t{ipv4_header_bytes + udp_header_bytes};
  }
  [[nodiscard]] bool in_port_range(std::uint16_t port) const noexcept {
    return port >= plan_.options.udp_port_first && port <= plan_.options.udp_port_last;
  }

 private:
  static constexpr std::size_t arp_frame_bytes = ethernet_header_bytes + arp_bytes;
  static constexpr std::uint8_t announces = 2;  // RFC 5227 (2.3): ANNOUNCE_NUM ...
  static constexpr Duration announce_interval = std::chrono::seconds{2};  // ANNOUNCE_INTERVAL
  static constexpr Duration defend_interval = std::chrono::seconds{10};   // DEFEND_INTERVAL

  // Fast: compares at fixed offsets what nearly every frame looks like. Whatever it does not
  // recognise, good or bad, is left to the careful way.
  [[nodiscard]] bool is_plain_datagram(const Packet& packet, UdpArrival& out) const noexcept;

  void classify_slowly(const Packet& packet, Instant now, Classified& out) noexcept {
    const auto frame = parse_ethernet(packet.bytes());
    Drop drop = Drop::none;
    out.kind = Arrived::consumed;
    if (!frame)
      drop = frame.error();
    else if (frame->type == EtherType::arp)
      drop = take_arp(*frame, now);
    else if (frame->type == EtherType::ipv4)
      drop = take_ipv4(*frame, packet, now, out);
    else
      drop = Drop::unknown_ethertype;  // IPv6 is not served yet
    if (drop == Drop::none) return;
    out.kind = Arrived::refused;
    out.drop = drop;
  }

  [[nodiscard]] Drop take_ipv4(const EthernetFrame& frame, const Packet& packet, Instant now,
                               Classified& out) noexcept;
  [[nodiscard]] Drop take_udp(const IpPacket& ip, const Packet& packet, UdpArrival& out) noexcept;
  [[nodiscard]] Drop take_icmp(const EthernetFrame& frame, const IpPacket& ip,
                               Instant now) noexcept;
  [[nodiscard]] Drop take_arp(const EthernetFrame& frame, Instant now) noexcept;
  void tell_news(const NeighbourNews& news) noexcept {
    if (news_count_ < news_.size()) news_[news_count_++] = news;  // lost: asked again
  }

  [[nodiscard]] Reach resolve(HeaderTemplate& headers, Instant now) noexcept;
  std::size_t write_request(const Neighbours::Ask& ask, MutableBytes out) noexcept;
  std::size_t write_announcement(Instant now, MutableBytes out) noexcept;

  InterfacePlan plan_;
  Neighbours neighbours_;
  ControlQueue control_;
  RateLimit arp_limit_;
  RateLimit echo_limit_;
  InterfaceCounters counters_;
  std::array<NeighbourNews, 16> news_{};
  std::size_t news_count_ = 0;
  IpAddress primary_;
  std::uint8_t announces_left_;
  std::size_t announce_address_ = 0;
  Instant announce_at_ = Instant::min();
  Instant defended_at_ = Instant::min();
};

// The definitions follow in the order of a frame's way.

inline bool Interface::is_plain_datagram(const Packet& packet, UdpArrival& out) const noexcept {
  const ByteView frame = packet.bytes();
  if (frame.size() < frame_header_bytes) return false;
  const std::byte* const at = frame.data();
  if (std::memcmp(at, plan_.options.mac.octets.data(), 6) != 0) return false;
  if ((load_be<std::uint32_t>(at + 12) & 0xffff'ff00U) != 0x0800'4500U) return false;
  const std::size_t total_bytes = load_be<std::uint16_t>(at + 16);
  const std::size_t udp_bytes = load_be<std::uint16_t>(at + 38);
  const UdpPorts ports{load_be<std::uint16_t>(at + 34), load_be<std::uint16_t>(at + 36)};
  const auto udp_checksum = load_be<std::uint16_t>(at + 40);
  const auto source = load_be<std::uint32_t>(at + 26);
  if (total_bytes > frame.size() - ethernet_header_bytes ||
      total_bytes < udp_bytes + ipv4_header_bytes || udp_bytes < udp_header_bytes)
    return false;
  if ((load_be<std::uint16_t>(at + 20) & 0x3fffU) != 0 || at[23] != std::byte{17}) return false;
  if (load_be<std::uint32_t>(at + 30) != primary_.to_v4() || !is_host_v4(source)) return false;
  if (!in_port_range(ports.source) || !in_port_range(ports.destination)) return false;
  const bool verified = packet.has(PacketFlag::rx_l4_checksum_good);
  if (udp_checksum != 0 && !verified) return false;
  if (!packet.has(PacketFlag::rx_ip_checksum_good) &&
      internet_checksum(frame.subspan<ethernet_header_bytes, ipv4_header_bytes>()) != 0)
    return false;
  if ((at[6] & std::byte{1}) != std::byte{0}) return false;  // no station sends from a group
  out.source = IpAddress::v4(source);
  out.destination = primary_;
  out.ports = ports;
  std::memcpy(out.source_mac.octets.data(), at + 6, 6);
  out.congestion_experienced = (at[15] & std::byte{3}) == std::byte{3};
  out.udp_checksum_verified = udp_checksum != 0;
  out.payload = frame.subspan(frame_header_bytes, udp_bytes - udp_header_bytes);
  return true;
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
    return take_icmp(frame, *ip, now);
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
  out.udp_checksum_verified = udp->checksum != 0;
  out.payload = udp->payload();
  return Drop::none;
}

inline Drop Interface::take_icmp(const EthernetFrame& frame, const IpPacket& ip,
                                 Instant now) noexcept {
  const auto icmp = parse_icmp(ip.payload);
  if (!icmp) return icmp.error();
  if (icmp->type != IcmpType::echo_request || icmp->code != 0) return Drop::icmp_ignored;
  if (!echo_limit_.allow(now)) return Drop::control_limit;
  const std::size_t frame_bytes = ethernet_header_bytes + ipv4_header_bytes + icmp->bytes.size();
  const std::span<std::byte> to = control_.push(frame_bytes, control_.frames_max() / 4);
  if (to.empty()) return Drop::control_limit;
  write_ethernet(to.first<ethernet_header_bytes>(), frame.source, plan_.options.mac,
                 EtherType::ipv4);
  write_ipv4(to.subspan<ethernet_header_bytes, ipv4_header_bytes>(),
             {ip.destination, ip.source, IpProtocol::icmp, Ecn::not_capable,
              static_cast<std::uint16_t>(icmp->bytes.size())});
  write_echo_reply(to.subspan(ethernet_header_bytes + ipv4_header_bytes), *icmp);
  ++counters_.echo_requests_answered;
  return Drop::none;
}

/// RFC 826 "Packet Reception", with the merge flag as may_create.
inline Drop Interface::take_arp(const EthernetFrame& frame, Instant now) noexcept {
  const MacAddress& mac = plan_.options.mac;
  if (frame.destination != mac && frame.destination != mac_broadcast) return Drop::not_for_us;
  const auto arp = parse_arp(frame.payload);
  if (!arp) return arp.error();
  if (arp->sender_mac == mac) return Drop::bad_arp;  // our own words coming back
  if (plan_.owns(arp->sender_ip)) {
    ++counters_.address_conflicts;
    if (now >=
        later(defended_at_, defend_interval)) {  // RFC 5227 (2.4 b): defend it, not too often
      defended_at_ = now;
      announces_left_ = std::max<std::uint8_t>(announces_left_, 1);
    }
    return Drop::bad_arp;
  }
  const bool for_us = plan_.owns(arp->target_ip);
  const bool request = arp->operation == ArpOperation::request;
  if (!arp->sender_ip.is_v4() || arp->sender_ip.to_v4() != 0) {
    const bool stranger_may_enter = for_us && request && plan_.routes.is_on_link(arp->sender_ip);
    neighbours_.heard(arp->sender_ip, arp->sender_mac, now, stranger_may_enter);
    if (for_us) tell_news({arp->sender_ip, arp->sender_mac});
  }
  if (!request) {
    ++counters_.arp_replies_heard;
    return Drop::none;
  }
  if (!for_us) return Drop::none;
  if (!arp_limit_.allow(now)) return Drop::control_limit;
  const std::span<std::byte> to = control_.push(arp_frame_bytes);
  if (to.empty()) return Drop::control_limit;
  write_ethernet(to.first<ethernet_header_bytes>(), arp->sender_mac, mac, EtherType::arp);
  write_arp(to.subspan<ethernet_header_bytes, arp_bytes>(),
            {ArpOperation::reply, mac, arp->target_ip, arp->sender_mac, arp->sender_ip});
  ++counters_.arp_requests_answered;
  return Drop::none;
}

inline Reach Interface::resolve(HeaderTemplate& headers, Instant now) noexcept {
  headers.version_ = 0;
  const auto next_hop = plan_.next_hop(headers.peer_);
  if (!next_hop) return Reach::no_route;
  if (plan_.owns(*next_hop)) {  // ourselves: the engine loops it back
    headers.slot_ = Neighbours::no_slot;
    headers.set_next_hop(plan_.options.mac);
    headers.version_ = neighbours_.version();
    return Reach::ready;
  }
  const Neighbours::Found found = neighbours_.resolve(*next_hop, now, headers.slot_);
  headers.slot_ = found.slot;
  if (found.reach != Reach::ready) return found.reach;
  headers.set_next_hop(found.mac);
  headers.version_ = neighbours_.version();
  return Reach::ready;
}

inline std::size_t Interface::write_request(const Neighbours::Ask& ask, MutableBytes out) noexcept {
  const auto source = plan_.source_for(ask.address);
  const MacAddress& mac = plan_.options.mac;
  write_ethernet(out.first<ethernet_header_bytes>(), ask.unicast_to.value_or(mac_broadcast), mac,
                 EtherType::arp);
  write_arp(out.subspan<ethernet_header_bytes, arp_bytes>(),
            {ArpOperation::request, mac, source.value_or(primary_), {}, ask.address});
  ++counters_.arp_requests_sent;
  return arp_frame_bytes;
}

/// RFC 5227 (2.3): an ARP announcement is a request for one's own address.
inline std::size_t Interface::write_announcement(Instant now, MutableBytes out) noexcept {
  const MacAddress& mac = plan_.options.mac;
  const IpAddress address = plan_.options.addresses[announce_address_].address;
  write_ethernet(out.first<ethernet_header_bytes>(), mac_broadcast, mac, EtherType::arp);
  write_arp(out.subspan<ethernet_header_bytes, arp_bytes>(),
            {ArpOperation::request, mac, address, {}, address});
  if (++announce_address_ == plan_.options.addresses.size()) {
    announce_address_ = 0;
    --announces_left_;
    announce_at_ = later(now, announce_interval);
  }
  ++counters_.arp_requests_sent;
  return arp_frame_bytes;
}

}  // namespace proa
