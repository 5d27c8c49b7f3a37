// L2: what a flow does with what arrives. Part of flow.hpp: include that.
#pragma once
#include <proa/transport/flow.hpp>

namespace proa {

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::accept_syn(const PacketHeader& header, const SynBody& syn,
                                      const Arrival& arrival) noexcept {
  if (state_ != FlowState::syn_received) {
    // The SYN came again although the flow lives: only our SYN-ACK's arrival is in doubt.
    if (is_established(state_)) receiver_.ack_at_once();
    return;
  }
  if (judge_number(header) != Drop::none) return;
  (void)receiver_.acks().record(header.number, arrival.now);
  sender_.credit().raise(header.credit);
  message_bytes_max_ = std::min(options_->message_bytes_max, syn.message_bytes_max);
  idle_limit_ = options_->agreed_idle_limit(syn.idle_limit_ms);
  timers_.arm(FlowTimer::handshake, arrival.now);
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_datagram(const Arrival& arrival, ByteView datagram) noexcept {
  PacketHeader header;
  if (const Drop why = PacketHeader::parse(datagram, header); why != Drop::none) return why;
  const ByteView packet = Integrity::open(datagram);
  if (packet.empty()) return Drop::bad_checksum;
  const ByteView body = packet.subspan(PacketHeader::size);
  switch (header.type) {
    case PacketType::data:
      return handle_data(arrival, header, body);
    case PacketType::syn_ack:
      return handle_syn_ack(arrival, header, body);
    case PacketType::retry:
      return handle_retry(arrival, header, body);
    case PacketType::refuse:
      return handle_refuse(arrival, header, body);
    case PacketType::unknown_flow:
      return handle_unknown_flow(arrival, header);
    case PacketType::syn:
    case PacketType::path_probe:
    case PacketType::path_result:
      break;
  }
  return Drop::bad_type;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::judge_number(const PacketHeader& header) noexcept {
  switch (receiver_.acks().judge(header.number)) {
    case AckTracker::Verdict::fresh:
      return receiver_.acks().can_record(header.number) ? Drop::none : Drop::no_memory;
    case AckTracker::Verdict::duplicate:
      return Drop::duplicate_packet;
    case AckTracker::Verdict::too_old:
    case AckTracker::Verdict::out_of_window:
      break;
  }
  return Drop::stale_packet;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_syn_ack(const Arrival& arrival, const PacketHeader& header,
                                          ByteView body) noexcept {
  SynAckBody syn_ack;
  if (const Drop why = SynAckBody::parse(body, syn_ack); why != Drop::none) return why;
  if (state_ != FlowState::syn_sent) {
    // Repeated because our first packet was lost: acknowledge again.
    if (header.source_flow != identity_.peer_id) return Drop::wrong_incarnation;
    if (const Drop why = judge_number(header); why != Drop::none) return why;
    receiver_.on_packet(header.number, true, arrival, *options_, sender_.rtt());
    receiver_.ack_at_once();
    arm_timers(arrival.now);
    return Drop::none;
  }
  if (!answers_handshake(header)) return Drop::protocol_violation;
  identity_.peer_id = header.source_flow;
  identity_.peer_incarnation = syn_ack.incarnation;
  message_bytes_max_ = std::min(options_->message_bytes_max, syn_ack.message_bytes_max);
  idle_limit_ = options_->agreed_idle_limit(syn_ack.idle_limit_ms);
  (void)receiver_.acks().record(header.number, arrival.now);
  sender_.credit().raise(header.credit);
  (void)process_ack(arrival, header, AckBits{}, peer_ce_marked_);
  establish(arrival.now, true);
  want_control(PacketContent::ping);  // the server raises `accepted` on our first packet
  return Drop::none;
}

/// Nobody who has not seen our SYN or SYN-ACK knows its number (RFC 9293 3.10.7.3: SEG.ACK
/// acceptable).
template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::answers_handshake(const PacketHeader& header) noexcept {
  return header.has(HeaderFlag::acks) && header.source_flow != 0 &&
         sender_.packets().find(header.largest_acked) != nullptr;
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::establish(Instant now, bool as_client) noexcept {
  const auto to = next(state_, as_client ? FlowInput::syn_ack : FlowInput::first_data);
  if (!to) return;
  enter(*to);
  as_client_ = as_client;
  established_pending_ = told_established_ = true;
  timers_.cancel(FlowTimer::handshake);
  timers_.cancel(FlowTimer::deadline);
  heard_from_peer(now);
  arm_timers(now);
  if (sender_.queue().longest_message() > message_bytes_max_)
    return reset(now, Reason::message_too_large);
  request_credit();
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::heard_from_peer(Instant now) noexcept {
  // The server only asks when the client does not: once per period is enough.
  const Duration period = options_->keepalive_within(idle_limit_);
  const Duration extra = as_client_ ? Duration{} : period / 8;
  timers_.arm(FlowTimer::keepalive, later(now, period + extra));
  timers_.arm(FlowTimer::idle, later(now, idle_limit_));
}

/// The server is busy and wants proof that we answer here: the SYN goes again with its cookie.
template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_retry(const Arrival& arrival, const PacketHeader& header,
                                        ByteView body) noexcept {
  RetryBody retry;
  if (const Drop why = RetryBody::parse(body, retry); why != Drop::none) return why;
  if (state_ != FlowState::syn_sent || sender_.packets().find(header.number) == nullptr)
    return Drop::protocol_violation;
  // One cookie per SYN: a forger cannot make us send more than he does.
  if (header.number.before(cookie_for_)) return Drop::duplicate_packet;
  cookie_for_ = sender_.packets().next();
  cookie_length_ = static_cast<std::uint8_t>(retry.cookie.size());
  std::copy(retry.cookie.begin(), retry.cookie.end(), cookie_.begin());
  timers_.arm(FlowTimer::handshake, arrival.now);
  return Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_refuse(const Arrival& arrival, const PacketHeader& header,
                                         ByteView body) noexcept {
  RefuseBody refuse;
  if (const Drop why = RefuseBody::parse(body, refuse); why != Drop::none) return why;
  // Believed only if it names a SYN of ours that is under way.
  if (state_ != FlowState::syn_sent || sender_.packets().find(header.number) == nullptr)
    return Drop::protocol_violation;
  end(arrival.now, FlowInput::gone_silent, refuse.reason, Reason::none);
  return Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_unknown_flow(const Arrival& arrival,
                                               const PacketHeader& header) noexcept {
  const SentPacket* named = sender_.packets().find(header.number);
  if (named == nullptr || named->state != PacketState::in_flight) return Drop::stale_packet;
  if (header.source_flow != identity_.peer_id) return Drop::wrong_incarnation;
  // A peer that forgot a flow whose FIN it must have seen has finished with it.
  const bool done = state_ == FlowState::closing && sender_.queue().empty() && fin_sent_;
  end(arrival.now, FlowInput::peer_reset,
      done ? Reason::closed_by_application : Reason::peer_restarted, Reason::none);
  return Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_data(const Arrival& arrival, const PacketHeader& header,
                                       ByteView frames) noexcept {
  if (state_ == FlowState::syn_sent) return handle_early_reset(arrival, header, frames);
  if (state_ == FlowState::finished) return Drop::flow_ended;
  if (header.source_flow != identity_.peer_id) return Drop::wrong_incarnation;
  // RFC 9293 3.10.7.4: who has not seen our SYN-ACK opens nothing.
  if (state_ == FlowState::syn_received && !answers_handshake(header))
    return Drop::protocol_violation;
  if (const Drop why = judge_number(header); why != Drop::none) return why;

  FrameReader reader{frames};
  AckBits bits;
  std::uint32_t marked = peer_ce_marked_;
  if (!reader.take_ack(bits) || !reader.take_ecn(marked)) return Drop::bad_frame;
  if (header.has(HeaderFlag::acks))
    if (const Drop why = process_ack(arrival, header, bits, marked); why != Drop::none) return why;
  ++packets_received_;
  if (state_ == FlowState::syn_received) establish(arrival.now, false);
  sender_.credit().raise(header.credit);

  bool eliciting = false;
  const Drop why = process_frames(arrival, reader, eliciting);
  if (why == Drop::none)
    receiver_.on_packet(header.number, eliciting, arrival, *options_, sender_.rtt());
  if (is_established(state_)) {
    heard_from_peer(arrival.now);
    // Who only acknowledges never hears that his path is broken: he asks whether he is heard, and
    // silence is silence then.
    if (eliciting && receiver_.acknowledges_in_vain() && sender_.packets().in_flight_packets() == 0)
      want_control(PacketContent::ping);
    receiver_.raise_credit(*memory_);
    check_peer_fin(arrival.now);
    check_flushed(arrival.now);
    request_credit();
  } else if (eliciting) {
    receiver_.ack_at_once();
    // It repeats because our answer was lost: the next repetition needs one too.
    if (state_ == FlowState::lingering) start_lingering(arrival.now);
  }
  arm_timers(arrival.now);
  return why;
}

/// RFC 9293 3.10.7.3: in SYN-SENT a RESET is believed that acknowledges our SYN. The server has
/// ended what the SYN began, and its SYN-ACK was lost.
template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::handle_early_reset(const Arrival& arrival, const PacketHeader& header,
                                              ByteView frames) noexcept {
  if (!answers_handshake(header)) return Drop::protocol_violation;
  FrameReader reader{frames};
  AckBits bits;
  std::uint32_t marked = 0;
  Frame frame;
  if (!reader.take_ack(bits) || !reader.take_ecn(marked)) return Drop::bad_frame;
  while (reader.next(frame)) {
    if (frame.type != FrameType::reset) continue;
    identity_.peer_id = header.source_flow;  // it repeats the RESET until we acknowledge it
    ++packets_received_;
    (void)receiver_.acks().record(header.number, arrival.now);
    return process_frame(arrival, frame);
  }
  return reader.bad() ? Drop::bad_frame : Drop::protocol_violation;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::process_ack(const Arrival& arrival, const PacketHeader& header,
                                       const AckBits& bits, std::uint32_t marked) noexcept {
  const std::uint32_t more = newly_marked(marked);
  const Resolved resolved =
      sender_.on_ack({header.largest_acked, header.ack_delay(), bits, more}, arrival, *memory_);
  if (resolved.acks_unsent) return Drop::protocol_violation;
  peer_ce_marked_ += more;
  on_resolved(arrival.now, resolved);
  return Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::on_resolved(Instant now, const Resolved& resolved) noexcept {
  const std::uint8_t lost = resolved.content_lost;
  const std::uint8_t acked = resolved.content_acked;
  if (holds(acked, PacketContent::fin)) fin_acked_ = true;
  if (holds(lost, PacketContent::fin) && !fin_acked_) want_control(PacketContent::fin);
  if (holds(lost, PacketContent::ping)) want_control(PacketContent::ping);
  if (holds(lost, PacketContent::room)) want_control(PacketContent::room);
  if (holds(lost, PacketContent::reset)) want_control(PacketContent::reset);
  if (holds(lost, PacketContent::want)) {
    want_outstanding_ = false;
    request_credit();
  }
  if (resolved.size_probe_acked != 0 || resolved.size_probe_lost != 0 || resolved.black_hole)
    on_path_resolved(now, resolved);
  if (holds(acked, PacketContent::reset)) end(now, FlowInput::reset_acked, reason_, Reason::none);
}

/// A size probe has an answer, or packets of the present size vanish while small ones arrive.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::on_path_resolved(Instant now, const Resolved& resolved) noexcept {
  bool changed = false;
  if (resolved.size_probe_lost != 0) mtu_.on_probe_lost(resolved.size_probe_lost, now);
  if (resolved.size_probe_acked != 0) changed = mtu_.on_probe_acked(resolved.size_probe_acked, now);
  if (resolved.black_hole) changed = mtu_.on_black_hole() || changed;
  if (!changed) return;
  sender_.on_packet_size(mtu_.packet_bytes());
  if (options_->path_sizes != nullptr)
    options_->path_sizes->note(identity_.peer.address, mtu_.packet_bytes(), now);
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::process_frames(const Arrival& arrival, FrameReader& reader,
                                          bool& eliciting) noexcept {
  Frame frame;
  while (reader.next(frame)) {
    if (frame.type != FrameType::ecn) eliciting = true;
    const bool delivers = frame.type == FrameType::whole || frame.type == FrameType::part ||
                          frame.type == FrameType::fin;
    // Nothing is delivered any more: an acknowledgement would tell the peer's application "sent".
    if (state_ == FlowState::resetting && delivers) return Drop::flow_ended;
    // Both reset it: the peer need not be told any more.
    if (state_ == FlowState::resetting && frame.type == FrameType::reset)
      end(arrival.now, FlowInput::peer_reset, reason_, Reason::none);
    if (!is_established(state_)) continue;  // ended: only acknowledged
    if (const Drop why = process_frame(arrival, frame); why != Drop::none) return why;
  }
  return reader.bad() ? Drop::bad_frame : Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::process_frame(const Arrival& arrival, const Frame& frame) noexcept {
  switch (frame.type) {
    case FrameType::whole:
    case FrameType::part:
      return receiver_.reassembly().place(frame, options_->message_bytes_max, receiver_.credit(),
                                          *memory_);
    case FrameType::want:
      return process_want(frame);
    case FrameType::fin:
      peer_fin_known_ = true;
      peer_fin_ = frame.number;
      return Drop::none;
    case FrameType::reset:
      end(arrival.now, FlowInput::peer_reset,
          frame.reason == Reason::reset_by_application ? Reason::reset_by_peer : frame.reason,
          Reason::none);
      receiver_.ack_at_once();
      return Drop::none;
    case FrameType::room:
      sender_.on_peer_room(arrival);
      return Drop::none;
    case FrameType::ping:
      // Whose peer always asks first hears no keepalive timer of his own, and has nothing to send
      // that the acknowledgement could wait for.
      if (arrival.now - sender_.waiting_since() >= options_->keepalive_within(idle_limit_) / 2) {
        trim();
        receiver_.ack_at_once();
      }
      return Drop::none;
    case FrameType::padding:
    case FrameType::ack64:
    case FrameType::ack512:
    case FrameType::ecn:  // taken with the acknowledgement
      break;
  }
  return Drop::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
Drop Flow<Memory, Policy>::process_want(const Frame& frame) noexcept {
  if (frame.total > options_->message_bytes_max) return Drop::protocol_violation;
  if (receiver_.reassembly().knows(frame.number)) return Drop::none;
  return receiver_.credit().want(frame.number, frame.total) ? Drop::none : Drop::no_memory;
}

template <MessageMemory Memory, TransportPolicy Policy>
std::uint32_t Flow<Memory, Policy>::newly_marked(std::uint32_t marked) const noexcept {
  const std::uint32_t more = marked - peer_ce_marked_;
  if (more > (1U << 20U)) return 0;  // an older count, overtaken
  return more;
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::check_peer_fin(Instant now) noexcept {
  if (!peer_fin_known_ || !receiver_.reassembly().complete_before(peer_fin_)) return;
  // Both closed: what this side sent was delivered if the peer has acknowledged it.
  const bool flushed = state_ == FlowState::closing && sender_.queue().empty();
  end(now, FlowInput::peer_fin, flushed ? Reason::closed_by_application : Reason::closed_by_peer,
      Reason::none);
  receiver_.ack_at_once();
}

}  // namespace proa
