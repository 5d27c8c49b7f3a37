// L2: what a flow sends, and when. Part of flow.hpp: include that.
#pragma once
#include <proa/transport/flow.hpp>

namespace proa {

template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::wants_transmit(Instant now) const noexcept {
  return has_more_than_ack(now) || has_ack(now);
}

template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::has_more_than_ack(Instant now) const noexcept {
  switch (state_) {
    case FlowState::syn_sent:
    case FlowState::syn_received:
      return now >= timers_.at(FlowTimer::handshake);
    case FlowState::open:
    case FlowState::closing:
      return !starved_ && (control_ != 0 || sender_.probe_due() || sender_.may_send_data(now));
    case FlowState::resetting:
    case FlowState::lingering:
      return !starved_ && (control_ != 0 || sender_.probe_due());
    case FlowState::finished:
      break;
  }
  return false;
}

template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::has_ack(Instant now) const noexcept {
  const bool acks =
      is_established(state_) || state_ == FlowState::resetting || state_ == FlowState::lingering;
  return acks && receiver_.ack_is_due(now);
}

template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::poll_transmit(Instant now, MutableBytes out) noexcept {
  if (!has_more_than_ack(now)) return transmit_ack(now, out);
  if (!sender_.packets().make_room() && !make_way_for_control(now)) [[unlikely]] {
    const std::size_t size = transmit_ack(now, out);
    wait_for_room(now);
    return size;
  }
  if (holds(control_, PacketContent::size_probe) && !sender_.may_send_data(now)) [[unlikely]]
    if (const std::size_t size = transmit_size_probe(now, out); size != 0) return size;
  std::size_t bytes_max = mtu_.packet_bytes();
  if ((sender_.probe_due() && sender_.probe_is_small()) || sender_.resends_small()) [[unlikely]]
    bytes_max = mtu_.base();
  out = out.first(std::min(out.size(), bytes_max));
  const bool half_open = state_ == FlowState::syn_sent || state_ == FlowState::syn_received;
  return half_open ? transmit_handshake(now, out) : transmit_data(now, out);
}

/// Without room for a record data waits; control and probes go if something is given up for them.
template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::make_way_for_control(Instant now) noexcept {
  control_ = without(control_, PacketContent::size_probe);  // the next data asks for it again
  if (is_established(state_) && control_ == 0 && !sender_.probe_due()) return false;
  Resolved given_up;
  const bool room = sender_.give_up_oldest(now, given_up);
  on_resolved(now, given_up);
  arm_timers(now);
  return room;
}

/// The pool is used up, by other flows too: nobody tells when it is not any more.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::wait_for_room(Instant now) noexcept {
  constexpr Duration again = std::chrono::milliseconds{1};
  // A half-open flow waits for this timer anyhow: the handshake's.
  starved_ = state_ != FlowState::syn_sent && state_ != FlowState::syn_received;
  timers_.arm(FlowTimer::pace, later(now, again));
}

/// Where the frames of a packet go.
template <MessageMemory Memory, TransportPolicy Policy>
MutableBytes Flow<Memory, Policy>::packet_body(MutableBytes packet) noexcept {
  constexpr std::size_t overhead = PacketHeader::size + Integrity::trailer_bytes;
  return packet.subspan(PacketHeader::size, packet.size() - overhead);
}

/// A lone acknowledgement: it is not acknowledged itself and needs no record.
template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::transmit_ack(Instant now, MutableBytes out) noexcept {
  if (!has_ack(now)) return 0;
  FrameWriter frames{packet_body(out)};
  receiver_.write_ack_frame(frames);
  SentPacket record;
  record.sent_at = now;
  const std::size_t size = finish_packet(now, out, frames, record);
  arm_timers(now);
  return size;
}

template <MessageMemory Memory, TransportPolicy Policy>
PacketHeader Flow<Memory, Policy>::make_header(Instant now) const noexcept {
  PacketHeader header;
  header.destination_flow = identity_.peer_id;
  header.source_flow = identity_.local_id;
  header.number = sender_.packets().next();
  header.credit = receiver_.credit().limit();
  receiver_.fill_ack(header, now);
  if (misrouted_) [[unlikely]]
    header.set(HeaderFlag::misrouted);
  return header;
}

template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::transmit_handshake(Instant now, MutableBytes out) noexcept {
  const bool client = state_ == FlowState::syn_sent;
  const PacketHeader header = make_header(now);
  const std::size_t size =
      client ? detail::write_syn(out, header, identity_, *options_,
                                 ByteView{cookie_}.first(cookie_length_))
             : detail::write_syn_ack(out, header, *options_) + Integrity::trailer_bytes;
  Integrity::seal(out.first(size));

  SentPacket record;
  record.sent_at = now;
  record.bytes = static_cast<std::uint16_t>(size);
  record.state = PacketState::in_flight;
  sender_.on_sent(record);
  const Duration wait = options_->probe_before_sample * (1 << std::min<int>(handshakes_sent_, 10));
  if (handshakes_sent_ < 255) ++handshakes_sent_;
  timers_.arm(FlowTimer::handshake, later(now, std::min(wait, options_->probe_max)));
  return size;
}

