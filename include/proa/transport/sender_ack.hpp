// L2: what an acknowledgement settles, and what it measures. Part of sender.hpp: include that.
#pragma once
#include <proa/transport/sender.hpp>

namespace proa {

/// What the acknowledgement is the first to name lies between this and `end`. Above what was
/// acknowledged before all may be; below it lie runs of acknowledged ones, long where the record of
/// a lost packet before them is kept: a look at each.
template <MessageMemory Memory, CongestionController Congestion>
std::uint32_t Sender<Memory, Congestion>::first_news(const AckInfo& ack,
                                                     std::uint32_t end) const noexcept {
  const std::uint32_t floor = packets_.position(ack.largest.minus(ack.bits.count));
  std::uint32_t i = end;
  if (any_acked_) i = std::min(i, packets_.position(largest_acked_.plus(1)));
  std::uint32_t first = std::max(i, floor);
  while (i > floor) {
    if (packets_.at(i - 1).state == PacketState::acked) {
      i -= packets_.acked_run(i - 1);
    } else if (ack.names(packets_.at(--i).number)) {
      first = i;
    }
  }
  return first;
}

template <MessageMemory Memory, CongestionController Congestion>
auto Sender<Memory, Congestion>::collect(const AckInfo& ack, Memory& memory, Resolved& out) noexcept
    -> Acked {
  Acked acked;
  acked.in_flight_before = packets_.in_flight_bytes();
  const std::uint32_t end = packets_.position(ack.largest.plus(1));
  for (std::uint32_t i = first_news(ack, end); i < end; ++i) {
    SentPacket& packet = packets_.at(i);
    if (packet.state == PacketState::acked || !ack.names(packet.number)) continue;
    if (!queue_.acknowledge(packet.range(), memory)) {
      out.out_of_memory = true;
      continue;
    }
    ++acked.packets;
    acked.bytes += packet.bytes;
    out.content_acked |= packet.content;
    if (holds(packet.content, PacketContent::size_probe)) out.size_probe_acked = packet.bytes;
    if (packet.state == PacketState::lost && counts_as_lost(packet)) {
      acked.late = true;
      congestion_.on_late(index_of(packet.number));
    }
    if (was_judged(packet.number)) acked.reordered = true;
    acked.newest_sent_at = packet.sent_at;
    acked.oldest_sent_at = std::min(acked.oldest_sent_at, packet.sent_at);
    acked.newest_is_new = packet.number == ack.largest;
    black_hole_.on_arrival(packet.bytes);
    packets_.acknowledge(i);
  }
  return acked;
}

template <MessageMemory Memory, CongestionController Congestion>
void Sender<Memory, Congestion>::feed_estimators(const Acked& acked, const AckInfo& ack,
                                                 const Arrival& arrival) noexcept {
  AckSample sample;
  const Duration lateness = ack.lateness(options_->late_ack_delay());
  const Duration uncertainty = arrival.uncertainty + lateness;
  // A clock that has not moved on between the two measured nothing.
  if (acked.newest_is_new && arrival.now > acked.newest_sent_at) {
    const Duration rtt = arrival.now - acked.newest_sent_at;
    rtt_.update(rtt, ack.delay, uncertainty);
    rtt_.note_peer_lateness(lateness == Duration::zero() ? lateness : ack.delay);
    // Unlike the estimator's, never raised to the minimum: a peer that lies hurts itself.
    const Duration waited =
        lateness != Duration::zero() || ack.delay >= rtt ? Duration::zero() : ack.delay;
    sample.rtt = std::max(rtt - waited, Duration{1});
  }
  if (acked.reordered) rule_.on_reordering();
  if (acked.late) {
    ++spurious_losses_;
    rule_.on_spurious_loss(index_of(ack.largest), sent_count_);
  }
  sample.now = arrival.now;
  sample.smoothed_rtt = rtt_.smoothed();
  sample.minimum_rtt = rtt_.minimum();
  sample.uncertainty = uncertainty;
  sample.rtt_reliable = rtt_.trusts(uncertainty);
  sample.window_limited = window_limited_;
  sample.acked_bytes = acked.bytes;
  sample.acked_packets = acked.packets;
  sample.in_flight_bytes = acked.in_flight_before;
  sample.delivered = index_of(ack.largest);
  sample.next_number = sent_count_;
  sample.ce_marked = std::exchange(ce_marked_, 0U);
  congestion_.on_ack(sample);
}

}  // namespace proa
