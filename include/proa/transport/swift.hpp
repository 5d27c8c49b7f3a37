// L2: Swift: the window follows the delay (Kumar et al., SIGCOMM 2020), one decision per round.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <proa/transport/blame.hpp>
#include <proa/transport/congestion.hpp>
#include <proa/transport/round_delay.hpp>
#include <proa/transport/windowed_minimum.hpp>

namespace proa {

/// Delay is the round trip less the peer's acknowledgement delay; the target is the path's minimum
/// plus room for a standing queue. Below the target the window grows per round, above it shrinks
/// to what the path holds. Integers only: the same series on every compiler.
///
/// Deviations from the paper, each for a reason; the tests of the bottleneck and test/sim/ show
/// them:
/// - A decrease empties the queue, so that every flow sees the true minimum again. By the paper's
///   own formula (algorithm 1) the queue stands at the target, a newcomer takes it for the path,
///   and starves the others.
/// - A round's delay is that of its worst moment (round_delay.hpp).
/// - The room above the minimum is the same for all paths up to 400 us (25 us; a sixteenth beyond,
///   for their jitter), and the step grows with the square of the round trip: flows of different
///   round trips get rates of one order. A step that overfills the room stands in the queue for the
///   whole round trip that passes before its flow hears of it, and a shorter flow yields ten times
///   meanwhile: so it ends where it fills the room at 25 Gbit/s, until half of the square is more.
///   (Paper, 3.5: the target grows with 1/sqrt(window) instead; tried, that does less.) What flows
///   get is in test/README.md.
/// - Loss alone shrinks the window only above 2 % of the packets, and in proportion, or on
///   persistent congestion: in a cloud 1 % of random loss says nothing about queues.
/// - One decision per round, and none in the round after a decrease, whose samples are older than
///   it.
/// - A queue that is never seen empty for half a second is a longer path: its minimum is forgotten
///   then, not after ten seconds.
/// - Start-up doubles per round while the smallest delay of the round is below half of the minimum
///   more (it is bursty), then drains for one round. It ends as well when a round stands above the
///   usual target and brings less than a quarter more: a long path's start-up would hold the queue,
///   and everybody else down, between the two targets for ever. A round that the window did not
///   limit is judged by its worst moment: bursts that the window holds find the queue empty each
///   time, and would fill it for ever.
/// - The step is small for few packets (a hundred flows may share a queue) and doubles after eight
///   uncongested rounds: long paths fill.
/// - A flow of few packets yields to a queue that is not its own only so far (instead of the
///   paper's flow scaling): its target rises until it keeps its few packets.
class Swift {
 public:
  void on_ack(const AckSample& ack) noexcept {
    smoothed_rtt_ = ack.smoothed_rtt;
    now_ = ack.now;
    if (std::exchange(forgive_, false)) judge_anew_from(ack.next_number);
    judged_packets_ += ack.acked_packets;
    limited_ = limited_ || ack.window_limited;
    marked_ = marked_ || ack.ce_marked != 0;
    if (ack.rtt != Duration::zero()) observe(ack);
    if (ack.delivered >= round_end_) finish_round(ack.next_number);
  }

  void on_loss(const LossSample& loss) noexcept {
    blame_.on_loss(loss);
    if (loss.newest_lost < judged_from_) return;  // sent before the last decrease: its cause
    newest_lost_ = lost_packets_ == 0 ? loss.newest_lost : std::max(newest_lost_, loss.newest_lost);
    lost_packets_ += loss.lost_packets;
    judged_packets_ += loss.lost_packets;
  }

  /// What was declared lost has arrived: it is no reason for a decrease to come, and one that was
  /// for nothing else is taken back.
  void on_late(std::uint64_t index) noexcept {
    if (index >= judged_from_) lost_packets_ -= std::min(lost_packets_, 1U);
    if (blame_.clears(index)) take_back();
  }
  /// The path paused: what was lost before or meanwhile is judged like any other loss.
  void on_spurious_timeout(Instant) noexcept {
    forgive_ = false;
    take_back();
  }

  /// Nothing came back for three probes: one packet, then start-up to half of what was.
  void on_persistent_congestion(Instant) noexcept {
    begin_undo();  // of its own: what was lost before may stay lost
    threshold_ = std::max(window_ / 2, 2 * one_packet());
    window_ = std::min(window_, one_packet());
    starting_ = true;
    forgive_ = true;
    decreased();
  }

  void on_packet_size(std::uint32_t bytes) noexcept {
    packet_bytes_ = std::max(bytes, 1U);
    if (starting_ && round_end_ == 0) window_ = scaled(std::max(initial_bytes, 2 * packet_bytes_));
  }

