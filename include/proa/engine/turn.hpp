// L3: one turn of the engine: what flows want, transmit, timers, memory, events; included by
// engine.hpp only.
#pragma once
#include <bit>
#include <utility>

#include <proa/engine/engine.hpp>

namespace proa {

template <Nic NicT, class AppSide, class Policy>
template <class Clock>
TurnReport Engine<NicT, AppSide, Policy>::turn(Clock&& clock) noexcept {
  report_ = {};
  ++counters_.turns;
  report_.requests = app_side_->pull(*this, now_);
  if (touched_count_ != 0) activate_touched();
  if (must_transmit()) {
    // The application may have taken its time since the last reading: send times must not lie.
    now_ = clock();
    transmit();
  }
  if (touched_count_ != 0) settle_touched();
  const bool ring_done = receive(clock);
  const bool inbox_done = inbox_ == nullptr || trade_with_others();
  if (now_ - last_turn_at_ > options_.late_poll) [[unlikely]]
    note_late(now_ - last_turn_at_, ring_done, inbox_done);
  last_turn_at_ = now_;
  if (now_ >= link_look_at_) [[unlikely]]
    look_at_link();
  if (catching_up_after_ != Duration{}) [[unlikely]]
    note_catching_up();
  // What looks like silence after a gap may be waiting in the ring: that is read before timers.
  if (catching_up_after_ == Duration{}) expire_timers();
  if (memory_wanted_) [[unlikely]]
    serve_memory();
  deliver_events();
  app_side_->publish(now_);
  return report_;
}

// --- what flows want --------------------------------------------------------------------------

/// What cannot wait for settle(): whoever wants to transmit does so in this turn.
template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::activate_touched() noexcept {
  for (std::uint32_t i = 0; i < touched_count_; ++i) {
    Slot& host = flows_[touched_[i]];
    if (host.send_list == detail::SendList::none && host.flow.wants_transmit(now_))
      activate(touched_[i]);
  }
}

template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::settle_touched() noexcept {
  for (std::uint32_t i = 0; i < touched_count_; ++i) {
    flows_[touched_[i]].touched = false;
    settle(touched_[i]);
  }
  touched_count_ = 0;
}

/// Notes everything a flow wants. May destroy it. Comes after transmitting: nobody waits for it.
template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::settle(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  if (!host.events.linked && host.flow.has_event()) {
    if (host.orphaned)
      discard_events(slot);
    else
      want_events(slot);
  }
  if (host.flow.finished() && !host.events.linked) [[unlikely]]
    return destroy(slot);
  const bool asked = host.dry;
  host.dry = false;
  if (!asked && host.send_list == detail::SendList::none && host.flow.wants_transmit(now_))
    activate(slot);
  if (host.flow.wants_memory()) [[unlikely]]
    want_memory(slot);
  Instant due = host.flow.next_timeout();
  // What it would send is overdue until the neighbour answers: asking it every turn helps nobody.
  if (host.send_list == detail::SendList::waiting_for_neighbour) [[unlikely]]
    due = std::max(due, later(now_, neighbour_recheck));
  wheel_.arm_no_later_than(slot, due, now_);
}

template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::leave_send_list(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  if (host.send_list == detail::SendList::active) active_.erase(slot, send_links());
  if (host.send_list == detail::SendList::waiting_for_neighbour)
    waiting_for_neighbour_.erase(slot, send_links());
  host.send_list = detail::SendList::none;
}

template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::want_events(std::uint32_t slot) noexcept {
  const std::uint32_t app = flows_[slot].cookie.app;
  apps_[app].events.push_back(slot, event_links());
  apps_with_events_[app / 64] |= std::uint64_t{1} << (app % 64);
  events_wanted_ = true;
}

template <Nic NicT, class AppSide, class Policy>
inline void Engine<NicT, AppSide, Policy>::want_memory(std::uint32_t slot) noexcept {
  const std::uint32_t app = flows_[slot].cookie.app;
  apps_[app].memory.push_back(slot, memory_links());
  apps_with_memory_[app / 64] |= std::uint64_t{1} << (app % 64);
  memory_wanted_ = true;
}

// --- transmit ---------------------------------------------------------------------------------

/// Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995): every flow that wants to send gets
/// quantum_bytes per round, so a large message delays the others by one quantum only.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::transmit() noexcept {
  submitted_bytes_ = 0;
  if (interface_.next_timeout() <= now_) transmit_control();
  if (paths_.next_timeout() <= now_) [[unlikely]]
    transmit_probes();
  if (interface_.version() != neighbours_seen_) [[unlikely]]
    wake_waiting_for_neighbours();
  send_budget_ = options_.tx_packets_per_turn;
  while (send_budget_ > 0 && !active_.empty())
    if (!serve(active_.front())) break;
  tx_.flush(now_);
}

