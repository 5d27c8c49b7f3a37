// L3: one NIC port's addresses, neighbours and routes, sans-I/O: which received frames carry Proa
// packets, what neighbours and pings get as an answer, which headers go before a packet.
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
#include <proa/engine/address_claims.hpp>
#include <proa/engine/announcer.hpp>
#include <proa/engine/control_queue.hpp>
#include <proa/engine/header_template.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/engine/neighbours.hpp>
#include <proa/engine/routes.hpp>
#include <proa/mem/packet.hpp>
#include <proa/wire/arp.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/header.hpp>
#include <proa/wire/icmp.hpp>
#include <proa/wire/icmpv6.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/packet_too_big.hpp>
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

enum class Arrived : std::uint8_t {
  datagram,
  consumed,
  refused,
  too_big,  // the network could not carry a packet of ours: `datagram` names its peer and bytes
};

struct Classified {
  Arrived kind = Arrived::refused;
  Drop drop = Drop::none;  // of `refused`
  UdpArrival datagram;     // of `datagram` and `too_big`
};

struct InterfaceCounters {
  std::uint64_t arp_requests_sent = 0, arp_requests_answered = 0, arp_replies_heard = 0;
  std::uint64_t solicitations_sent = 0, solicitations_answered = 0, advertisements_heard = 0;
  std::uint64_t announcements_sent = 0;  // ARP or advertisements of an own address, unasked
  std::uint64_t echo_requests_answered = 0;
  std::uint64_t address_conflicts = 0;  // another station claims one (RFC 5227, RFC 4862 5.4)
  std::uint64_t proxy_claims = 0;       // a gateway does: networks that answer for every address
};

/// What a neighbour said, for this engine and the others: it reaches one queue only.
struct NeighbourNews {
  enum class Said : std::uint8_t { arp, solicitation, advertisement };
  IpAddress address;
  std::optional<MacAddress> mac;  // an advertisement may leave it out
  Said said = Said::arp;
  bool solicited = false, overrides = false;  // of an advertisement
};

