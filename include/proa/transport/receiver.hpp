// L2: the receiving half of a flow: packet numbers, reassembly, credit, and when to acknowledge.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/transport/ack_tracker.hpp>
#include <proa/transport/credit.hpp>
#include <proa/transport/events.hpp>
#include <proa/transport/options.hpp>
#include <proa/transport/reassembly.hpp>
#include <proa/transport/rtt.hpp>
#include <proa/wire/header.hpp>

namespace proa {

template <MessageMemory Memory>
class Receiver {
 public:
  Receiver(ScratchPool& pool, const FlowOptions& options, const StreamStart& start = {}) noexcept
      : acks_(pool), reassembly_(pool, start.message), credit_(pool, options, start.credit) {}

  [[nodiscard]] AckTracker& acks() noexcept { return acks_; }
  [[nodiscard]] const AckTracker& acks() const noexcept { return acks_; }
  [[nodiscard]] Reassembly<Memory>& reassembly() noexcept { return reassembly_; }
  [[nodiscard]] const Reassembly<Memory>& reassembly() const noexcept { return reassembly_; }
  [[nodiscard]] CreditGiver& credit() noexcept { return credit_; }
  [[nodiscard]] const CreditGiver& credit() const noexcept { return credit_; }

  /// A packet has been placed whole. `eliciting`: it held more than acknowledgement and credit.
  void on_packet(PacketNumber number, bool eliciting, const Arrival& arrival,
                 const FlowOptions& options, const RttEstimator& rtt) noexcept {
    const bool gap = acks_.record(number, arrived_at(arrival, options));
    if (arrival.congestion_experienced) ++ce_marked_;
    if (!eliciting) return;
    sent_since_news_ = 0;
    note_repetition();
    ++unacknowledged_;
    if (gap || arrival.congestion_experienced || unacknowledged_ >= options.ack_every_packets)
      ack_now_ = true;
    if (ack_due_ == never) ack_due_ = later(arrival.now, ack_delay(options, rtt));
  }
  /// Whether the eliciting packet that came last is one too many of those that repeat what was
  /// acknowledged: perhaps none of our acknowledgements arrives.
  [[nodiscard]] bool acknowledges_in_vain() const noexcept {
    return repetitions_ == repetitions_in_vain;
  }
  void ack_at_once() noexcept { ack_now_ = true; }
  [[nodiscard]] bool ack_is_due(Instant now) const noexcept { return ack_now_ || now >= ack_due_; }
  [[nodiscard]] Instant ack_deadline() const noexcept { return ack_due_; }

  /// Whether the next packet acknowledges: asked for its header and for its frames, with the same
  /// answer. While nothing is missing the header alone says it. Gaps need a frame, and lost lone
  /// acknowledgements, which are never sent again, leave gaps for long: who mostly sends does not
  /// repeat in each packet what it has told (RFC 9000 13.2.1), yet now and then, for the peer may
  /// have missed it, and its newest acknowledged number must never lie half a turn back.
  [[nodiscard]] bool acknowledges() const noexcept {
    if (!acks_.any()) return false;
    if (!acks_.has_gaps() || ack_now_ || ack_due_ != never) return true;
    return sent_since_news_ < gaps_told || sent_since_news_ % gaps_told_every == 0;
  }
  /// Fills the header's acknowledgement fields.
  void fill_ack(PacketHeader& header, Instant now) const noexcept {
    if (!acknowledges()) return;
    header.set(HeaderFlag::acks);
    header.largest_acked = acks_.largest();
    header.set_ack_delay(now - acks_.largest_at());
  }
  /// Appends the ack frame where one is needed, mostly the short one.
  void write_ack_frame(FrameWriter& out) noexcept {
    if (!acknowledges()) return;
    if (acks_.has_gaps()) {
      gap_frames_ = (gap_frames_ + 1U) % long_ack_every;
      if (gap_frames_ == 0 && out.room() > 2 * ack512_frame_bytes)
        out.ack512(acks_.bits());
      else
        out.ack64(acks_.newest64());
    }
    if (ce_marked_ != 0) out.ecn(ce_marked_);  // RFC 9000 13.4.1: a count since the beginning
  }
  /// The flow has ended: no acknowledgement waits for a timer any more.
  void repeat_no_acks() noexcept { repeat_acks_ = 0; }
  /// A packet left, and if an acknowledgement was due it went with it. What answers a SYN, a RESET
  /// too, acknowledges it however often it is repeated: only packets of an `open` flow count.
  void on_left(Instant now, const FlowOptions& options, bool open) noexcept {
    if (open && ++sent_since_news_ == 0) sent_since_news_ = gaps_told_every;
    unacknowledged_ = 0;
    ack_now_ = false;
    ack_due_ = never;
    if (repeat_acks_ == 0) [[likely]]
      return;
    --repeat_acks_;
    ack_due_ = later(now, options.ack_delay_max);
  }
  void raise_credit(Memory& memory) noexcept {
    credit_.raise(memory, reassembly_.undelivered_bytes());
  }
  /// An application that does not read what is complete gets no more than its window reserved.
  [[nodiscard]] bool wants_memory() const noexcept {
    const auto wanted = credit_.wanted();
    if (!wanted || reassembly_.is_early(*wanted, credit_.window_max())) return false;
    return !reassembly_.deliverable() || reassembly_.undelivered_bytes() < credit_.window_max();
  }
  [[nodiscard]] bool serve_memory(Memory& memory, bool last) noexcept {
    return credit_.serve(memory, last, reassembly_.first_without_block());
  }
  void rest(Memory& memory) noexcept {
    reassembly_.trim();
    credit_.rest(memory);
  }
  void clear(Memory& memory) noexcept {
    reassembly_.clear(memory);
    credit_.end(memory);
  }
  [[nodiscard]] const char* broken_invariant() const noexcept {
    return reassembly_.broken_invariant();
  }

