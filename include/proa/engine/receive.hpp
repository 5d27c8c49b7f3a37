// L3: a received frame's way through the engine to its flow; included by engine.hpp only.
#pragma once
#include <utility>

#include <proa/engine/engine.hpp>

namespace proa {

/// Without it a sample's uncertainty reaches back to the last turn.
template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::note_ring_empty_until(Instant at) noexcept {
  ring_read_.note_empty_until(at);
  inbox_read_.note_empty_until(at);
}

/// Returns whether a burst came back short: everything that had arrived is handled.
template <Nic NicT, class AppSide, class Policy>
template <class Clock>
bool Engine<NicT, AppSide, Policy>::receive(Clock&& clock) noexcept {
  if (loopback_count_ != 0) receive_loopback();
  sparse_ = true;
  while (true) {
    const std::size_t count = nic_->rx_burst(now_, std::span{rx_});
    now_ = clock();
    if (count != 0) {
      Arrival arrival{now_, now_ - ring_read_.read_until(), false};
      sparse_ = count == 1;
      if (count > 1 && flows_.size() > flows_in_cache) look_ahead(count);
      handle_burst(count, [&](const Packet& packet) { return receive_frame(packet, arrival); });
    }
    if (count < rx_.size()) {
      ring_read_.note_end(now_);
      return true;
    }
    ring_read_.note_more(static_cast<std::uint32_t>(count), now_);
    if (report_.received >= options_.rx_packets_per_turn) return false;
  }
}

/// Gaps while it catches up with an earlier one do not count, or an engine that is always late
/// would never have timers. One of another order does: there are only a few of those.
template <Nic NicT, class AppSide, class Policy>
[[gnu::noinline]] void Engine<NicT, AppSide, Policy>::note_late(Duration gap, bool ring_done,
                                                                bool inbox_done) noexcept {
  ++counters_.late_turns;
  if (gap <= 2 * catching_up_after_) return;
  catching_up_after_ = gap;
  if (!ring_done) ring_read_.begin_catching_up();
  if (!inbox_done) inbox_read_.begin_catching_up();
}

template <Nic NicT, class AppSide, class Policy>
[[gnu::noinline]] void Engine<NicT, AppSide, Policy>::note_catching_up() noexcept {
  if (ring_read_.catching_up() || inbox_read_.catching_up())
    ++turns_without_timers_;
  else
    catching_up_after_ = {};
}

/// Has fetched what the packets of rx_[0, count) are going to need, if they are what they seem.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::look_ahead(std::size_t count) noexcept {
  std::array<std::uint32_t, rx_burst_packets> ids;
  for (std::size_t i = 0; i < count; ++i) {
    ids[i] = interface_.likely_flow_id(rx_[i].bytes());
    flows_.prefetch_id(ids[i]);
  }
  for (std::size_t i = 0; i < count; ++i)
    if (const std::uint32_t slot = flows_.find_id(ids[i]); slot != no_slot) flows_.prefetch(slot);
}

/// Handles rx_[0, count) and gives the packets back.
template <Nic NicT, class AppSide, class Policy>
template <class Handle>
void Engine<NicT, AppSide, Policy>::handle_burst(std::size_t count, Handle&& handle) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    counters_.rx_bytes += rx_[i].length();
    const Drop drop = handle(std::as_const(rx_[i]));
    if (drop != Drop::none) [[unlikely]]
      counters_.drops.add(drop);
  }
  counters_.rx_packets += count;
  report_.received += static_cast<std::uint32_t>(count);
  nic_->release(std::span{rx_}.first(count));
}

/// Frames between two applications of this host never reach a NIC.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::receive_loopback() noexcept {
  const std::size_t count = std::min(loopback_count_, rx_.size());
  std::move(loopback_.begin(), loopback_.begin() + static_cast<std::ptrdiff_t>(count), rx_.begin());
  std::move(loopback_.begin() + static_cast<std::ptrdiff_t>(count),
            loopback_.begin() + static_cast<std::ptrdiff_t>(loopback_count_), loopback_.begin());
  loopback_count_ -= count;
  const Arrival arrival{now_, Duration{}, false};
  handle_burst(count, [&](const Packet& packet) {
    const UdpArrival from = interface_.read_back(packet.bytes());
    if (!options_.interface.owns(from.destination)) return to_other_interface(from);
    return receive_datagram(from, arrival, {Via::loopback, index_});
  });
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::receive_frame(const Packet& packet, Arrival& arrival) noexcept {
  const Classified what = interface_.classify(packet, now_);
  if (what.kind != Arrived::datagram) [[unlikely]] {
    spread_news();
    if (what.kind == Arrived::too_big) return packet_too_big(what.datagram);
    return what.kind == Arrived::refused ? what.drop : Drop::none;
  }
  if constexpr (Integrity::needs_udp_checksum)
    if (!what.datagram.udp_checksum_verified) return Drop::bad_checksum;
  arrival.congestion_experienced = what.datagram.congestion_experienced;
  return receive_datagram(what.datagram, arrival, {Via::nic, index_});
}

