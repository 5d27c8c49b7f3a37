// Feeds a controller hand-made rounds: for tests of formulas.
#pragma once
#include <cstdint>

#include <proa/transport/options.hpp>

namespace proa::test {

constexpr std::uint32_t packet = 1000;

template <CongestionController C>
struct Driver {
  C controller{};
  Instant now{1s};
  std::uint64_t next = 0;       // index of the next packet sent
  std::uint64_t delivered = 0;  // packets acknowledged so far

  Driver() { controller.on_packet_size(packet); }

  [[nodiscard]] std::uint32_t packets() const { return controller.window_bytes() / packet; }

  /// One acknowledgement of `count` packets; a whole window was sent since the last one.
  void ack(std::uint32_t count, Duration rtt, bool limited = true, std::uint32_t marked = 0,
           bool reliable = true) {
    AckSample sample;
    delivered += count;
    sample.now = now;
    sample.rtt = sample.smoothed_rtt = rtt;
    sample.minimum_rtt = rtt;
    sample.rtt_reliable = reliable;
    sample.uncertainty = reliable ? Duration{} : rtt;
    sample.window_limited = limited;
    sample.acked_packets = count;
    sample.acked_bytes = count * packet;
    sample.in_flight_bytes = controller.window_bytes();
    sample.ce_marked = marked;
    next = std::max(next, delivered + std::max(packets(), 1U));
    sample.delivered = delivered - 1;
    sample.next_number = next;
    controller.on_ack(sample);
  }
  /// A round trip in which the whole window is acknowledged, one packet at a time, up to and
  /// including the first packet sent in it: that one ends it.
  void round(Duration rtt, bool limited = true, std::uint32_t marked = 0, bool reliable = true) {
    const std::uint64_t end = next + 1;
    const auto count = static_cast<std::int64_t>(end - delivered);
    for (std::int64_t i = 0; i < count; ++i) {
      now += rtt / count;
      ack(1, rtt, limited, i == 0 ? marked : 0, reliable);
    }
  }
  void lose(std::uint32_t count, std::uint64_t newest) {
    LossSample loss;
    loss.now = now;
    loss.lost_packets = count;
    loss.lost_bytes = count * packet;
    loss.newest_lost = newest;
    loss.in_flight_bytes = controller.window_bytes();
    loss.next_number = next;
    controller.on_loss(loss);
  }
  /// That many, declared lost before, arrive after all; `oldest` is the index of the oldest.
  void arrive_late(std::uint32_t count, std::uint64_t oldest) {
    for (std::uint32_t i = 0; i < count; ++i) controller.on_late(oldest + i);
  }
};

}  // namespace proa::test
