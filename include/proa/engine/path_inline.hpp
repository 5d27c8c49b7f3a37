// L3: how an engine learns that a flow's path leads to the wrong engine, and finds a better one;
// included by engine.hpp only. See ARCHITECTURE.md, "Paths instead of steering".
#pragma once
#include <array>

#include <proa/engine/engine.hpp>
#include <proa/wire/path.hpp>

namespace proa {

/// Once the peer's flow id is known, and with it the peer's engine.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::join_route(Slot& host) noexcept {
  const FlowIdentity& who = host.flow.identity();
  if (host.loopback || host.route != Paths::none || who.peer_id == 0) return;
  const auto engine = static_cast<std::uint8_t>(who.peer_id & (engines_max - 1));
  host.route = paths_.join({who.local.address, who.peer.address, engine}, who.peer_incarnation);
}

/// A random pair teaches the route another one if it is good, and falls back on a known one if not:
/// only so do flows spread (clouds limit one 5-tuple).
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::choose_first_path(Slot& host) noexcept {
  if (host.route == Paths::none || paths_.pair_count(host.route) < Paths::pairs_max) return;
  if (const auto known = paths_.take(host.route, now_)) host.header.set_ports(*known);
}

/// After a packet that came, or is itself, out of the ordinary.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::look_at_path(std::uint32_t slot, const UdpArrival& from,
                                                 Way way, Drop drop) noexcept {
  Slot& host = flows_[slot];
  if (host.loopback) return;
  const auto type = std::to_integer<std::uint8_t>(from.payload[0]) & 0xfU;
  const auto flags = std::to_integer<std::uint8_t>(from.payload[1]);
  const bool misrouted = (flags & static_cast<std::uint8_t>(HeaderFlag::misrouted)) != 0;
  const bool answered = type == static_cast<std::uint8_t>(PacketType::syn_ack) &&
                        drop == Drop::none && host.route == Paths::none;
  if (answered)
    host.note_first_arrival(from.ports, way.via == Via::engine);
  else
    static_cast<void>(host.note_arrival(from.ports, way.via == Via::engine));
  host.flow.say_misrouted(host.is_misrouted());
  // Only an acknowledgement ends the count of repetitions, whatever else its packet holds, and only
  // a peer that has memory again begins it anew; of an ended flow nothing is counted any more.
  if (host.silent > host.flow.unanswered() && is_established(host.flow.state()))
    judge_former_path(slot);
  if (drop != Drop::none) return;  // whoever sent that says nothing about our path
  if (answered) {
    join_route(host);
    if (!misrouted) first_path_is_good(host);
  }
  if (misrouted) find_other_path(slot);
}

/// The peer has heard us and does not complain.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::first_path_is_good(Slot& host) noexcept {
  if (host.route != Paths::none && !host.doubtful)
    paths_.learn(host.route, host.header.ports(), now_);
}

/// The peer says that our packets reach the wrong engine. What may have lain unread since before
/// the pair could be judged says so of the one before. An ended flow sends no more.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::find_other_path(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  if (host.route == Paths::none || !is_established(host.flow.state())) return;
  if (ring_read_.read_until() < host.path_settles_at) return;
  host.doubtful = true;
  paths_.forget(host.route, host.header.ports());
  if (const auto known = paths_.take(host.route, now_, host.path_since))
    take_path(host, *known);
  else
    paths_.search(host.route, slot, now_);
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::take_path(Slot& host, UdpPorts ports) noexcept {
  host.header.set_ports(ports);
  host.doubtful = false;
  host.path_since = now_;
  host.path_settles_at = never;  // serve() knows when the first packet leaves
  host.flow.on_path_change(now_);
  ++counters_.path_changes;
}

/// The second repetition without an answer: the path may be broken, or the peer does not run. Only
/// the answer tells, so the pair stays known until then. A random pair mostly leads astray: first
/// come the other known ones, each as likely to get around what is broken. Those are not silent all
/// at once by accident: while threads may just have no processor they take turns.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::try_fresh_path(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  const auto silent = static_cast<std::uint8_t>(std::min(host.flow.unanswered(), 255U));
  const std::uint8_t before = std::exchange(host.silent, silent);
  if (silent <= before || silent < 2 || host.loopback) return;
  interface_.doubt(host.header, now_);
  if (before < 2) {
    host.former = host.header.ports();
    host.left_at = now_;
    host.former_doubtful = host.doubtful;
  }
  std::optional<UdpPorts> known;
  if (host.route != Paths::none && now_ - host.left_at < peer_pause)
    known = paths_.take_other(host.route, host.header.ports(), now_);
  take_path(host, known ? *known : port_range().random_pair(random_));
}