/// Routers quote at least 8 bytes after the IP header, mostly up to 576 in all (RFC 1812 4.3.2.3):
/// then our flow id is among them, which nobody else knows. It may be another engine's.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::packet_too_big(const UdpArrival& quoted) noexcept {
  if (quoted.payload.size() < 12) return Drop::icmp_ignored;
  const auto id = load_be<std::uint32_t>(quoted.payload.data() + 8);
  const std::uint32_t owner = id & (engines_max - 1);
  if (owner != index_ && owner < group_->size()) return put(*group_, owner, quoted, Via::icmp);
  const std::uint32_t slot = flows_.find_id(id);
  if (slot == no_slot || flows_[slot].flow.identity().peer.address != quoted.source)
    return Drop::icmp_ignored;
  if constexpr (requires { flows_[slot].flow.on_packet_too_big(); })
    flows_[slot].flow.on_packet_too_big();
  touch(slot);
  return Drop::none;
}

/// Looks only at what leads to the flow; the flow itself verifies and parses the packet.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::receive_datagram(const UdpArrival& from, const Arrival& arrival,
                                                     Way way) noexcept {
  const ByteView datagram = from.payload;
  if (datagram.size() < PacketHeader::size) return Drop::truncated;
  const auto version_type = std::to_integer<std::uint8_t>(datagram[0]);
  if (version_type >> 4U != wire_version) return Drop::bad_version;
  if ((version_type & 0xfU) == static_cast<std::uint8_t>(PacketType::syn)) [[unlikely]]
    return receive_syn(from, arrival, way);
  const auto id = load_be<std::uint32_t>(datagram.data() + PacketHeader::destination_flow_at);
  const std::uint32_t slot = flows_.find_id(id);
  if (slot == no_slot) [[unlikely]] {
    const std::uint32_t owner = id & (engines_max - 1);
    if (owner != index_ && owner < group_->size()) return hand_over(from, way.via, owner);
    return no_such_flow(from);
  }
  Slot& host = flows_[slot];
  if (host.flow.identity().peer.address != from.source)
    return Drop::unknown_flow;  // somebody guesses ids
  if ((version_type & 0xfU) >= static_cast<std::uint8_t>(PacketType::path_probe)) [[unlikely]]
    return receive_path_packet(slot, from, way);
  const Drop drop = host.flow.handle_datagram(arrival, datagram);
  touch(slot);
  const auto flags = std::to_integer<std::uint8_t>(datagram[1]);
  const bool is_data = (version_type & 0xfU) == static_cast<std::uint8_t>(PacketType::data);
  if (!is_data || (flags & static_cast<std::uint8_t>(HeaderFlag::misrouted)) != 0 ||
      host.handed_over != 0 || host.silent != 0 || way.via == Via::engine) [[unlikely]]
    look_at_path(slot, from, way, drop);
  return drop;
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::receive_syn(const UdpArrival& from, const Arrival& arrival,
                                                Way way) noexcept {
  // The padding is what keeps an answer from amplifying.
  if (from.payload.size() < syn_bytes) return Drop::bad_length;
  VerifiedPacket packet;
  if (const Drop drop = verify_packet<Integrity>(from.payload, packet); drop != Drop::none)
    return drop;
  SynBody syn;
  if (const Drop drop = SynBody::parse(packet.body, syn); drop != Drop::none) return drop;
  const std::uint32_t peer_id = packet.header.source_flow;
  const std::uint32_t duplicate = flows_.find_peer(from.source, peer_id, [&](const Slot& host) {
    const FlowIdentity& who = host.flow.identity();
    return who.peer_id == peer_id && who.peer_incarnation == syn.incarnation &&
           who.peer.address == from.source;
  });
  if (duplicate == no_slot) return open_server_flow(from, arrival, packet, syn, way);
  flows_[duplicate].flow.accept_syn(packet.header, syn, arrival);
  touch(duplicate);
  return Drop::duplicate_packet;
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::open_server_flow(const UdpArrival& from, const Arrival& arrival,
                                                     const VerifiedPacket& packet,
                                                     const SynBody& syn, Way way) noexcept {
  const PacketHeader& header = packet.header;
  const auto listener =
      group_->listeners().choose(syn.server_port, from.source, header.source_flow);
  if (!listener) return refuse(from, header, Reason::connection_refused, Drop::no_listener);
  // Whoever handed it over saw another table: the client asks again.
  if (listener->engine != index_)
    return way.via == Via::engine ? Drop::no_listener : hand_over(from, way.via, listener->engine);
  if (flows_.full()) return refuse(from, header, Reason::too_many_flows, Drop::flow_limit);
  if (const Drop drop = validate(from, header, syn); drop != Drop::none) return drop;
  FlowIdentity who;
  who.local = {from.destination, syn.server_port};
  who.peer = {from.source, syn.client_port};
  who.local_id = flows_.fresh_id();
  who.peer_id = header.source_flow;
  who.peer_incarnation = syn.incarnation;
  const HeaderTemplate headers = headers_between(from.destination, from.source);
  const Instant deadline = later(now_, options_.flow.accept_limit);
  const std::uint32_t slot =
      make_flow({listener->app, 0}, headers, Role::server, who, now_, deadline);
  flows_.note_peer(slot, from.source, who.peer_id);
  ++half_open_;
  Slot& host = flows_[slot];
  host.note_first_arrival(from.ports, way.via == Via::engine);
  host.flow.say_misrouted(host.is_misrouted());
  join_route(host);
  choose_first_path(host);
  flows_[slot].flow.accept_syn(header, syn, arrival);
  touch(slot);
  return Drop::none;
}

/// With many half-open flows only a client that has answered at its address gets one more. A cookie
/// that is there must be good at any time.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::validate(const UdpArrival& from, const PacketHeader& header,
                                             const SynBody& syn) noexcept {
  const CookieClaim claim{from.source, header.source_flow, syn.server_port};
  if (!syn.cookie.empty() && !cookie_is_good(cookie_secret_, claim, syn.cookie, now_))
    return Drop::bad_cookie;
  if (half_open_ >= options_.half_open_max) return Drop::busy;
  if (!syn.cookie.empty() || half_open_ < options_.half_open_free) return Drop::none;
  const Cookie cookie = make_cookie(cookie_secret_, claim, now_);
  if (answer(from, [&](MutableBytes out) { return write_retry<Integrity>(out, header, cookie); }))
    ++counters_.answers_retry;
  return Drop::busy;
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::refuse(const UdpArrival& from, const PacketHeader& syn,
                                           Reason why, Drop drop) noexcept {
  if (answer(from, [&](MutableBytes out) { return write_refuse<Integrity>(out, syn, why); }))
    ++counters_.answers_refuse;
  return drop;
}

/// Only packets of flows are answered, so two hosts never answer each other's answers.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::no_such_flow(const UdpArrival& from) noexcept {
  VerifiedPacket packet;
  if (const Drop drop = verify_packet<Integrity>(from.payload, packet); drop != Drop::none)
    return drop;
  const PacketType type = packet.header.type;
  if (type != PacketType::data && type != PacketType::syn_ack) return Drop::unknown_flow;
  if (from.payload.size() < unknown_flow_bytes<Integrity>) return Drop::unknown_flow;
  if (answer(from,
             [&](MutableBytes out) { return write_unknown_flow<Integrity>(out, packet.header); }))
    ++counters_.answers_unknown_flow;
  return Drop::unknown_flow;
}

template <Nic NicT, class AppSide, class Policy>
template <class Write>
bool Engine<NicT, AppSide, Policy>::answer(const UdpArrival& to, Write&& write) noexcept {
  const bool loopback = is_local(to.source);
  if (!answers_.allow(now_)) return false;
  Packet* const packet = next_packet(loopback);
  if (packet == nullptr) return false;
  const HeaderTemplate headers = interface_.reply_headers(to);
  const std::size_t bytes = write(packet->storage().subspan(headers.size()));
  finish_frame(headers, *packet, bytes);
  commit_packet(loopback);
  return true;
}

}  // namespace proa
