// L2: which packets a sender takes for lost. Part of sender.hpp: include that.
#pragma once
#include <proa/transport/sender.hpp>

namespace proa {

/// Packets below the largest acknowledged that are overdue by count or by time. RFC 8899 4.3: those
/// above the base count for the path's size if none as large arrived that was sent later; smaller
/// ones did, else nothing would be declared lost.
template <MessageMemory Memory, CongestionController Congestion>
void Sender<Memory, Congestion>::find_losses(Instant as_of, Instant now, Resolved& out) noexcept {
  loss_deadline_ = never;
  if (!any_acked_ || largest_acked_.before(packets_.oldest())) return;
  LossSample loss;
  loss.now = now;
  loss.in_flight_bytes = packets_.in_flight_bytes();
  const Duration patience = rule_.patience(rtt_);
  const bool by_count = now >= count_off_until_;
  const std::uint32_t oldest = packets_.oldest_in_flight();
  std::uint32_t i = packets_.position(largest_acked_);
  const bool recorded = i < packets_.count() && packets_.at(i).number == largest_acked_;
  std::uint32_t later_tracked = recorded ? 1 : 0;
  // The largest that arrived of those sent later: the path carries what is not larger.
  std::uint16_t arrived = recorded ? packets_.at(i).bytes : std::uint16_t{0};
  arrived = std::max<std::uint16_t>(arrived, path_bytes_base);
  while (i > oldest) {
    SentPacket& packet = packets_.at(--i);
    if (packet.state == PacketState::in_flight) {
      const Instant overdue = later(packet.sent_at, patience);
      if ((by_count && rule_.lost_by_count(later_tracked)) || overdue <= as_of) {
        const std::uint32_t told = loss.lost_packets;
        lose(packet, loss, out);
        if (packet.bytes > arrived && loss.lost_packets != told) black_hole_.on_loss(packet.bytes);
      } else {
        loss_deadline_ = std::min(loss_deadline_, overdue);
      }
    } else if (packet.state == PacketState::acked) {
      arrived = std::max(arrived, packet.bytes);
    }
    ++later_tracked;
  }
  if (loss.lost_bytes == 0) return;
  out.black_hole = black_hole_.found();
  rule_.on_loss(loss.newest_lost, sent_count_);
  loss.smoothed_rtt = rtt_.smoothed();
  loss.next_number = sent_count_;
  congestion_.on_loss(loss);
}

template <MessageMemory Memory, CongestionController Congestion>
void Sender<Memory, Congestion>::lose(SentPacket& packet, LossSample& loss,
                                      Resolved& out) noexcept {
  if (!queue_.lose(packet.range())) {  // no room to remember it: decided again in a while
    loss_deadline_ = std::min(loss_deadline_, later(loss.now, rule_.patience(rtt_)));
    return;
  }
  packets_.lose(packet);
  if (holds(packet.content, PacketContent::size_probe)) {
    // RFC 8899 3: a lost probe is not a sign of congestion.
    // Only the newest is under way; one before it was given up and acknowledged late.
    if (out.size_probe_lost == 0) out.size_probe_lost = packet.bytes;
    return;
  }
  ++lost_packets_;
  out.content_lost |= packet.content;
  if (!counts_as_lost(packet)) return;
  if (loss.lost_bytes == 0) loss.newest_lost = index_of(packet.number);
  loss.lost_bytes += packet.bytes;
  ++loss.lost_packets;
}

template <MessageMemory Memory, CongestionController Congestion>
bool Sender<Memory, Congestion>::give_up_oldest(Instant now, Resolved& out) noexcept {
  if (packets_.make_room()) return true;
  LossSample untold;  // it says nothing about the path
  untold.now = now;
  if (packets_.count() != 0) lose(packets_.at(0), untold, out);
  return packets_.make_room();
}

}  // namespace proa
