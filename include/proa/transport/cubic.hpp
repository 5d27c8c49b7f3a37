// L2: CUBIC (RFC 9438) with HyStart++ (RFC 9406) and the ECN response of RFC 8511, always paced.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <proa/transport/blame.hpp>
#include <proa/transport/congestion.hpp>
#include <proa/transport/hystart.hpp>

namespace proa {

/// The cubic function in integers: windows in bytes, time in steps of 125 us. Segments are packets
/// of `packet_bytes`.
struct CubicCurve {
  static constexpr std::uint64_t steps_per_second = 8'000;
  static constexpr std::uint64_t steps_max = 1ULL << 20U;  // two minutes: K never comes near

  std::uint64_t k_steps = 0;
  std::uint64_t maximum_bytes = 0;
  std::uint32_t packet_bytes = 1;

  [[nodiscard]] static constexpr std::uint64_t steps(Duration d) noexcept {
    return std::min(static_cast<std::uint64_t>(std::max(d, Duration::zero()).count()) / 125'000,
                    steps_max);
  }
  [[nodiscard]] static constexpr std::uint64_t cube_root(std::uint64_t n) noexcept {
    std::uint64_t root = 0;
    for (int bit = 20; bit >= 0; --bit) {
      const std::uint64_t next = root | (std::uint64_t{1} << bit);
      if (next * next * next <= n) root = next;
    }
    return root;
  }
  /// RFC 9438 4.2, figure 2: K = cubic_root((W_max - cwnd_epoch) / C), C = 0.4.
  [[nodiscard]] static constexpr CubicCurve from(std::uint64_t maximum, std::uint64_t epoch_window,
                                                 std::uint32_t packet) noexcept {
    CubicCurve curve{0, std::max(maximum, epoch_window), packet};
    const std::uint64_t drop =
        std::min<std::uint64_t>(curve.maximum_bytes - epoch_window, 1U << 30U);
    // (drop / packet / 0.4 s^-3) * 8000^3
    curve.k_steps = cube_root(drop * 2'500 / packet * 512'000'000);
    return curve;
  }
  /// RFC 9438 4.2, figure 1: W_cubic(t) = C * (t - K)^3 + W_max.
  [[nodiscard]] constexpr std::uint64_t window(std::uint64_t at_steps) const noexcept {
    const bool rising = at_steps >= k_steps;
    const std::uint64_t d = std::min(rising ? at_steps - k_steps : k_steps - at_steps, steps_max);
    const std::uint64_t cube_thousandths = d * d * d / 512'000'000;  // of a cubic second
    const std::uint64_t bytes = cube_thousandths * 4 * packet_bytes / 10'000;
    if (rising) return maximum_bytes + bytes;
    return maximum_bytes > bytes ? maximum_bytes - bytes : 0;
  }
};

class Cubic {
 public:
  void on_ack(const AckSample& ack) noexcept {
    smoothed_rtt_ = ack.smoothed_rtt;
    if (std::exchange(forgive_, false)) recovery_end_ = ack.next_number;
    // RFC 9438 4.2: t leaves out the time the application, not the window, was the limit.
    if (!ack.window_limited && now_.epoch != never) now_.epoch += ack.now - last_ack_at_;
    last_ack_at_ = ack.now;
    if (ack.delivered < recovery_end_) return;  // sent before the last decrease
    if (ack.ce_marked != 0) return decrease_for_mark(ack.next_number);
    if (slow_start())
      grow_fast(ack);
    else if (ack.window_limited)
      grow(ack);
  }

  void on_loss(const LossSample& loss) noexcept {
    if (!forgive_ && loss.newest_lost >= recovery_end_)
      decrease(beta_20, 2 * one_packet(), loss.next_number);  // RFC 9438 4.6
    blame_.on_loss(loss);
  }

  void on_late(std::uint64_t index) noexcept {
    if (blame_.clears(index)) take_back();
  }
  void on_spurious_timeout(Instant) noexcept {
    if (!blame_.any()) take_back();
  }

  /// RFC 9438 4.8: one packet, then slow start.
  void on_persistent_congestion(Instant) noexcept {
    decrease(beta_20, 2 * one_packet(), recovery_end_);
    now_.window = std::min(now_.window, one_packet());
    after_timeout_ = true;
    forgive_ = true;
  }

  void on_packet_size(std::uint32_t bytes) noexcept {
    packet_bytes_ = std::max(bytes, 1U);
    if (fresh_) now_.window = scaled(std::max(initial_bytes, 2 * packet_bytes_));
  }

  [[nodiscard]] std::uint32_t window_bytes() const noexcept {
    return static_cast<std::uint32_t>(now_.window >> fraction_bits);
  }
  /// RFC 9002 7.7: 5/4 of a window per round; twice while it doubles.
  [[nodiscard]] Duration pacing_interval(std::uint32_t bytes) const noexcept {
    const auto round_ns = static_cast<std::uint64_t>(smoothed_rtt_.count());
    const std::uint64_t alone = round_ns * scaled(bytes) / now_.window;
    return Duration{static_cast<std::int64_t>(slow_start() ? alone / 2 : alone * 4 / 5)};
  }

  [[nodiscard]] bool slow_start() const noexcept { return now_.window < now_.threshold; }