  [[nodiscard]] std::uint32_t window_bytes() const noexcept {
    return std::max(static_cast<std::uint32_t>(window_ >> fraction_bits), 1U);
  }
  /// Paced below one packet per round, and while congested.
  [[nodiscard]] Duration pacing_interval(std::uint32_t bytes) const noexcept {
    if (!congested_ && window_ >= one_packet()) return {};
    const auto round_ns = static_cast<std::uint64_t>(smoothed_rtt_.count());
    return Duration{static_cast<std::int64_t>(round_ns * scaled(bytes) / window_)};
  }

  [[nodiscard]] Duration base_delay() const noexcept {
    return base_.empty() ? Duration::zero() : base_.value();
  }
  [[nodiscard]] Duration target_delay() const noexcept {
    if (base_.empty()) return Duration::max() / 4;
    return base_delay() + queue_room() + tolerance_;
  }
  /// A window that doubles sends twice as fast as the path carries: half of it queues for a while.
  [[nodiscard]] Duration start_up_target() const noexcept {
    if (base_.empty()) return Duration::max() / 4;
    return base_delay() + std::max(queue_min, base_delay() / 2) + tolerance_;
  }
  [[nodiscard]] bool starting() const noexcept { return starting_; }

 private:
  static constexpr unsigned fraction_bits = 8;                // the window in 1/256 byte
  static constexpr std::uint32_t initial_bytes = 16U << 10U;  // RFC 6928's ten packets, about
  static constexpr std::uint64_t window_max = 1ULL << (30 + fraction_bits);
  static constexpr Duration queue_min{25'000};  // scheduler and batch noise
  static constexpr std::uint64_t patient_rounds = 8;
  static constexpr Duration round_min{10'000};  // a shorter round counts as this
  static constexpr Duration usual_round{50'000};
  static constexpr std::uint32_t blind_rounds_max = 8;
  static constexpr std::uint64_t few_packets = 16;
  static constexpr std::uint64_t round_16_max = 16 * 1024;  // 40 ms
  static constexpr std::uint32_t judged_packets_max = 256;
  static constexpr std::uint64_t half_256 = 128;
  static constexpr Duration never_empty_min = std::chrono::milliseconds{500};
  static constexpr std::int64_t never_empty_rounds = 64;
  struct Undo {
    std::uint64_t window = 0;  // 0: nothing to undo
    std::uint64_t threshold = 0;
    bool starting = false;
  };

  static constexpr std::uint64_t scaled(std::uint64_t bytes) noexcept {
    return bytes << fraction_bits;
  }
  static constexpr std::uint64_t nanoseconds(Duration d) noexcept {
    return static_cast<std::uint64_t>(d.count());
  }
  [[nodiscard]] Duration queue_room() const noexcept {
    return std::max(queue_min, base_delay() / 16);
  }
  [[nodiscard]] std::uint64_t one_packet() const noexcept { return scaled(packet_bytes_); }
  [[nodiscard]] std::uint64_t window_min() const noexcept { return one_packet() / 64; }

  void observe(const AckSample& ack) noexcept {
    if (!ack.rtt_reliable) {
      // Even without the poller's lateness it took too long: no reason to try for more.
      if (ack.rtt - ack.uncertainty > target_delay()) blind_rounds_ = 0;
      return;
    }
    // The flow may know its path from before this controller began: its handshake saw no queue.
    const bool knows = base_.empty() && ack.minimum_rtt != Duration::zero();
    base_.update(ack.now, knows ? std::min(ack.rtt, ack.minimum_rtt) : ack.rtt);
    round_.note(ack.now, ack.rtt, ack.smoothed_rtt);
    if (!starting_ || !ack.window_limited || ack.rtt > start_up_target() || lossy()) return;
    window_ = std::min(window_ + scaled(ack.acked_bytes), window_max);
    if (window_ >= threshold_) starting_ = false;
  }

  void finish_round(std::uint64_t next_number) noexcept {
    if (path_is_longer()) start_anew();
    const bool settling = std::exchange(settling_, false);
    if (settling && refill_ != 0) window_ = std::exchange(refill_, 0U);
    if (lossy())
      decrease_for_loss(next_number);
    else if (!settling)
      decide(next_number);
    if (judged_packets_ >= judged_packets_max)
      judge_anew_from(lost_packets_ != 0 ? newest_lost_ + 1 : judged_from_);
    round_end_ = next_number;
    round_.begin();
    limited_ = marked_ = false;
  }

  /// Every decrease empties the queue of this flow, and of others like it. What never empties in
  /// all that time is the path.
  [[nodiscard]] bool path_is_longer() noexcept {
    if (round_.quietest() == Duration::max()) return false;
    if (round_.quietest() <= base_delay() + queue_room()) {
      full_since_ = never;
      return false;
    }
    if (full_since_ == never) {
      full_since_ = now_;
      longer_base_ = Duration::max();
    }
    const Duration limit = std::max(never_empty_min, never_empty_rounds * base_delay());
    const Duration so_far = now_ - full_since_;
    if (so_far > limit / 2) longer_base_ = std::min(longer_base_, round_.quietest());
    return so_far >= limit && longer_base_ != Duration::max();
  }
  void start_anew() noexcept {
    base_ = {};
    base_.update(now_, longer_base_);
    full_since_ = never;
    tolerance_ = {};
    threshold_ = window_max;
    round_window_ = 0;
    starting_ = true;
  }

  void decide(std::uint64_t next_number) noexcept {
    // A window that doubles queues what it adds: its worst moment says nothing of the path.
    const bool grows = starting_ && limited_;
    const bool by_moments = !grows && round_.worst_moment() != Duration::zero();
    const Duration delay = by_moments ? round_.worst_moment() : round_.quietest();
    if (delay == Duration::max() && !marked_) return decide_blindly();
    blind_rounds_ = 0;
    undo_ = {};
    const bool doubles = starting_ && !start_up_is_over(delay);
    const Duration target = doubles ? start_up_target() : target_delay();
    if (marked_) return decrease_for_delay(2 * target, next_number);
    if (delay > target) {
      const Duration excess = delay - target;
      decrease_for_delay(delay, next_number);
      yield_less(excess);
      return;
    }
    congested_ = false;
    if (delay <= target - tolerance_) tolerance_ /= 2;
    if (limited_ && !starting_) increase();
  }

  [[nodiscard]] bool start_up_is_over(Duration delay) noexcept {
    const std::uint64_t before = std::exchange(round_window_, window_);
    return limited_ && before != 0 && delay > target_delay() && window_ < before + before / 4;
  }

  /// A poller that is always late never sees a delay it may trust. It needs a window for its own
  /// gaps: start-up goes on without a sight of the path, after it the window grows slowly, as long
  /// as nothing is lost.
  void decide_blindly() noexcept {
    congested_ = false;  // nobody knows; paced it would get a few packets out per pause
    if (!limited_ || lost_packets_ != 0) blind_rounds_ = 0;
    if (!limited_ || ++blind_rounds_ <= blind_rounds_max) return;
    if (!starting_) return increase();
    window_ = std::min(2 * window_, threshold_);
    starting_ = window_ < threshold_;
  }

  /// What a round adds: a quarter packet to few, a whole one to many, and more by the square of the
  /// round trip on long paths, so that the rates of all flows grow alike. What fills the target's
  /// room is enough, or the queue stands above it until the next round hears of it; a quarter of
  /// the square is more than that from 1.6 ms on: such paths have to be filled as well.
  [[nodiscard]] std::uint64_t step() const noexcept {
    const std::uint64_t round_16 = std::clamp<std::uint64_t>(
        16 * nanoseconds(base_delay()) / nanoseconds(usual_round), 8, round_16_max);
    const std::uint64_t as_usual = 16 * window_ / round_16;  // the window at the usual round trip
    const std::uint64_t usual = std::clamp(as_usual / 4, one_packet() / 4, one_packet());
    const std::uint64_t alike = usual * round_16 / 16 * round_16 / 16;
    const std::uint64_t fills_room = scaled(nanoseconds(queue_room()) * 25 / 8);  // at 25 Gbit/s
    return std::min(alike, std::max({usual, fills_room, alike / 2}));
  }
  /// After patient rounds the step doubles: what was cut too much comes back.
  void increase() noexcept {
    const std::uint64_t rounds =
        nanoseconds(now_ - growing_since_) / nanoseconds(std::max(base_delay(), round_min));
    std::uint64_t more = std::min(step(), std::max(window_, one_packet() / 4));
    if (rounds > patient_rounds) {
      const std::uint64_t doublings = std::min<std::uint64_t>(rounds - patient_rounds, 20);
      more = std::max(more, std::min(step() << doublings, std::max(window_ / 16, one_packet())));
    }
    window_ = std::min(window_ + more, window_max);
  }

  /// Down to 15/16 of what the path holds without a queue: cwnd *= max(15/16 * base / delay, 1/2).
  /// Not algorithm 1 of the paper, cwnd *= max(1 - 0.8 * (delay - target) / delay, 1 - max_mdf): as
  /// the target is never below the base that always cuts less, and keeps the queue at the target,
  /// where nobody sees the true minimum. Of the paper's rule only its bound is left: one half.
  void decrease_for_delay(Duration delay, std::uint64_t next_number) noexcept {
    const std::uint64_t whole = nanoseconds(delay);
    const std::uint64_t own_256 =
        std::min<std::uint64_t>(256 * nanoseconds(base_delay()) / whole, 256);
    if (starting_) {
      // One sample ends start-up, and it may be of a pause (a virtual CPU taken away, a SYN that
      // lay about): it never costs more than an eighth of the window is worth. Not one packet: a
      // hundred flows could not drain the queue.
      refill_ = std::max(window_ / 256 * std::max<std::uint64_t>(own_256, 32), window_min());
      window_ = std::max(refill_ / 2, window_min());
    } else {
      shrink(std::min(256 - own_256 * 15 / 16, half_256));
    }
    end_start_up(next_number);
  }

  /// The lost share and an eighth more, at most half.
  void decrease_for_loss(std::uint64_t next_number) noexcept {
    // For losses of rounds in a row: one to take back.
    if (undo_.window < window_) begin_undo();
    shrink(std::min(256ULL * lost_packets_ / judged_packets_ + 32, half_256 + 0ULL));
    end_start_up(next_number);
  }

  /// A window of few packets cannot be what fills the queue.
  void yield_less(Duration excess) noexcept {
    const std::uint64_t packets = window_ / one_packet();
    if (packets < few_packets)
      tolerance_ += excess * static_cast<std::int64_t>(few_packets - packets) /
                    static_cast<std::int64_t>(2 * few_packets);
  }

  void shrink(std::uint64_t cut_256) noexcept {
    window_ = std::max(window_ - window_ / 256 * cut_256, window_min());
    refill_ = 0;
  }
  void end_start_up(std::uint64_t next_number) noexcept {
    starting_ = false;
    threshold_ = window_max;
    judge_anew_from(next_number);
    decreased();
  }
  void decreased() noexcept {
    congested_ = settling_ = true;
    blind_rounds_ = 0;
    growing_since_ = now_;
    round_window_ = 0;
  }
  /// What was sent before the packet of this index has been judged.
  void judge_anew_from(std::uint64_t index) noexcept {
    judged_from_ = index;
    judged_packets_ = lost_packets_ = 0;
  }

  /// More than 2 %, with a margin that makes 1 % of random loss unlikely to look like it.
  [[nodiscard]] bool lossy() const noexcept {
    const std::uint32_t margin = std::min(1 + judged_packets_ / 8, 3U);
    return lost_packets_ > margin && 50 * (lost_packets_ - margin) > judged_packets_;
  }
  void begin_undo() noexcept {
    undo_ = {window_, threshold_, starting_};
    blame_.begin(judged_from_, lost_packets_);
  }
  void take_back() noexcept {
    if (undo_.window <= window_) return;
    window_ = undo_.window;
    threshold_ = undo_.threshold;
    starting_ = undo_.starting;
    undo_ = {};
    refill_ = 0;
  }

  WindowedMinimum base_;
  RoundDelay round_;
  Duration smoothed_rtt_{};
  Duration tolerance_{};  // what this flow adds to its target because of others' queues
  std::uint64_t window_ = scaled(initial_bytes);
  std::uint64_t threshold_ = window_max;  // start-up ends here
  std::uint64_t refill_ = 0;              // the window after the round that drains; 0: none
  std::uint64_t round_window_ = 0;        // in start-up: at the end of the last round; 0: none
  Undo undo_;
  Blame blame_;                    // of what `undo_` takes back
  std::uint64_t round_end_ = 0;    // a round ends when a packet of this index is acknowledged
  std::uint64_t judged_from_ = 0;  // losses of packets from this index on are still to be judged
  std::uint64_t newest_lost_ = 0;  // index, if lost_packets_ is not 0
  std::uint32_t packet_bytes_ = 1472;
  std::uint32_t judged_packets_ = 0;  // acknowledged or lost since loss was last judged
  std::uint32_t lost_packets_ = 0;
  Instant now_{}, growing_since_{};
  Instant full_since_ = never;      // since then the queue was never seen empty
  Duration longer_base_{};          // the smallest sample of the later half of that time
  std::uint32_t blind_rounds_ = 0;  // rounds in a row without a trustworthy sample
  bool starting_ = true;
  bool congested_ = false;
  bool settling_ = false;  // this round's samples are older than the last decrease
  bool limited_ = false;
  bool marked_ = false;
  bool forgive_ = false;  // losses of what was sent before persistent congestion are its part
};
static_assert(CongestionController<Swift>);

}  // namespace proa