/// The idea of Eifel (RFC 3522 3.2) for paths: the first answer after a silence says what was at
/// fault. If it acknowledges what went by the former pair before that was left, the pair leads
/// where it did and the flow goes back: the peer did not run, or the way back was broken. That
/// happens again, so the route shall know another pair to try then. Else the former pair is
/// forgotten.
///
/// A peer without memory acknowledges nothing, and when it has some again does not say by which
/// pair came what it refused. Mostly that was the former one: two faults at once are rare. So the
/// flow goes back on trial: what it repeats by that pair is answered, or falls silent once more and
/// is judged then.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::judge_former_path(std::uint32_t slot) noexcept {
  Slot& host = flows_[slot];
  const auto unanswered = static_cast<std::uint8_t>(host.flow.unanswered());
  if (std::exchange(host.silent, unanswered) < 2 || host.former_doubtful) return;
  const bool known = host.route != Paths::none;
  const bool on_trial = unanswered != 0;
  if (on_trial || host.flow.answered_sent_at(now_) < host.left_at) {
    take_path(host, host.former);
    ++counters_.path_returns;
    if (known) paths_.search_spare(host.route, slot, now_);
  } else if (known) {
    paths_.forget(host.route, host.former);
  }
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::transmit_probes() noexcept {
  paths_.poll(
      now_, port_range(), [this](std::uint32_t slot) { return flows_[slot].flow.answer_time(); },
      [this](std::uint32_t slot, const PathProbe::Probe& probe) {
        std::array<std::byte, PathProbeBody::size> body;
        PathProbeBody{probe.tag}.write(body);
        static_cast<void>(  // what does not leave is like what is lost
            transmit_for(flows_[slot], probe.ports, PacketType::path_probe, body));
      });
}

/// A packet of a flow that has no packet number: nobody acknowledges it.
template <Nic NicT, class AppSide, class Policy>
bool Engine<NicT, AppSide, Policy>::transmit_for(Slot& host, UdpPorts ports, PacketType type,
                                                 ByteView body) noexcept {
  if (interface_.refresh(host.header, now_) != Reach::ready) return false;
  Packet* const packet = next_packet(false);
  if (packet == nullptr) return false;
  PacketHeader header;
  header.type = type;
  header.destination_flow = host.flow.identity().peer_id;
  header.source_flow = host.flow.identity().local_id;
  const std::size_t bytes = PacketHeader::size + body.size() + Integrity::trailer_bytes;
  const MutableBytes out = packet->storage().subspan(host.header.size(), bytes);
  header.write(out.template first<PacketHeader::size>());
  std::copy(body.begin(), body.end(), out.begin() + PacketHeader::size);
  Integrity::seal(out);
  HeaderTemplate headers = host.header;
  headers.set_ports(ports);
  finish_frame(headers, *packet, bytes);
  ++report_.sent;
  commit_packet(false);
  return true;
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::receive_path_packet(std::uint32_t slot, const UdpArrival& from,
                                                        Way way) noexcept {
  Slot& host = flows_[slot];
  VerifiedPacket packet;
  if (const Drop drop = verify_packet<Integrity>(from.payload, packet); drop != Drop::none)
    return drop;
  if (packet.header.source_flow != host.flow.identity().peer_id) return Drop::wrong_incarnation;
  if (packet.header.type == PacketType::path_probe) {
    PathProbeBody probe;
    if (const Drop drop = PathProbeBody::parse(packet.body, probe); drop != Drop::none) return drop;
    std::array<std::byte, PathResultBody::size> body;
    PathResultBody{probe.tag, static_cast<std::uint8_t>(way.engine),
                   static_cast<std::uint8_t>(group_->size())}
        .write(body);
    static_cast<void>(transmit_for(host, host.header.ports(), PacketType::path_result, body));
    return Drop::none;
  }
  PathResultBody result;
  if (const Drop drop = PathResultBody::parse(packet.body, result); drop != Drop::none) return drop;
  if (host.route == Paths::none) return Drop::protocol_violation;
  const auto found = paths_.on_result(host.route, result, now_);
  if (found && host.doubtful) take_path(host, *found);
  return Drop::none;
}

}  // namespace proa