 private:
  static constexpr unsigned fraction_bits = 8;                // windows in 1/256 byte
  static constexpr std::uint32_t initial_bytes = 16U << 10U;  // RFC 6928's ten packets, about
  static constexpr std::uint64_t window_max = 1ULL << (30 + fraction_bits);
  static constexpr std::uint64_t beta_20 = 14;      // RFC 9438 4.6: 0.7, in twentieths
  static constexpr std::uint64_t beta_ecn_20 = 17;  // RFC 8511 3.1: 0.85

  /// What a spurious decrease takes back (RFC 9438 4.9).
  struct Windows {
    std::uint64_t window = scaled(initial_bytes);
    std::uint64_t threshold = window_max;
    std::uint64_t maximum = 0;  // W_max
    std::uint64_t prior = 0;    // cwnd_prior
    std::uint64_t reno = 0;     // W_est
    Instant epoch = never;      // never: the next growth begins one
    CubicCurve curve{};
    bool valid = false;
  };

  static constexpr std::uint64_t scaled(std::uint64_t bytes) noexcept {
    return bytes << fraction_bits;
  }
  [[nodiscard]] std::uint64_t one_packet() const noexcept { return scaled(packet_bytes_); }

  void grow_fast(const AckSample& ack) noexcept {
    fresh_ = false;
    const Duration rtt = ack.rtt_reliable ? ack.rtt : Duration::zero();
    const bool first_start = now_.threshold == window_max;
    const HyStart::Phase phase = first_start ? start_.on_ack(rtt, ack.delivered, ack.next_number)
                                             : HyStart::Phase::slow_start;
    if (ack.window_limited) {
      const std::uint32_t slower =
          phase == HyStart::Phase::conservative ? HyStart::growth_divisor : 1;
      now_.window = std::min(now_.window + scaled(ack.acked_bytes) / slower, window_max);
    }
    if (phase == HyStart::Phase::done) now_.threshold = now_.window;
  }

  void grow(const AckSample& ack) noexcept {
    if (now_.epoch == never) begin_epoch(ack.now);
    const Duration elapsed = ack.now - now_.epoch;
    // RFC 9438 4.4: towards W_cubic(t + RTT), by at most half the window per round.
    const std::uint64_t ahead =
        scaled(now_.curve.window(now_.curve.steps(elapsed + ack.smoothed_rtt)));
    const std::uint64_t target = std::clamp(ahead, now_.window, now_.window + now_.window / 2);
    now_.window += (target - now_.window) * ack.acked_bytes / (now_.window >> fraction_bits);
    // RFC 9438 4.3: W_est += alpha * segments_acked / cwnd; alpha = 3 (1 - beta) / (1 + beta) =
    // 9/17, and 1 from cwnd_prior on.
    const std::uint64_t round_share =
        one_packet() * ack.acked_bytes / (now_.window >> fraction_bits);
    now_.reno += now_.reno >= now_.prior ? round_share : round_share * 9 / 17;
    if (scaled(now_.curve.window(now_.curve.steps(elapsed))) < now_.reno)
      now_.window = std::max(now_.window, now_.reno);
    now_.window = std::min(now_.window, window_max);
  }

  void begin_epoch(Instant now) noexcept {
    now_.epoch = now;
    now_.reno = now_.window;
    // RFC 9438 4.8: after a timeout K is 0 and W_max the window the stage begins with.
    if (std::exchange(after_timeout_, false)) now_.maximum = now_.window;
    now_.curve = CubicCurve::from(now_.maximum >> fraction_bits, now_.window >> fraction_bits,
                                  packet_bytes_);
  }

  void decrease(std::uint64_t beta_twentieths, std::uint64_t least,
                std::uint64_t next_number) noexcept {
    fresh_ = false;
    // Each is taken back for its own losses alone.
    undo_ = now_;
    undo_.valid = true;
    blame_.begin(recovery_end_, 0);
    start_.finish();
    now_.prior = now_.window;
    // RFC 9438 4.7: fast convergence, room for new flows.
    now_.maximum =
        now_.window < now_.maximum ? now_.window * (20 + beta_twentieths) / 40 : now_.window;
    now_.window = std::max(now_.window * beta_twentieths / 20, least);
    now_.threshold = std::max(now_.window, 2 * one_packet());
    now_.epoch = never;
    recovery_end_ = next_number;
  }
  /// RFC 8511 3.1: ABE, beta 0.85 for CUBIC. A mark is never taken back.
  void decrease_for_mark(std::uint64_t next_number) noexcept {
    decrease(beta_ecn_20, one_packet(), next_number);
    undo_.valid = false;
  }
  /// RFC 9438 4.9: everything as it was before.
  void take_back() noexcept {
    if (!undo_.valid) return;
    if (now_.window < undo_.window) now_ = undo_;
    now_.valid = undo_.valid = false;
    forgive_ = false;
  }

  Windows now_;
  Windows undo_;
  Blame blame_;  // of what `undo_` takes back
  HyStart start_;
  Instant last_ack_at_{};
  Duration smoothed_rtt_{};
  std::uint64_t recovery_end_ = 0;  // what has a smaller index was sent before the last decrease
  std::uint32_t packet_bytes_ = 1472;
  bool fresh_ = true;
  bool after_timeout_ = false;
  bool forgive_ = false;  // losses of what was sent before persistent congestion are its part
};
static_assert(CongestionController<Cubic>);

}  // namespace proa
