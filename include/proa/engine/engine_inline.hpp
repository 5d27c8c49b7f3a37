// L3: the engine's construction, requests and bookkeeping; included by engine.hpp only.
#pragma once
#include <proa/engine/engine.hpp>

namespace proa {

template <Nic NicT, class AppSide, class Policy>
Engine<NicT, AppSide, Policy>::Engine(NicT& nic, AppSide& app_side, const EngineOptions& options,
                                      Instant now)
    : nic_(&nic),
      app_side_(&app_side),
      options_(options),
      interface_(options.interface,
                 !options.group || options.group->claim_announcement(nic.link_interruptions())),
      scratch_(options.scratch_bytes),
      tx_(nic),
      flows_(std::min(options.flows_max, flows_max), options.index & (engines_max - 1),
             options.seed),
      wheel_(flows_.capacity(), now),
      random_(options.seed ^ 0x656e'6769'6e65U),
      now_(now),
      last_turn_at_(now),
      link_interruptions_(nic.link_interruptions()),
      neighbours_seen_(interface_.version()),
      ring_read_(nic.capabilities().rx_backlog_packets, now),
      next_client_port_(static_cast<std::uint16_t>(random_.next32() | 1U)),
      apps_(std::max(options.apps_max, 1U)),
      apps_with_events_((apps_.size() + 63) / 64),
      apps_with_memory_((apps_.size() + 63) / 64),
      group_(options.group ? options.group : std::make_shared<EngineGroup>(EngineGroupOptions{})),
      index_(options.index & (engines_max - 1)),
      inbox_read_(1, now),
      paths_(options.routes_max, options.seed ^ 0x7061'7468'7321U),
      answers_(options.answers_per_second, options.answers_burst),
      touched_(flows_.capacity()) {
  static_assert(AppSideOf<AppSide, Engine>);
  if (group_->takes_handovers()) {
    PROA_CHECK(index_ < group_->size());
    inbox_ = &group_->inbox(index_);
    inbox_read_ = ReadProgress{inbox_->capacity(), now};
  }
  cookie_secret_ = {random_.next(), random_.next()};
  const NicCapabilities nic_offers = nic.capabilities();
  options_.flow.path_sizes = &path_sizes_;
  flow_ipv6_ = options_.flow;
  for (const bool v4 : {true, false}) {
    std::uint32_t& most = (v4 ? options_.flow : flow_ipv6_).packet_bytes_max;
    most = std::min(most, interface_.payload_bytes_max(v4, nic_offers.frame_bytes_max));
  }
  constexpr std::uint32_t overhead = PacketHeader::size + Integrity::trailer_bytes;
  packet_room_ = options_.flow.packet_bytes_max - overhead;
  if (nic_offers.tx_udp_checksum)
    udp_checksum_ = UdpChecksumBy::offload;
  else if (Integrity::needs_udp_checksum)
    udp_checksum_ = UdpChecksumBy::software;
}

template <Nic NicT, class AppSide, class Policy>
Expected<FlowKey> Engine<NicT, AppSide, Policy>::connect(Instant now, AppCookie cookie,
                                                         const Endpoint& peer,
                                                         Instant deadline) noexcept {
  if (peer.port == 0 || cookie.app >= apps_.size()) return failed(Reason::invalid_argument);
  if (flows_.full()) return failed(Reason::too_many_flows);
  const auto local = source_for(peer.address);
  if (!local) return failed(Reason::no_route);
  next_client_port_ =
      static_cast<std::uint16_t>(next_client_port_ == 0xffff ? 1 : next_client_port_ + 1);
  FlowIdentity who;
  who.local = {*local, next_client_port_};
  who.peer = peer;
  who.local_id = flows_.fresh_id();
  const HeaderTemplate header = headers_between(*local, peer.address);
  const std::uint32_t slot = make_flow(cookie, header, Role::client, who, now, deadline);
  flows_[slot].named = true;
  ++counters_.flows_connecting;
  touch(slot);
  return flows_.key(slot);
}

template <Nic NicT, class AppSide, class Policy>
std::optional<IpAddress> Engine<NicT, AppSide, Policy>::source_for(
    const IpAddress& peer) const noexcept {
  if (const auto routed = interface_.source_for(peer)) return routed;
  if (!is_local(peer)) return std::nullopt;
  // Another interface's: no network leads there, and none is needed.
  for (const IpPrefix& own : options_.interface.options.addresses)
    if (own.address.is_v4() == peer.is_v4() && !ipv6::is_link_local(own.address))
      return own.address;
  return std::nullopt;
}

template <Nic NicT, class AppSide, class Policy>
std::uint32_t Engine<NicT, AppSide, Policy>::make_flow(AppCookie cookie,
                                                       const HeaderTemplate& header, Role role,
                                                       const FlowIdentity& who, Instant now,
                                                       Instant deadline) noexcept {
  const std::uint32_t slot =
      flows_.emplace(who.local_id, cookie, header, role, who, flow_options(header),
                     app_side_->memory(cookie.app), scratch_, random_.next(), now, deadline);
  flows_[slot].loopback = is_local(who.peer.address);
  detail::AppState& app = apps_[cookie.app];
  app.flows.push_back(slot, app_links());
  ++app.flow_count;
  return slot;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::destroy(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  detail::AppState& app = apps_[host.cookie.app];
  leave_send_list(slot);
  app.events.erase(slot, event_links());
  app.memory.erase(slot, memory_links());
  app.flows.erase(slot, app_links());
  --app.flow_count;
  if (host.route != Paths::none) paths_.leave(host.route, slot, host.header.ports(), now_);
  wheel_.cancel(slot);
  if (!host.named) --half_open_;
  note_end(host);
  ++counters_.flows_ended;
  flows_.erase(slot);
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::abandon(Instant now, std::uint32_t app, Reason why) noexcept {
  if (app >= apps_.size()) return;
  group_->listeners().remove_all({index_, app});
  SlotList& flows = apps_[app].flows;
  for (std::uint32_t slot = flows.front(); slot != SlotList::none;) {
    Slot& host = flows_[slot];
    host.orphaned = true;
    apps_[app].events.erase(slot, event_links());
    if (!host.closing && !host.ended) host.flow.reset(now, why);
    touch(slot);
    slot = SlotList::next(slot, app_links());
  }
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::discard_events(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  while (const auto event = host.flow.poll_event())
    if (event->kind == FlowEventKind::message)
      app_side_->memory(host.cookie.app).release(event->message);
}

template <Nic NicT, class AppSide, class Policy>
EngineCounters Engine<NicT, AppSide, Policy>::counters() const noexcept {
  EngineCounters out = counters_;
  out.tx_ring_full = tx_.ring_full();
  out.tx_pool_empty = tx_.pool_empty();
  out.flows_now = flows_.size();
  out.paths = paths_.counters();
  out.nic = nic_->counters();
  return out;
}

template <Nic NicT, class AppSide, class Policy>
const char* Engine<NicT, AppSide, Policy>::broken_invariant() noexcept {
  if (const char* why = wheel_.broken_invariant()) return why;
  const char* broken = nullptr;
  std::uint32_t counted = 0;
  flows_.for_each([&](std::uint32_t slot) {
    Slot& host = flows_[slot];
    ++counted;
    if (const char* why = host.flow.broken_invariant()) broken = why;
    if (host.send.linked != (host.send_list != detail::SendList::none))
      broken = "a flow's send list is not the one it says";
    if (host.flow.has_event() && !host.events.linked && !host.orphaned && !host.touched)
      broken = "a flow has events nobody will deliver";
    const Instant next = host.flow.next_timeout();
    // A timer of this very tick of the wheel fires a little later.
    if (host.flow.wants_transmit(now_) && !host.send.linked && !host.touched && next > now_)
      broken = "a flow wants to transmit and nobody will ask it";
    if (next != never && !wheel_.armed(slot) && !host.touched)
      broken = "a flow has a timer nobody will fire";
  });
  if (counted != flows_.size()) return "the flow table miscounts";
  return broken;
}

}  // namespace proa