/// One flow's share of a round. False: nothing more can be sent in this turn.
template <Nic NicT, class AppSide, class Policy>
bool Engine<NicT, AppSide, Policy>::serve(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  if (!host.loopback) {
    const Reach reach = interface_.refresh(host.header, now_);
    if (reach != Reach::ready) [[unlikely]] {
      wait_for_neighbour(slot, reach);
      return true;
    }
  }
  // It keeps its place: turns that find room may alternate with turns that find none, and who is
  // first in the latter only would never send.
  if (next_packet(host.loopback) == nullptr) return false;
  host.deficit += static_cast<std::int32_t>(options_.quantum_bytes);
  bool room = true;
  bool more = true;
  while (more && host.deficit > 0 && send_budget_ > 0) {
    Packet* const packet = next_packet(host.loopback);
    room = packet != nullptr;
    if (!room) break;
    const std::size_t bytes = write_packet(host, *packet);
    more = bytes != 0;
    if (!more) break;
    host.deficit -= static_cast<std::int32_t>(bytes);
    --send_budget_;
    commit_packet(host.loopback);
    // With little going on the packet leaves before the flow is asked for the next one.
    if (std::exchange(sparse_, false)) tx_.flush(now_);
  }
  active_.erase(slot, send_links());
  host.dry = !more;
  if (more)
    active_.push_back(slot, send_links());  // it may want more: the end of the line
  else
    host.send_list = detail::SendList::none;
  if (host.path_settles_at == never) [[unlikely]]  // what comes until then is of the former path
    host.path_settles_at = later(now_, 2 * host.flow.answer_time());
  if (!more || !room) host.deficit = 0;  // an idle or blocked flow saves nothing up
  touch(slot);
  return room;
}

template <Nic NicT, class AppSide, class Policy>
Packet* Engine<NicT, AppSide, Policy>::next_packet(bool loopback) noexcept {
  if (loopback && loopback_count_ == loopback_packets) return nullptr;
  return tx_.next(now_);
}

