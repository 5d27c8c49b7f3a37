// Windows as series to look at, one line a step: how slow start ends by HyStart++, what persistent
// congestion costs, what an undo gives back, and what marks above a threshold make of a queue.
#include <string>

#include <catch2/catch.hpp>

#include <proa/transport/any_congestion.hpp>

#include "bottleneck.hpp"

using namespace proa;
using namespace proa::test;

namespace {

constexpr std::uint32_t packet_bytes = 1472;

/// 100 Mbit/s: a BDP of 20 ms is 170 packets.
LinkModel wide_area(std::uint32_t queue_packets) {
  LinkModel out;
  out.bits_per_second = 100'000'000;
  out.queue_packets = queue_packets;
  return out;
}
template <class C>
std::string series(Bottleneck<C>& model, Duration step, int steps) {
  std::string text;
  for (int i = 0; i < steps; ++i) {
    model.run_until(model.now() + step);
    text += std::to_string(model.now().time_since_epoch() / 1us) + " us " +
            std::to_string(model.flow(0).controller.window_bytes() / packet_bytes) + " queue " +
            std::to_string(model.longest_queue()) + "\n";
  }
  return text;
}
template <class C>
C& controller(Bottleneck<C>& model) {
  return model.flow(0).controller;
}

/// One flow that has had the link to itself for a while.
template <class C>
struct Settled : Bottleneck<C> {
  Settled(const LinkModel& link, Duration round_trip, Duration after)
      : Bottleneck<C>{link, packet_bytes, 1} {
    this->add(round_trip);
    this->run_until(Instant{after});
  }
};

/// A step before and fourteen after.
template <class C>
std::string despair(Bottleneck<C>& model, Duration before, Duration after) {
  (void)model.longest_queue();
  const std::string text = series(model, before, 1) + "persistent congestion\n";
  controller(model).on_persistent_congestion(model.now());
  return text + series(model, after, 14);
}

/// What was taken for persistent congestion was only late.
template <class C>
std::string time_out_and_undo(Bottleneck<C>& model, Duration step) {
  std::string text = series(model, step, 1);
  controller(model).on_persistent_congestion(model.now());
  text += "timeout\n" + series(model, step, 2) + "spurious\n";
  controller(model).on_spurious_timeout(model.now());
  return text + series(model, step, 3);
}

/// A loss of the packet sent next but five, of which it turns out three steps later that it was
/// only late.
template <class C>
std::string lose_and_undo(Bottleneck<C>& model, Duration step, std::uint32_t lost_packets) {
  const std::uint64_t delivered = model.flow(0).delivered_bytes / packet_bytes;
  const std::uint32_t window = controller(model).window_bytes();
  LossSample loss;
  loss.now = model.now();
  loss.smoothed_rtt = step;
  loss.lost_packets = lost_packets;
  loss.lost_bytes = lost_packets * packet_bytes;
  loss.in_flight_bytes = window;
  loss.newest_lost = delivered + lost_packets;
  loss.next_number = delivered + window / packet_bytes;
  controller(model).on_loss(loss);
  std::string text = series(model, step, 3) + "late\n";
  for (std::uint32_t i = 1; i <= lost_packets; ++i) controller(model).on_late(delivered + i);
  return text + series(model, step, 3);
}

}  // namespace

