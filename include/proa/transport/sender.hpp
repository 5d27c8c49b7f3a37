// L2: the sending half of a flow: what is queued, in flight, lost and acknowledged, and how fast.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <proa/transport/ack_info.hpp>
#include <proa/transport/black_hole.hpp>
#include <proa/transport/congestion.hpp>
#include <proa/transport/events.hpp>
#include <proa/transport/kept_congestion.hpp>
#include <proa/transport/loss.hpp>
#include <proa/transport/pacing.hpp>
#include <proa/transport/probe.hpp>
#include <proa/transport/send_queue.hpp>
#include <proa/transport/sent_packets.hpp>
#include <proa/wire/header.hpp>

namespace proa {

template <MessageMemory Memory, CongestionController Congestion>
class Sender {
 public:
  Sender(ScratchPool& pool, const FlowOptions& options, PacketNumber first,
         std::uint32_t packet_bytes, const StreamStart& start = {}) noexcept
      : queue_(pool, options, start.message),
        packets_(pool, options.packets_in_flight_max, first),
        congestion_(pool, options.congestion, packet_bytes),
        options_(&options),
        probe_interval_(options.probe_before_sample),
        credit_{start.credit, start.credit},
        black_hole_(packet_bytes) {}

  [[nodiscard]] SendQueue<Memory>& queue() noexcept { return queue_; }
  [[nodiscard]] const SendQueue<Memory>& queue() const noexcept { return queue_; }
  [[nodiscard]] SentPackets& packets() noexcept { return packets_; }
  [[nodiscard]] const SentPackets& packets() const noexcept { return packets_; }
  [[nodiscard]] CreditUse& credit() noexcept { return credit_; }
  [[nodiscard]] const CreditUse& credit() const noexcept { return credit_; }
  [[nodiscard]] const RttEstimator& rtt() const noexcept { return rtt_; }
  [[nodiscard]] KeptCongestion<Congestion>& congestion() noexcept { return congestion_; }
  [[nodiscard]] const KeptCongestion<Congestion>& congestion() const noexcept {
    return congestion_;
  }
  [[nodiscard]] std::uint64_t sent_packets() const noexcept { return sent_count_; }
  [[nodiscard]] std::uint64_t resent_bytes() const noexcept { return resent_bytes_; }
  [[nodiscard]] std::uint64_t lost_packets() const noexcept { return lost_packets_; }
  [[nodiscard]] std::uint64_t spurious_losses() const noexcept { return spurious_losses_; }
  [[nodiscard]] std::uint64_t probes() const noexcept { return probes_; }

  /// True if message parts may go now, as far as window, pacing and credit are concerned.
  [[nodiscard]] bool may_send_data(Instant now) const noexcept {
    if (!has_data() || !packets_.takes_data()) return false;
    return packets_.in_flight_bytes() < congestion_.window_bytes() && pacer_.may_send(now);
  }
  [[nodiscard]] bool probe_due() const noexcept { return probe_due_; }
  [[nodiscard]] std::uint32_t probes_in_a_row() const noexcept { return probes_in_a_row_; }
  /// The first probe may be for a lost packet; from the second on the path is in doubt. Whom the
  /// peer had no memory for must be placed whole to be acknowledged.
  [[nodiscard]] bool probe_is_small() const noexcept {
    return probes_in_a_row_ > 1 || peer_refused_;
  }
  /// One more and what is lost was too large for the path. Two of that size were lost in a row: not
  /// again, it is what somebody waits for. New data goes on to find out.
  [[nodiscard]] bool resends_small() const noexcept {
    return black_hole_.near() && queue_.has_lost();
  }
  /// When something was sent, or a probe became due, that asks for an answer.
  [[nodiscard]] Instant waiting_since() const noexcept { return waiting_since_; }
  /// When the oldest was sent of what the acknowledgement of now was the first to acknowledge, or
  /// less than 1 us later.
  [[nodiscard]] Instant answered_sent_at(Instant now) const noexcept {
    return now - std::chrono::microseconds{answered_age_us_};
  }
  /// When data that only pacing holds back may go; never if that is not what holds it.
  [[nodiscard]] Instant paced_until(Instant now) const noexcept {
    if (pacer_.may_send(now) || !has_data()) return never;
    return pacer_.next();
  }