/// The flow writes its packet behind the room for headers; 0: it has nothing to send now.
template <Nic NicT, class AppSide, class Policy>
std::size_t Engine<NicT, AppSide, Policy>::write_packet(Slot& host, Packet& packet) noexcept {
  const MutableBytes frame = packet.storage();
  const std::size_t bytes = host.flow.poll_transmit(
      now_, frame.subspan(host.header.size(), flow_options(host.header).packet_bytes_max));
  if (bytes == 0) return 0;
  finish_frame(host.header, packet, bytes);
  ++report_.sent;
  return bytes;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::finish_frame(const HeaderTemplate& header, Packet& packet,
                                                 std::size_t payload_bytes) noexcept {
  const std::size_t length = header.size() + payload_bytes;
  packet.set_length(static_cast<std::uint32_t>(length));
  const PacketFlag wanted = header.finish(packet.bytes(), udp_checksum_);
  if (wanted != PacketFlag::none) packet.set(wanted);
  ++counters_.tx_packets;
  counters_.tx_bytes += length;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::commit_packet(bool loopback) noexcept {
  if (!loopback) return tx_.commit();
  loopback_[loopback_count_++] = tx_.take();
  ++counters_.loopback_packets;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::wait_for_neighbour(std::uint32_t slot, Reach reach) noexcept {
  Slot& host = flows_[slot];
  leave_send_list(slot);
  // Who does not answer now may do so later, and questions get lost as well: an open flow's probes
  // and idle limit decide, and a connect goes on asking until its deadline.
  if (reach == Reach::no_route && host.flow.state() == FlowState::syn_sent)
    host.flow.reset(now_, Reason::no_route);
  host.send_list = detail::SendList::waiting_for_neighbour;
  waiting_for_neighbour_.push_back(slot, send_links());
  touch(slot);
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::wake_waiting_for_neighbours() noexcept {
  neighbours_seen_ = interface_.version();
  while (!waiting_for_neighbour_.empty()) {
    const std::uint32_t slot = waiting_for_neighbour_.front();
    leave_send_list(slot);
    activate(slot);
  }
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::transmit_control() noexcept {
  while (Packet* const packet = tx_.next(now_)) {
    const std::size_t bytes = interface_.poll_control(now_, packet->storage());
    if (bytes == 0) return;
    packet->set_length(static_cast<std::uint32_t>(bytes));
    tx_.commit();
    if (interface_.wrote_request() && !tx_.flush(now_)) [[unlikely]] {
      tx_.take_back();
      return interface_.take_back_request(now_);
    }
    ++counters_.tx_packets;
    counters_.tx_bytes += bytes;
    ++report_.sent;
  }
}

/// A link that came back may lead to another place: the network hears of us, and neighbours prove
/// themselves. Most interruptions are over before anybody looks: they are counted. What nobody
/// counts, a link that is up for the first time, is announced by every engine that saw it down.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::look_at_link() noexcept {
  link_look_at_ = later(now_, link_look_every);
  const std::uint64_t counted = nic_->link_interruptions();
  const bool was_up = std::exchange(link_up_, nic_->link_up());
  if (!link_up_) return;
  const bool grown = std::exchange(link_interruptions_, counted) != counted;
  if (was_up && !grown) return;
  interface_.link_came_up(now_, !grown || group_->claim_announcement(counted));
}

/// What is counted costs no question to the driver. A link that is down is looked at anyhow.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::note_slept() noexcept {
  if (link_up_ && nic_->link_interruptions() != link_interruptions_) link_look_at_ = Instant::min();
}

// --- timers, memory, events -------------------------------------------------------------------

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::expire_timers() noexcept {
  const auto fire = [this](std::uint32_t slot) {
    Slot& host = flows_[slot];
    if (host.flow.next_timeout() <= now_) {
      const bool waits = host.send_list == detail::SendList::waiting_for_neighbour;
      host.flow.handle_timeout(now_, waits && interface_.has_asked(host.header));
      try_fresh_path(slot);
      // It asks for its neighbour again: a failed one is resolved anew.
      if (host.send_list == detail::SendList::waiting_for_neighbour) leave_send_list(slot);
    }
    touch(slot);
  };
  const auto ahead = [this](std::uint32_t slot) { flows_.prefetch(slot); };
  report_.timers = wheel_.expire(now_, options_.timers_per_turn, fire, ahead);
  // An engine that is always late would serve one turn's share per ring's worth of packets.
  for (; turns_without_timers_ != 0; --turns_without_timers_) {
    if (wheel_.next_expiry() <= now_)
      report_.timers += wheel_.expire(now_, options_.timers_per_turn, fire, ahead);
  }
}

/// Memory goes to whoever has waited longest, application by application.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::serve_memory() noexcept {
  memory_wanted_ = for_each_app(apps_with_memory_, [this](std::uint32_t app) {
    SlotList& waiting = apps_[app].memory;
    while (!waiting.empty()) {
      const std::uint32_t slot = waiting.front();
      Slot& host = flows_[slot];
      if (host.flow.wants_memory() && !host.flow.take_memory(now_, true)) return false;
      waiting.erase(slot, memory_links());
      touch(slot);
    }
    return true;
  });
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::deliver_events() noexcept {
  for (std::uint32_t i = 0; i < touched_count_; ++i) {
    const std::uint32_t slot = touched_[i];
    const Slot& host = flows_[slot];
    if (!host.events.linked && !host.orphaned && host.flow.has_event()) want_events(slot);
  }
  if (!events_wanted_) return;
  events_wanted_ =
      for_each_app(apps_with_events_, [this](std::uint32_t app) { return deliver_events_of(app); });
}

/// Calls serve(app) for each set bit and clears the bit when that returns true; returns whether any
/// is left.
template <Nic NicT, class AppSide, class Policy>
template <class Serve>
bool Engine<NicT, AppSide, Policy>::for_each_app(std::vector<std::uint64_t>& bits,
                                                 Serve&& serve) noexcept {
  std::uint64_t left = 0;
  for (std::size_t word = 0; word < bits.size(); ++word) {
    for (std::uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(rest));
      if (serve(static_cast<std::uint32_t>(word * 64) + bit))
        bits[word] &= ~(std::uint64_t{1} << bit);
    }
    left |= bits[word];
  }
  return left != 0;
}

/// Flows of one application take turns. False: the application has no room, the rest waits.
template <Nic NicT, class AppSide, class Policy>
bool Engine<NicT, AppSide, Policy>::deliver_events_of(std::uint32_t app) noexcept {
  SlotList& waiting = apps_[app].events;
  while (!waiting.empty()) {
    const std::uint32_t slot = waiting.front();
    Slot& host = flows_[slot];
    bool more = true;
    FlowEvent event;
    for (std::uint32_t n = 0; more && n < events_per_visit && !host.orphaned; ++n) {
      if (!app_side_->room(app)) return false;
      more = host.flow.poll_event(event);
      if (more) deliver(slot, event);
    }
    waiting.erase(slot, event_links());
    if (more && !host.orphaned) waiting.push_back(slot, event_links());
    touch(slot);  // it may be over, or want to tell its peer of room
  }
  return true;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::deliver(std::uint32_t slot, const FlowEvent& event) noexcept {
  Slot& host = flows_[slot];
  if (event.kind == FlowEventKind::accepted && !accept(slot)) return;
  if (!host.named) {  // it ended before it was accepted: the application never heard of it
    if (event.kind == FlowEventKind::closed) note_end(host);
    return;
  }
  if (event.kind == FlowEventKind::closed) note_end(host);
  ++report_.events;
  app_side_->deliver(host.cookie, flows_.key(slot), event);
}

template <Nic NicT, class AppSide, class Policy>
bool Engine<NicT, AppSide, Policy>::accept(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  const FlowIdentity& who = host.flow.identity();
  host.named = true;
  --half_open_;
  first_path_is_good(host);
  const auto cookie = app_side_->accept(host.cookie.app, flows_.key(slot), who.local, who.peer);
  if (!cookie) {
    host.orphaned = true;
    host.flow.reset(now_, Reason::not_permitted);
    touch(slot);
    return false;
  }
  PROA_CHECK(cookie->app == host.cookie.app);
  host.cookie = *cookie;
  ++counters_.flows_accepted;
  return true;
}

}  // namespace proa