TEST_CASE("HyStart++ ends CUBIC's slow start by delay: the series", "[rfc9406-4.2]") {
  Bottleneck<Cubic> model{wide_area(100'000), packet_bytes, 1};
  model.add(20ms);
  CHECK("\n" + series(model, 20ms, 20) == R"(
20000 us 11 queue 1
40000 us 11 queue 1
60000 us 23 queue 1
80000 us 47 queue 1
100000 us 95 queue 3
120000 us 191 queue 72
140000 us 356 queue 187
160000 us 526 queue 357
180000 us 696 queue 527
200000 us 797 queue 629
220000 us 840 queue 672
240000 us 882 queue 714
260000 us 925 queue 756
280000 us 967 queue 799
300000 us 1010 queue 841
320000 us 1052 queue 884
340000 us 1095 queue 926
360000 us 1137 queue 969
380000 us 1179 queue 1011
400000 us 1222 queue 1054
)");
  CHECK(model.flow(0).lost_packets == 0);
}

TEST_CASE("persistent congestion: CUBIC's series", "[rfc9002-7.6][rfc9438-4.8]") {
  Settled<Cubic> model{wide_area(80), 20ms, 1s};
  CHECK("\n" + despair(model, 20ms, 20ms) == R"(
1020000 us 191 queue 23
persistent congestion
1040000 us 1 queue 23
1060000 us 1 queue 1
1080000 us 2 queue 1
1100000 us 4 queue 1
1120000 us 8 queue 1
1140000 us 16 queue 1
1160000 us 32 queue 1
1180000 us 64 queue 1
1200000 us 128 queue 18
1220000 us 134 queue 5
1240000 us 135 queue 1
1260000 us 135 queue 1
1280000 us 136 queue 1
1300000 us 136 queue 1
)");
}

TEST_CASE("persistent congestion: Swift's series", "[rfc9002-7.6]") {
  Settled<Swift> model{LinkModel{}, 40us, 2ms};
  CHECK("\n" + despair(model, 40us, 80us) == R"(
2040 us 146 queue 63
persistent congestion
2120 us 7 queue 60
2200 us 18 queue 9
2280 us 51 queue 14
2360 us 74 queue 27
2440 us 76 queue 4
2520 us 83 queue 6
2600 us 93 queue 10
2680 us 105 queue 21
2760 us 119 queue 36
2840 us 126 queue 42
2920 us 143 queue 58
3000 us 152 queue 68
3080 us 84 queue 69
3160 us 84 queue 1
)");
}

TEST_CASE("a timeout that was spurious is undone: the series of both", "[rfc9438-4.9]") {
  Settled<Cubic> cubic{wide_area(80), 20ms, 1s};
  CHECK("\n" + time_out_and_undo(cubic, 20ms) == R"(
1020000 us 191 queue 81
timeout
1040000 us 1 queue 23
1060000 us 1 queue 1
spurious
1080000 us 191 queue 40
1100000 us 191 queue 41
1120000 us 191 queue 23
)");
  Settled<Swift> swift{LinkModel{}, 40us, 2ms};
  CHECK("\n" + time_out_and_undo(swift, 40us) == R"(
2040 us 146 queue 194
timeout
2080 us 7 queue 60
2120 us 7 queue 1
spurious
2160 us 83 queue 1
2200 us 83 queue 1
2240 us 83 queue 3
)");
}

TEST_CASE("a loss that was only late is undone: the series of both", "[rfc9438-4.9]") {
  Settled<Cubic> cubic{wide_area(100'000), 20ms, 100ms};
  std::string text = series(cubic, 20ms, 1);
  text += "lost\n" + lose_and_undo(cubic, 20ms, 1);
  CHECK("\n" + text == R"(
120000 us 191 queue 72
lost
140000 us 133 queue 27
160000 us 133 queue 1
180000 us 134 queue 1
late
200000 us 192 queue 37
220000 us 193 queue 25
240000 us 194 queue 26
)");
  Settled<Swift> swift{LinkModel{}, 40us, 2ms};
  text = series(swift, 40us, 1);
  text += "lost\n" + lose_and_undo(swift, 40us, 30);
  CHECK("\n" + text == R"(
2040 us 146 queue 194
lost
2080 us 118 queue 63
2120 us 118 queue 30
2160 us 118 queue 14
late
2200 us 147 queue 64
2240 us 147 queue 64
2280 us 147 queue 63
)");
}

namespace {

/// One flow at 25 Gbit/s and 40 us, 85 packets, through a queue that marks what finds more than 20.
template <class C>
void demand_short_queue(std::uint32_t queue_max, std::uint64_t per_mille_min) {
  LinkModel link;
  link.queue_packets = 400;
  link.mark_above_packets = 20;
  Bottleneck<C> model{link, packet_bytes, 1};
  model.add(40us);
  model.run_until(Instant{10ms});
  model.reset_counters();
  (void)model.longest_queue();
  model.run_until(Instant{30ms});
  const std::uint32_t queue = model.longest_queue();
  CHECK(queue <= queue_max);
  CHECK(model.utilization_per_mille(20ms) >= per_mille_min);
  CHECK(model.dropped() == 0);
}

}  // namespace

TEST_CASE("marks above a threshold keep the queue near it, without loss and at most of the rate",
          "[rfc8511-3.1][rfc3168-6.1.2]") {
  demand_short_queue<Swift>(40, 780);
  demand_short_queue<Cubic>(25, 990);
}