template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::transmit_data(Instant now, MutableBytes out) noexcept {
  FrameWriter frames{packet_body(out)};
  SentPacket record;
  record.sent_at = now;
  const bool ack_due = receiver_.ack_is_due(now);
  compose(now, frames, record);
  const bool eliciting = record.units != 0 || record.content != 0;
  if (!eliciting && !ack_due) return 0;

  record.state = eliciting ? PacketState::in_flight : PacketState::untracked;
  const std::size_t size = finish_packet(now, out, frames, record);
  if (mtu_.was_too_small(size) && sender_.queue().has_new() && mtu_.wants_probe(now))
    want_control(PacketContent::size_probe);
  maybe_fin();
  request_credit();
  arm_timers(now);
  return size;
}

/// Header, trailer and the books of a packet whose frames are written.
template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::finish_packet(Instant now, MutableBytes out,
                                                const FrameWriter& frames,
                                                SentPacket& record) noexcept {
  const std::size_t size = PacketHeader::size + frames.size() + Integrity::trailer_bytes;
  make_header(now).write(out.first<PacketHeader::size>());
  Integrity::seal(out.first(size));
  record.bytes = static_cast<std::uint16_t>(size);
  sender_.on_sent(record);
  const bool open = is_established(state_);
  if (!open) receiver_.repeat_no_acks();
  receiver_.on_left(now, *options_, open);
  return size;
}

/// RFC 8899 3 (probe packets without application data). It goes when no data may: nothing that
/// somebody waits for stands behind its padding.
template <MessageMemory Memory, TransportPolicy Policy>
std::size_t Flow<Memory, Policy>::transmit_size_probe(Instant now, MutableBytes out) noexcept {
  control_ = without(control_, PacketContent::size_probe);
  const std::uint32_t bytes = mtu_.begin_probe(out.size());
  if (bytes == 0) return 0;
  const std::size_t overhead = PacketHeader::size + Integrity::trailer_bytes;
  FrameWriter frames{out.subspan(PacketHeader::size, bytes - overhead)};
  receiver_.write_ack_frame(frames);
  frames.ping();
  frames.pad_to(bytes - overhead);
  SentPacket record;
  record.sent_at = now;
  record.state = PacketState::in_flight;
  record.content = with(0, PacketContent::size_probe);
  const std::size_t size = finish_packet(now, out.first(bytes), frames, record);
  arm_timers(now);
  return size;
}

/// Acknowledgement first, then control, then a probe's repetition or message parts.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::compose(Instant now, FrameWriter& frames, SentPacket& record) noexcept {
  receiver_.write_ack_frame(frames);
  if (sender_.probe_due()) {
    const std::uint8_t repeat = sender_.write_probe(frames, *memory_, record);
    if (holds(repeat, PacketContent::want)) want_control(PacketContent::want);
    if (holds(repeat, PacketContent::room)) want_control(PacketContent::room);
    if (holds(repeat, PacketContent::fin) && !fin_acked_) want_control(PacketContent::fin);
    if (holds(repeat, PacketContent::reset)) want_control(PacketContent::reset);
    if (record.units == 0 && without(control_, PacketContent::size_probe) == 0)
      want_control(PacketContent::ping);
  }
  write_control(frames, record);
  const bool may = is_established(state_) && record.units == 0;
  if (may && sender_.may_send_data(now)) sender_.write_data(frames, *memory_, record);
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::write_control(FrameWriter& frames, SentPacket& record) noexcept {
  constexpr std::size_t all_of_them = want_frame_bytes + fin_frame_bytes + reset_frame_bytes + 2;
  if (control_ == 0 || frames.room() < all_of_them) return;
  if (holds(control_, PacketContent::want)) frames.want(wanted_, want_bytes_);
  if (holds(control_, PacketContent::fin)) {
    frames.fin(sender_.queue().next_number());
    fin_sent_ = true;
  }
  if (holds(control_, PacketContent::reset)) frames.reset(reset_reason_);
  if (holds(control_, PacketContent::room)) frames.room_found();
  if (holds(control_, PacketContent::ping)) frames.ping();
  const std::uint8_t written = without(control_, PacketContent::size_probe);
  record.content = static_cast<std::uint8_t>(record.content | written);
  control_ = static_cast<std::uint8_t>(control_ ^ written);
}

/// Asks for receive memory when the next message cannot begin: large ones at once, so that the
/// answer comes while the one before is under way; small ones only when no acknowledgement of
/// messages is expected that would bring credit anyway.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::request_credit() noexcept {
  if (!sender_.queue().has_new() || !is_established(state_)) return;
  const auto blocked = sender_.queue().blocked_on(sender_.credit());
  if (!blocked) return;
  if (want_outstanding_ && wanted_ == blocked->number) return;
  const bool large = memory_cost(blocked->length) > slab_bytes_max;
  if (!large && sender_.queue().awaits_acknowledgement()) return;
  want_outstanding_ = true;
  wanted_ = blocked->number;
  want_bytes_ = blocked->length;
  want_control(PacketContent::want);
}

}  // namespace proa