  /// Fills the packet with resent parts first, then new ones. `record` learns what it carries.
  void write_data(FrameWriter& out, const Memory& memory, SentPacket& record) noexcept {
    if (congestion_.wake()) [[unlikely]]
      probe_interval_ = probe_timeout(rtt_, *options_, 0);
    if (queue_.has_lost()) {
      set_range(record, queue_.write_lost(out, memory));
      resent_bytes_ += record.units;
    } else {
      set_range(record, queue_.write_new(out, memory, credit_));
    }
  }

  /// Repeats the oldest unacknowledged frames (RFC 9002 6.2.4): the oldest of the stream, not those
  /// of the oldest packet, for a peer without memory takes nothing that comes after them. Returns
  /// the content to repeat.
  [[nodiscard]] std::uint8_t write_probe(FrameWriter& out, const Memory& memory,
                                         SentPacket& record) noexcept {
    probe_due_ = false;
    ++probes_;
    record.content = with(record.content, PacketContent::probe);
    set_range(record, queue_.write_oldest(out, memory));
    resent_bytes_ += record.units;
    std::uint8_t content = 0;
    for (std::uint32_t i = 0; i < packets_.count(); ++i)
      if (packets_.at(i).state == PacketState::in_flight) content |= packets_.at(i).content;
    return content;
  }

  /// Room for the record of one more packet that must go: control or a probe.
  /// Where there is none the oldest in flight counts as lost: nothing else would ever make room.
  [[nodiscard]] bool give_up_oldest(Instant now, Resolved& out) noexcept;  // sender_loss.hpp

  /// Every packet consumes a number; `record.state` says whether it is in flight.
  void on_sent(const SentPacket& record) noexcept {
    packets_.push(record);
    ++sent_count_;
    if (record.state != PacketState::in_flight) return;
    waiting_since_ = record.sent_at;
    // Unlike a keepalive it is waited for.
    if (probes_in_a_row_ == 0 && without(record.content, PacketContent::ping) != 0)
      probe_interval_ = std::min(probe_interval_, probe_timeout(rtt_, *options_, 0));
    const Duration gap = congestion_.pacing_interval(record.bytes);
    pacer_.on_sent(record.sent_at, gap, rtt_.smoothed());
    // RFC 9002 7.8: a window that is not used does not grow. Pacing keeps back less than half of
    // it.
    const std::uint32_t in_flight = packets_.in_flight_bytes();
    const std::uint32_t window = congestion_.window_bytes();
    const bool paced = !pacer_.may_send(record.sent_at) && in_flight >= window / 2 && has_data();
    window_limited_ = paced || in_flight + record.bytes > window;
  }

  Resolved on_ack(const AckInfo& ack, const Arrival& arrival, Memory& memory) noexcept {
    Resolved out;
    if (!packets_.was_sent(ack.largest)) {
      out.acks_unsent = true;
      return out;
    }
    ce_marked_ += ack.ce_marked;
    if (ack.largest.before(packets_.oldest())) {
      note_largest(ack.largest);  // else it would be half a turn of the numbers away some day
      return out;
    }
    const Acked acked = collect(ack, memory, out);
    if (acked.packets == 0) return out;
    out.progress = true;
    answered_age_us_ = age_us(arrival.now - acked.oldest_sent_at);
    note_largest(ack.largest);
    // What was sent before the first of many probes has arrived: the path or the peer paused, and
    // nothing was congested (the idea of Eifel, RFC 3522).
    if (probes_in_a_row_ >= persistent_probes && acked.oldest_sent_at < first_probe_at_)
      congestion_.on_spurious_timeout(arrival.now);
    probes_in_a_row_ = 0;
    probe_due_ = peer_refused_ = false;
    feed_estimators(acked, ack, arrival);
    probe_interval_ = probe_timeout(rtt_, *options_, 0);
    packets_.forget(arrival.now - 2 * probe_interval_);  // mostly all: then nothing is overdue
    trim_while_resting();
    find_losses(arrival.now - arrival.uncertainty, arrival.now, out);
    return out;
  }