/// Belongs to one engine's thread; allocates only when made.
class Interface {
 public:
  /// `announces`: this engine tells the neighbours our addresses, if anybody shall.
  explicit Interface(const InterfacePlan& plan, bool announces = true)
      : plan_(plan),
        neighbours_(plan.options.neighbours),
        control_(plan.options.control_frames_max,
                 plan.options.mtu_bytes + link_header_bytes(plan.options.vlan)),
        neighbour_limit_(plan.options.answers_per_second, plan.options.answers_burst),
        echo_limit_(neighbour_limit_),
        announcer_(plan_.options.addresses, plan.options.detect_duplicates),
        primary_(plan.primary(true)),
        primary_ipv6_(plan.primary(false)),
        plain_ipv4_(primary_.is_v4() ? primary_.to_v4() : ~std::uint64_t{0}) {
    announces_ = announces && plan_.options.announce;
    if (announces_) announcer_.start(Instant::min());
  }
  Interface(const Interface&) = delete;  // the announcer looks into the plan
  Interface& operator=(const Interface&) = delete;

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
    return resolve(scratch, peer, now);
  }

  [[nodiscard]] HeaderTemplate make_headers(const HeaderFields& fields) const noexcept {
    return HeaderTemplate{fields, link_to({})};
  }

  /// Before each packet: only `ready` may be sent. A few ns while nothing changes.
  [[nodiscard]] Reach refresh(HeaderTemplate& headers, Instant now) noexcept {
    if (headers.version_ == neighbours_.version()) [[likely]] {
      if (headers.slot_ != Neighbours::no_slot) neighbours_.touch(headers.slot_, now);
      return Reach::ready;
    }
    return resolve(headers, headers.peer(), now);
  }

  /// After another answer than `ready`: whether the next hop was asked for, so that it is to blame.
  [[nodiscard]] bool has_asked(const HeaderTemplate& headers) const noexcept {
    return headers.slot_ == Neighbours::no_slot || neighbours_.was_asked(headers.slot_);
  }

  /// Packets with these headers remain unanswered: perhaps the next hop is another station now.
  void doubt(const HeaderTemplate& headers, Instant now) noexcept {
    if (headers.slot_ != Neighbours::no_slot) neighbours_.doubt(headers.slot_, now);
  }

  /// Headers straight back to where a datagram came from, without any table: for answers to
  /// strangers. Ready to finish().
  [[nodiscard]] HeaderTemplate reply_headers(const UdpArrival& to) const noexcept {
    HeaderTemplate headers{
        {to.destination, to.source, {to.ports.destination, to.ports.source}, Ecn::not_capable},
        link_to(to.source_mac)};
    return headers;
  }

  /// Changes when a `pending` or `unreachable` answer may have changed: ask waiting flows again.
  [[nodiscard]] std::uint32_t version() const noexcept { return neighbours_.version(); }

  // Its own frames -----------------------------------------------------------------------------

  /// Writes the next frame this interface sends by itself (ARP, neighbour discovery, echo reply); 0
  /// when there is none. `out` should hold the MTU and a link header. Call until it returns 0.
  [[nodiscard]] std::size_t poll_control(Instant now, MutableBytes out) noexcept {
    asked_.reset();
    if (const std::size_t bytes = control_.pop(out); bytes > 0) return bytes;
    if (out.size() < own_frame_bytes_max) return 0;
    while (const auto due = claims_.take_due(now)) judge_claim(*due, now);
    if (const auto item = announcer_.poll(now)) return write_announcement(*item, now, out);
    asked_ = neighbours_.poll_ask(now);
    return asked_ ? write_request(*asked_, now, out) : 0;
  }
  /// Whether the last frame asks for a neighbour. It counts once it has left: one that the NIC does
  /// not take is to be thrown away and taken back.
  [[nodiscard]] bool wrote_request() const noexcept { return asked_.has_value(); }
  void take_back_request(Instant now) noexcept {
    --(asked_->address.is_v4() ? counters_.arp_requests_sent : counters_.solicitations_sent);
    neighbours_.not_asked(asked_->slot, now);
    asked_.reset();
  }

  [[nodiscard]] Instant next_timeout() const noexcept {
    if (!control_.empty()) return Instant::min();
    return std::min(
        {neighbours_.next_timeout(), announcer_.next_timeout(), claims_.next_timeout()});
  }

  /// The NIC has its link again, perhaps in another place of the network: neighbours are re-checked
  /// when they are used next, and one engine tells everybody our addresses.
  void link_came_up(Instant now, bool announces) noexcept {
    announces_ = announces && plan_.options.announce;
    if (announces_) announcer_.start(now);
    neighbours_.doubt_all(now);
  }
  /// Whether it was this one that told our addresses last.
  [[nodiscard]] bool announces() const noexcept { return announces_; }

  /// What other engines of this port should be told, the oldest first: the last word counts.
  [[nodiscard]] std::optional<NeighbourNews> poll_news() noexcept {
    if (news_told_ < news_count_) return news_[news_told_++];
    news_told_ = news_count_ = 0;
    return std::nullopt;
  }
  void hear(const NeighbourNews& news, Instant now, bool may_create = false) noexcept {
    using enum NeighbourNews::Said;
    if (news.mac && is_of_gateway(news.address)) claims_.speaks_for_gateway(*news.mac);
    switch (news.said) {
      case arp:
        return neighbours_.heard(news.address, *news.mac, now, may_create);
      case solicitation:
        return neighbours_.solicited_by(news.address, *news.mac, now, may_create);
      case advertisement:
        return neighbours_.advertised(news.address, news.mac, news.solicited, news.overrides, now);
    }
  }

  [[nodiscard]] const InterfaceOptions& options() const noexcept { return plan_.options; }
  [[nodiscard]] const InterfaceCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t neighbour_count() const noexcept { return neighbours_.size(); }
  /// The longest UDP payload to a peer of that family that fits the interface's MTU and a frame of
  /// `frame_bytes_max`.
  [[nodiscard]] std::uint32_t payload_bytes_max(bool v4,
                                                std::uint32_t frame_bytes_max) const noexcept {
    const auto link = static_cast<std::uint32_t>(link_header_bytes(plan_.options.vlan));
    const auto packet = std::min(plan_.options.mtu_bytes, frame_bytes_max - link);
    return packet - static_cast<std::uint32_t>(ip_udp_header_bytes(v4));
  }
  /// What a frame carries that these headers were put on by HeaderTemplate::finish(), and that
  /// never left memory.
  [[nodiscard]] UdpArrival read_back(ByteView frame) const noexcept;
  /// The destination flow id of a frame that is a plain Proa packet; of others any number. To have
  /// memory fetched, never to decide anything.
  [[nodiscard]] std::uint32_t likely_flow_id(ByteView frame) const noexcept {
    const std::size_t ip_at = link_header_bytes(plan_.options.vlan);
    if (frame.size() < ip_at + ip_udp_header_bytes(true) + PacketHeader::size) return 0;
    const bool v4 = (std::to_integer<unsigned>(frame[ip_at]) >> 4U) == 4;
    const std::size_t at = ip_at + ip_udp_header_bytes(v4) + PacketHeader::destination_flow_at;
    return at + 4 > frame.size() ? 0 : load_be<std::uint32_t>(frame.data() + at);
  }
  [[nodiscard]] bool in_port_range(std::uint16_t port) const noexcept {
    return port >= plan_.options.udp_port_first && port <= plan_.options.udp_port_last;
  }

 private:
  // The longest of its own frames besides echo replies: a report about all addresses' groups.
  static constexpr std::size_t own_frame_bytes_max =
      ethernet_header_bytes_max + membership_report_bytes(InterfacePlan::addresses_max + 1);
  static constexpr Duration defend_interval = std::chrono::seconds{10};  // RFC 5227 (1.1)
  static constexpr Duration claim_wait = std::chrono::seconds{1};        // for answers of gateways

  [[nodiscard]] LinkFields link_to(const MacAddress& mac) const noexcept {
    return {mac, plan_.options.mac, plan_.options.vlan};
  }

  // Fast: compares at fixed offsets what nearly every frame looks like. Whatever it does not
  // recognise, good or bad, is left to the careful way.
  [[nodiscard]] bool is_plain_datagram(const Packet& packet, UdpArrival& out) const noexcept;
  [[nodiscard]] bool is_plain_tagged(const Packet& packet, UdpArrival& out) const noexcept;
  template <std::size_t IpAt>
  [[nodiscard, gnu::always_inline]] bool is_plain_ip(const Packet& packet,
                                                     UdpArrival& out) const noexcept;
  template <std::size_t IpAt>
  [[nodiscard, gnu::always_inline]] bool is_plain_ipv4(const Packet& packet,
                                                       UdpArrival& out) const noexcept;
  template <std::size_t IpAt>
  [[nodiscard]] bool is_plain_ipv6(const Packet& packet, UdpArrival& out) const noexcept;

  void classify_slowly(const Packet& packet, Instant now, Classified& out) noexcept;
  [[nodiscard]] Drop take_ipv4(const EthernetFrame& frame, const Packet& packet, Instant now,
                               Classified& out) noexcept;
  [[nodiscard]] Drop take_ipv6(const EthernetFrame& frame, const Packet& packet, Instant now,
                               Classified& out) noexcept;
  [[nodiscard]] Drop take_udp(const IpPacket& ip, const Packet& packet, UdpArrival& out) noexcept;
  [[nodiscard]] Drop take_icmp(const EthernetFrame& frame, const IpPacket& ip, Instant now,
                               Classified& out) noexcept;
  [[nodiscard]] Drop take_icmpv6(const EthernetFrame& frame, const IpPacket& ip, Instant now,
                                 Classified& out) noexcept;
  template <class Icmp>
  [[nodiscard]] Drop take_too_big(const Icmp& icmp, Instant now, Classified& out) noexcept;
  template <class Icmp>
  [[nodiscard]] Drop answer_echo(const EthernetFrame& frame, const IpPacket& ip,
                                 const Icmp& request, Instant now) noexcept;
  [[nodiscard]] Drop take_arp(const EthernetFrame& frame, Instant now) noexcept;
  [[nodiscard]] Drop take_solicitation(const EthernetFrame& frame, const IpPacket& ip,
                                       const NeighbourMessage& asked, Instant now) noexcept;
  [[nodiscard]] Drop take_advertisement(const EthernetFrame& frame, const NeighbourMessage& said,
                                        Instant now) noexcept;
  [[nodiscard]] bool is_our_group(const IpAddress& group) const noexcept;
  void note_claim(const MacAddress& by, Instant now) noexcept;
  void judge_claim(const AddressClaims::Claim& claim, Instant now) noexcept;
  [[nodiscard]] bool is_of_gateway(const IpAddress& address) const noexcept;
  [[nodiscard]] bool gateways_may_speak_up(Instant now) const noexcept;
  void ask_for_gateways(Instant now) noexcept;
  void tell_news(const NeighbourNews& news) noexcept {
    if (news_count_ < news_.size()) news_[news_count_++] = news;  // lost: asked again
  }

  [[nodiscard]] Reach resolve(HeaderTemplate& headers, const IpAddress& peer, Instant now) noexcept;
  std::size_t write_request(const Neighbours::Ask& ask, Instant now, MutableBytes out) noexcept;
  std::size_t write_announcement(const Announcer::Item& item, Instant now,
                                 MutableBytes out) noexcept;
  std::size_t write_arp_frame(MutableBytes out, const MacAddress& to,
                              const ArpPacket& arp) const noexcept;
  std::size_t write_neighbour_frame(MutableBytes out, const MacAddress& to, const IpAddress& source,
                                    const IpAddress& destination,
                                    const NeighbourMessage& message) const noexcept;
  std::size_t write_membership_frame(MutableBytes out) const noexcept;

  InterfacePlan plan_;
  Neighbours neighbours_;
  std::optional<Neighbours::Ask> asked_;  // in the last frame of poll_control()
  ControlQueue control_;
  RateLimit neighbour_limit_;
  RateLimit echo_limit_;
  Announcer announcer_;
  InterfaceCounters counters_;
  std::array<NeighbourNews, 16> news_{};
  std::size_t news_count_ = 0, news_told_ = 0;
  IpAddress primary_;
  IpAddress primary_ipv6_;
  std::uint64_t plain_ipv4_;  // primary_ in host order, or what no address equals
  bool announces_ = false;
  AddressClaims claims_;
  Instant gateways_asked_at_ = Instant::min();  // all stations, by us
  Instant defended_at_ = Instant::min();
};

}  // namespace proa

#include <proa/engine/interface_own.hpp>
#include <proa/engine/interface_receive.hpp>