 private:
  // A short ack frame names each packet in eight acknowledgements; the long one covers the case
  // that all eight are lost.
  static constexpr std::uint32_t long_ack_every = 4;
  // In packets. Every 128th: no burst takes them all, and it is no work to speak of; every 32nd
  // cost a sender 0.2 % where acknowledgements are lost.
  static constexpr unsigned gaps_told = 8, gaps_told_every = 128;
  static constexpr std::uint8_t repeat_acks_max = 16;  // 400 us of ack_delay_max
  static constexpr std::uint8_t repetitions_in_vain = 3;

  /// A packet that repeats what is here: the first may have been overtaken; more in a row say that
  /// our acknowledgements get lost. Then each is followed by as many more as were repeated in vain:
  /// the peer's probes come ever further apart and must not all be unlucky.
  void note_repetition() noexcept {
    const std::uint32_t repeated = reassembly_.repeated_parts();
    if (repeated == repeated_parts_) [[likely]] {
      repetitions_ = repeat_acks_ = 0;
      return;
    }
    repeated_parts_ = repeated;
    repeat_acks_ = std::min(repetitions_, repeat_acks_max);
    if (repetitions_ < repeat_acks_max) ++repetitions_;
  }

  /// A poller that comes late tells the peer the most it may have waited, as ack delay: what the
  /// packet lay here is no delay of the path. Of a few microseconds nobody speaks.
  [[nodiscard]] static Instant arrived_at(const Arrival& arrival,
                                          const FlowOptions& options) noexcept {
    const bool late = arrival.uncertainty > options.late_ack_delay();
    return late ? arrival.now - arrival.uncertainty : arrival.now;
  }
  [[nodiscard]] static Duration ack_delay(const FlowOptions& options,
                                          const RttEstimator& rtt) noexcept {
    const Duration quarter = std::max(rtt.smoothed() / 4, options.ack_delay_min);
    return std::min(options.ack_delay_max, quarter);
  }

  AckTracker acks_;
  Reassembly<Memory> reassembly_;
  CreditGiver credit_;
  Instant ack_due_ = never;
  std::uint32_t unacknowledged_ = 0;
  std::uint32_t ce_marked_ = 0;
  std::uint32_t repeated_parts_ = 0;  // of the reassembly, when a packet was placed last
  std::uint8_t sent_since_news_ = 0;  // packets; at 256 it goes back to 128, not 0
  std::uint8_t repetitions_ = 0;      // packets in a row that repeated something
  std::uint8_t repeat_acks_ = 0;      // acknowledgements to send once more
  std::uint8_t gap_frames_ : 2 = 0;   // modulo long_ack_every; an idle flow is small
  bool ack_now_ : 1 = false;
};

}  // namespace proa
