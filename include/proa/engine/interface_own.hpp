// L3: resolution, the frames an interface sends by itself, and what others say of its addresses;
// included by engine/interface.hpp only.
#pragma once
#include <proa/engine/interface.hpp>

namespace proa {

inline Reach Interface::resolve(HeaderTemplate& headers, const IpAddress& peer,
                                Instant now) noexcept {
  headers.version_ = 0;
  const auto next_hop = plan_.next_hop(peer);
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

inline std::size_t Interface::write_arp_frame(MutableBytes out, const MacAddress& to,
                                              const ArpPacket& arp) const noexcept {
  const MutableBytes rest = write_link(out, link_to(to), EtherType::arp);
  write_arp(rest.first<arp_bytes>(), arp);
  return out.size() - rest.size() + arp_bytes;
}

inline std::size_t Interface::write_neighbour_frame(
    MutableBytes out, const MacAddress& to, const IpAddress& source, const IpAddress& destination,
    const NeighbourMessage& message) const noexcept {
  const MutableBytes rest = write_link(out, link_to(to), EtherType::ipv6);
  return out.size() - rest.size() + write_neighbour(rest, source, destination, message);
}

/// RFC 4861 (7.2.1, 7.2.2), RFC 826: to everybody, or to the neighbour as it was known.
inline std::size_t Interface::write_request(const Neighbours::Ask& ask, Instant now,
                                            MutableBytes out) noexcept {
  const bool v4 = ask.address.is_v4();
  const IpAddress source = plan_.source_for(ask.address).value_or(plan_.primary(v4));
  const MacAddress& mac = plan_.options.mac;
  if (!ask.unicast_to && is_of_gateway(ask.address)) gateways_asked_at_ = now;
  if (v4) {
    ++counters_.arp_requests_sent;
    return write_arp_frame(out, ask.unicast_to.value_or(mac_broadcast),
                           {ArpOperation::request, mac, source, {}, ask.address});
  }
  ++counters_.solicitations_sent;
  const IpAddress group = ipv6::solicited_node(ask.address);
  NeighbourMessage question;
  question.target = ask.address;
  question.link_address = mac;
  if (ask.unicast_to)
    return write_neighbour_frame(out, *ask.unicast_to, source, ask.address, question);
  return write_neighbour_frame(out, ipv6::multicast_mac(group), source, group, question);
}

inline std::size_t Interface::write_announcement(const Announcer::Item& item, Instant now,
                                                 MutableBytes out) noexcept {
  if (item.word == Announcer::Word::membership) return write_membership_frame(out);
  const MacAddress& mac = plan_.options.mac;
  const IpAddress& address = plan_.options.addresses[item.address].address;
  if (item.word == Announcer::Word::announcement) ++counters_.announcements_sent;
  if (address.is_v4()) {  // RFC 5227 (2.3): a request for one's own address
    return write_arp_frame(out, mac_broadcast, {ArpOperation::request, mac, address, {}, address});
  }
  NeighbourMessage message;
  message.target = address;
  if (item.word == Announcer::Word::probe) {  // RFC 4862 (5.4.2): from nobody
    ++counters_.solicitations_sent;
    const IpAddress group = ipv6::solicited_node(address);
    return write_neighbour_frame(out, ipv6::multicast_mac(group), {}, group, message);
  }
  message.advertisement = true;
  message.overrides = !announcer_.tentative(now);
  message.link_address = mac;
  return write_neighbour_frame(out, ipv6::multicast_mac(ipv6::all_nodes), address, ipv6::all_nodes,
                               message);
}

/// The solicited-node group of every IPv6 address, each once.
inline std::size_t Interface::write_membership_frame(MutableBytes out) const noexcept {
  std::array<IpAddress, InterfacePlan::addresses_max + 1> groups;
  std::size_t count = 0;
  for (const IpPrefix& own : plan_.options.addresses) {
    if (own.address.is_v4()) continue;
    const IpAddress group = ipv6::solicited_node(own.address);
    const auto end = groups.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find(groups.begin(), end, group) == end) groups[count++] = group;
  }
  const MutableBytes rest =
      write_link(out, link_to(ipv6::multicast_mac(ipv6::all_mld_routers)), EtherType::ipv6);
  return out.size() - rest.size() +
         write_membership_report(rest, plan_.link_local(), MembershipRecord::joins,
                                 std::span{groups}.first(count));
}

// --- addresses of ours that others claim --------------------------------------------------------

/// Another station says that it has an address of ours: a duplicate, or a network whose gateway
/// answers for every address (see AddressClaims). Who the gateways are may have to be asked first.
inline void Interface::note_claim(const MacAddress& by, Instant now) noexcept {
  if (const auto one_too_many = claims_.note(by, later(now, claim_wait)))
    judge_claim(*one_too_many, now);
  if (claims_.has_spoken_for_gateway(by) || !gateways_may_speak_up(now)) {
    if (const auto all = claims_.take(by)) judge_claim(*all, now);
    return;
  }
  ask_for_gateways(now);
}

/// RFC 5227 (2.4 b): defend the address, not too often; against a gateway that would be in vain.
inline void Interface::judge_claim(const AddressClaims::Claim& claim, Instant now) noexcept {
  if (claims_.has_spoken_for_gateway(claim.by)) {
    counters_.proxy_claims += claim.times;
    return;
  }
  counters_.address_conflicts += claim.times;
  if (now < later(defended_at_, defend_interval)) return;
  defended_at_ = now;
  announcer_.repeat(now);
}

inline bool Interface::is_of_gateway(const IpAddress& address) const noexcept {
  const auto& routes = plan_.routes.all();
  return std::any_of(routes.begin(), routes.end(),
                     [&](const Route& route) { return route.gateway == address; });
}

/// One is not known, or the question is so fresh that a second station may still answer it: what a
/// slow one says of our address then comes before what it says of the gateway's.
inline bool Interface::gateways_may_speak_up(Instant now) const noexcept {
  const auto& routes = plan_.routes.all();
  const bool asks = now < later(gateways_asked_at_, claim_wait);
  return std::any_of(routes.begin(), routes.end(), [&](const Route& route) {
    return route.gateway && (asks || !neighbours_.mac_of(*route.gateway));
  });
}

inline void Interface::ask_for_gateways(Instant now) noexcept {
  for (const Route& route : plan_.routes.all())
    if (route.gateway && !neighbours_.mac_of(*route.gateway))
      static_cast<void>(neighbours_.resolve(*route.gateway, now));
}

}  // namespace proa