  /// The loss timer expired: packets older than the reordering window are lost.
  Resolved on_loss_timer(Instant now) noexcept {
    Resolved out;
    find_losses(now, now, out);
    return out;
  }
  void on_probe_timer(Instant now) noexcept {
    waiting_since_ = now;
    if (probe_due_) return;  // the one before has not even left: that is not the peer's silence
    if (probes_in_a_row_ == 0) first_probe_at_ = now;
    probe_due_ = true;
    ++probes_in_a_row_;
    probe_interval_ = probe_timeout(rtt_, *options_, probes_in_a_row_);
    if (probes_in_a_row_ == persistent_probes) congestion_.on_persistent_congestion(now);
  }

  /// A ping follows that only proves that both are there. Its answer comes from a peer that sleeps,
  /// and nobody waits for it: a probe after a usual round trip would be one packet more per flow.
  void on_keepalive() noexcept {
    if (packets_.in_flight_packets() == 0 && queue_.empty()) probe_interval_ = options_->probe_max;
  }

  /// Packets hold that much from now on.
  void on_packet_size(std::uint32_t bytes) noexcept {
    congestion_.on_packet_size(bytes);
    black_hole_.on_packet_size(bytes);
  }

  /// Packets take another way from now on and may overtake those under way: for two round trips
  /// only time decides what is lost.
  void on_path_change(Instant now) noexcept { count_off_until_ = later(now, 2 * rtt_.smoothed()); }

  /// The peer had no memory for something that we sent, and has some now: probe at once instead of
  /// at the end of a backed-off wait. Unless the oldest in flight may still be answered: what was
  /// sent since says nothing, and while this end was not looking the news may have lain beside the
  /// acknowledgement.
  void on_peer_room(const Arrival& arrival) noexcept {
    if (packets_.in_flight_packets() == 0) return;
    const Instant oldest = packets_.at(packets_.oldest_in_flight()).sent_at;
    const Duration silence = arrival.now - arrival.uncertainty - oldest;
    // News comes at once, an acknowledgement mostly a little later.
    const Duration usual = std::max(rtt_.minimum(), rtt_.smoothed() * 7 / 8);
    if (probes_in_a_row_ == 0 && silence < usual) return;
    for (std::uint32_t i = 0; i < packets_.count(); ++i) {
      SentPacket& packet = packets_.at(i);
      if (packet.state != PacketState::in_flight) continue;  // as a loss it was counted
      packet.content = with(packet.content, PacketContent::refused);
    }
    if (probes_in_a_row_ >= persistent_probes) congestion_.on_spurious_timeout(arrival.now);
    if (probes_in_a_row_ == 0) first_probe_at_ = arrival.now;
    waiting_since_ = arrival.now;
    probe_due_ = peer_refused_ = true;
    probes_in_a_row_ = 1;
    probe_interval_ = probe_timeout(rtt_, *options_, 2);
  }

  [[nodiscard]] Instant loss_deadline() const noexcept { return loss_deadline_; }
  [[nodiscard]] Instant probe_deadline() const noexcept {
    if (packets_.in_flight_packets() == 0) return never;
    return later(waiting_since_, probe_interval_);
  }
  /// Probe timeout without backoff: the unit of lingering.
  [[nodiscard]] Duration probe_interval() const noexcept {
    return probe_timeout(rtt_, *options_, 1);
  }

  void clear(Memory& memory) noexcept {
    queue_.clear(memory);
    packets_.clear();
    probe_due_ = false;
    loss_deadline_ = never;
  }
  void trim() noexcept {
    queue_.trim();
    packets_.trim();
    if (!queue_.empty() || packets_.in_flight_packets() != 0) return;
    congestion_.rest();
    rtt_.restart_minimum();  // a path may have grown longer: the next controller shall believe it
  }
  [[nodiscard]] const char* broken_invariant() const noexcept {
    if (const char* why = packets_.broken_invariant()) return why;
    return queue_.broken_invariant();
  }

 private:
  /// Nothing but a handshake or keepalives since the last rest: an idle flow keeps no records.
  void trim_while_resting() noexcept {
    if (packets_.count() == 0 && congestion_.controller() == nullptr) packets_.trim();
  }
  [[nodiscard]] bool has_data() const noexcept {
    return queue_.has_lost() || queue_.can_begin_or_continue(credit_);
  }

  struct Acked {
    std::uint32_t packets = 0;
    std::uint32_t bytes = 0;
    std::uint32_t in_flight_before = 0;
    bool late = false;           // one that was declared lost
    bool newest_is_new = false;  // the largest itself was newly acknowledged
    bool reordered = false;      // one that the acknowledgement before named as missing
    Instant newest_sent_at{};
    Instant oldest_sent_at = never;
  };

  /// An idle flow is small. Saturates after an hour: then the former path counts as broken.
  static std::uint32_t age_us(Duration age) noexcept {
    const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(age).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, 0xffff'ffff));
  }

  static void set_range(SentPacket& record, Interval range) noexcept {
    record.begin = range.begin;
    record.units = static_cast<std::uint32_t>(range.end - range.begin);
  }

  /// What was never told as a loss is none that could have been for nothing.
  static bool counts_as_lost(const SentPacket& packet) noexcept {
    return !holds(packet.content, PacketContent::size_probe) &&
           !holds(packet.content, PacketContent::refused);
  }
  void note_largest(PacketNumber number) noexcept {
    if (!any_acked_ || number.after(largest_acked_)) largest_acked_ = number;
    any_acked_ = true;
  }
  /// Any acknowledgement speaks of the 64 packets below its largest at least.
  [[nodiscard]] bool was_judged(PacketNumber number) const noexcept {
    return any_acked_ && number.before(largest_acked_) && largest_acked_.since(number) <= 64;
  }

  // sender_ack.hpp
  [[nodiscard]] std::uint32_t first_news(const AckInfo& ack, std::uint32_t end) const noexcept;
  Acked collect(const AckInfo& ack, Memory& memory, Resolved& out) noexcept;
  void feed_estimators(const Acked& acked, const AckInfo& ack, const Arrival& arrival) noexcept;
  // sender_loss.hpp
  void find_losses(Instant as_of, Instant now, Resolved& out) noexcept;
  void lose(SentPacket& packet, LossSample& loss, Resolved& out) noexcept;
  [[nodiscard]] std::uint64_t index_of(PacketNumber number) const noexcept {
    return sent_count_ - packets_.next().since(number);
  }

  SendQueue<Memory> queue_;
  SentPackets packets_;
  RttEstimator rtt_;
  LossRule rule_;
  KeptCongestion<Congestion> congestion_;
  const FlowOptions* options_;
  Duration probe_interval_;  // from waiting_since_ to the next probe
  Pacer pacer_;
  CreditUse credit_;
  Instant waiting_since_{};
  Instant loss_deadline_ = never;
  Instant count_off_until_{};  // until then packets overtake each other for a known reason
  Instant first_probe_at_ = never;
  std::uint64_t sent_count_ = 0;
  std::uint64_t resent_bytes_ = 0;
  std::uint32_t lost_packets_ = 0;
  std::uint32_t spurious_losses_ = 0;
  std::uint32_t probes_ = 0;
  PacketNumber largest_acked_;
  std::uint32_t probes_in_a_row_ = 0;
  std::uint32_t ce_marked_ = 0;
  std::uint32_t answered_age_us_ = 0;  // how long ago what was acknowledged last was sent
  BlackHole black_hole_;
  bool any_acked_ = false;
  bool probe_due_ = false;
  bool peer_refused_ = false;  // it had no memory and has not acknowledged anything since
  bool window_limited_ = false;
};

}  // namespace proa

#include <proa/transport/sender_ack.hpp>   // IWYU pragma: export
#include <proa/transport/sender_loss.hpp>  // IWYU pragma: export
