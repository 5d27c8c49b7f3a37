// CUBIC and HyStart++ against the formulas of their RFCs, which are computed here in doubles.
#include <cmath>
#include <string>

#include <catch2/catch.hpp>

#include <proa/transport/any_congestion.hpp>

#include "bottleneck.hpp"
#include "congestion_driver.hpp"

using namespace proa;
using namespace proa::test;

namespace {

/// Past slow start by one loss at a window of `packets`.
Driver<Cubic> avoiding(std::uint32_t packets) {
  Driver<Cubic> d;
  while (d.packets() < packets) d.round(10ms);
  d.lose(1, d.next - 1);
  d.round(10ms);  // recovery
  return d;
}
double in_packets(const Cubic& c) { return static_cast<double>(c.window_bytes()) / packet; }

}  // namespace

TEST_CASE("the cubic curve is C (t - K)^3 + W_max with K the cube root of the drop over C",
          "[rfc9438-4.2]") {
  for (const double maximum : {10.0, 100.0, 1000.0, 20000.0}) {
    const double epoch = 0.7 * maximum;
    const auto curve = CubicCurve::from(static_cast<std::uint64_t>(maximum * packet),
                                        static_cast<std::uint64_t>(epoch * packet), packet);
    const double k = std::cbrt((maximum - epoch) / 0.4);
    CHECK(static_cast<double>(curve.k_steps) / 8000 == Approx(k).margin(0.001));
    for (double t = 0; t < 2 * k; t += k / 7) {
      const double expected = 0.4 * std::pow(t - k, 3) + maximum;
      const auto at = CubicCurve::steps(Duration{static_cast<std::int64_t>(t * 1e9)});
      CHECK(static_cast<double>(curve.window(at)) / packet ==
            Approx(expected).epsilon(0.001).margin(0.02));
    }
  }
  CHECK(CubicCurve::cube_root(0) == 0);
  CHECK(CubicCurve::cube_root(26) == 2);
  CHECK(CubicCurve::cube_root(27) == 3);
  CHECK(CubicCurve::cube_root(1'000'000'000'000) == 10'000);
}

TEST_CASE("a loss leaves 0.7 of the window, once per round", "[rfc9438-4.6]") {
  Driver<Cubic> d;
  while (d.packets() < 100) d.round(10ms);
  const double before = in_packets(d.controller);
  d.lose(1, d.next - 1);
  CHECK(in_packets(d.controller) == Approx(0.7 * before).epsilon(0.001));
  d.lose(5, d.delivered + 3);  // sent before the decrease
  CHECK(in_packets(d.controller) == Approx(0.7 * before).epsilon(0.001));
  CHECK_FALSE(d.controller.slow_start());
}

TEST_CASE("a CE mark leaves 0.85 of the window", "[rfc8511-3.1]") {
  Driver<Cubic> d;
  while (d.packets() < 100) d.round(10ms);
  const double before = in_packets(d.controller);
  d.ack(1, 10ms, true, 1);
  CHECK(in_packets(d.controller) == Approx(0.85 * before).epsilon(0.001));
  d.ack(1, 10ms, true, 1);
  CHECK(in_packets(d.controller) == Approx(0.85 * before).epsilon(0.001));
}

TEST_CASE("after K seconds the window is back at W_max", "[rfc9438-4.2]") {
  Driver<Cubic> d = avoiding(2000);
  const double maximum = in_packets(d.controller) / 0.7;
  const double k = std::cbrt(0.3 * maximum / 0.4);
  const Instant end = d.now + Duration{static_cast<std::int64_t>(k * 1e9)};
  while (d.now < end) d.round(10ms);
  CHECK(in_packets(d.controller) == Approx(maximum).epsilon(0.01));
}

TEST_CASE("where the cubic curve is slower than Reno, the window follows Reno's estimate",
          "[rfc9438-4.3]") {
  Driver<Cubic> d = avoiding(20);
  const double epoch = in_packets(d.controller);
  const int rounds = 8;  // of 1 ms: the curve has hardly begun
  for (int i = 0; i < rounds; ++i) d.round(1ms);
  // alpha = 3 (1 - 0.7) / (1 + 0.7) packets per round
  CHECK(in_packets(d.controller) == Approx(epoch + rounds * 9.0 / 17).margin(0.6));
  for (int i = 0; i < 40; ++i) d.round(1ms);
  const double past_prior = in_packets(d.controller);
  for (int i = 0; i < rounds; ++i) d.round(1ms);
  CHECK(in_packets(d.controller) == Approx(past_prior + rounds).margin(0.6));  // alpha = 1
}

TEST_CASE("the window grows by at most half in a round", "[rfc9438-4.4]") {
  Driver<Cubic> d = avoiding(100);
  d.round(10ms);
  d.now += 60s;  // far up the curve
  const double before = in_packets(d.controller);
  d.round(10ms);
  CHECK(in_packets(d.controller) <= 1.7 * before);  // compounded per packet: e^0.5
  CHECK(in_packets(d.controller) >= 1.45 * before);
}

TEST_CASE("a second loss below W_max makes room for others", "[rfc9438-4.7]") {
  Driver<Cubic> d = avoiding(1000);
  const double reduced = in_packets(d.controller);
  d.lose(1, d.next);
  d.round(100ms);
  // W_max is now 0.85 of the window at the loss: K seconds later that is reached, not more.
  const double k = std::cbrt((0.85 * reduced - 0.7 * reduced) / 0.4);
  const Instant end = d.now + Duration{static_cast<std::int64_t>(k * 1e9)};
  while (d.now < end) d.round(100ms);
  CHECK(in_packets(d.controller) == Approx(0.85 * reduced).epsilon(0.02));
}

TEST_CASE("after persistent congestion slow start goes to 0.7 of the window", "[rfc9438-4.8]") {
  Driver<Cubic> d = avoiding(100);
  const double before = in_packets(d.controller);
  d.controller.on_persistent_congestion(d.now);
  CHECK(d.packets() == 1);
  CHECK(d.controller.slow_start());
  d.ack(1, 10ms);
  d.lose(50, d.next - 2);
  int rounds = 0;
  for (; d.controller.slow_start() && rounds < 20; ++rounds) d.round(10ms);
  CHECK(rounds <= 9);
  CHECK(in_packets(d.controller) == Approx(0.7 * before).epsilon(0.05));
}

TEST_CASE("a spurious loss is taken back whole", "[rfc9438-4.9]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  const Cubic before = d.controller;
  d.lose(1, d.next - 1);
  CHECK(d.controller.window_bytes() < before.window_bytes());
  d.arrive_late(1, d.next - 1);
  CHECK(d.controller.window_bytes() == before.window_bytes());
  CHECK(d.controller.slow_start() == before.slow_start());
}

TEST_CASE("a decrease stays as long as one of its packets stays away", "[rfc9438-4.9][rfc3522]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  const std::uint32_t before = d.controller.window_bytes();
  const std::uint64_t newest = d.next - 1;
  d.lose(2, newest);
  d.lose(1, newest - 5);  // sent before the decrease, declared lost after it
  const std::uint32_t after = d.controller.window_bytes();
  REQUIRE(after < before);
  d.arrive_late(2, newest - 5);
  CHECK(d.controller.window_bytes() == after);
  d.arrive_late(1, newest - 1);
  CHECK(d.controller.window_bytes() == before);
}

TEST_CASE("what was lost before a decrease, and a mark, are no reasons to take it back",
          "[rfc9438-4.9][rfc8511]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  const std::uint64_t first = d.next - 1;
  d.lose(1, first);
  d.round(10ms);
  d.round(10ms);
  const std::uint32_t before = d.controller.window_bytes();
  d.lose(1, d.next - 1);
  const std::uint32_t after = d.controller.window_bytes();
  REQUIRE(after < before);
  d.arrive_late(1, first);
  CHECK(d.controller.window_bytes() == after);

  Driver<Cubic> marked = avoiding(1000);
  marked.ack(1, 10ms, true, 1);
  const std::uint32_t reduced = marked.controller.window_bytes();
  marked.lose(1, marked.delivered);
  marked.arrive_late(1, marked.delivered);
  CHECK(marked.controller.window_bytes() == reduced);
}

TEST_CASE("CUBIC takes back what a spurious timeout cost, not what was lost before it",
          "[rfc9438-4.9][rfc3522]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  d.lose(1, d.next - 1);  // it stays away
  const std::uint32_t reduced = d.controller.window_bytes();
  d.controller.on_persistent_congestion(d.now);
  REQUIRE(d.packets() == 1);
  d.controller.on_spurious_timeout(d.now);
  CHECK(d.controller.window_bytes() == reduced);
}

TEST_CASE("what a timeout was for stays lost: then it was none for nothing",
          "[rfc9438-4.9][rfc3522]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  d.controller.on_persistent_congestion(d.now);
  d.lose(1, d.next - 1);
  d.controller.on_spurious_timeout(d.now);
  CHECK(d.packets() == 1);
}

TEST_CASE("after a spurious timeout losses count again", "[rfc9438-4.9]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  const double before = in_packets(d.controller);
  d.controller.on_persistent_congestion(d.now);
  d.controller.on_spurious_timeout(d.now);
  REQUIRE(in_packets(d.controller) == Approx(before));
  d.ack(1, 10ms, false);
  d.lose(1, d.next - 1);
  CHECK(in_packets(d.controller) == Approx(0.7 * before).epsilon(0.001));
}

TEST_CASE("time in which the application was the limit is no time on the curve",
          "[rfc9438-4.2][rfc9002-7.8]") {
  Driver<Cubic> d = avoiding(1000);
  d.round(10ms);
  const double before = in_packets(d.controller);
  for (int i = 0; i < 1000; ++i) {
    d.now += 10ms;
    d.ack(1, 10ms, false);
  }
  CHECK(in_packets(d.controller) == Approx(before).epsilon(0.001));
  d.next = d.delivered;
  d.round(10ms);
  CHECK(in_packets(d.controller) <= 1.02 * before);
}

TEST_CASE("slow start turns conservative when the delay rises, and back when it was not the queue",
          "[rfc9406-4.2]") {
  HyStart h;
  std::uint64_t n = 0;
  const auto round = [&](Duration rtt) {
    const std::uint64_t end = n + 10;
    auto phase = h.phase();
    for (; n < end; ++n) phase = h.on_ack(rtt, n, end + (n + 10 - end));
    return phase;
  };
  CHECK(round(100ms) == HyStart::Phase::slow_start);
  CHECK(round(100ms) == HyStart::Phase::slow_start);
  // RttThresh = max(4 ms, min(100 ms / 8, 16 ms)) = 12.5 ms
  CHECK(round(112ms) == HyStart::Phase::slow_start);
  CHECK(round(100ms) == HyStart::Phase::slow_start);
  CHECK(round(113ms) == HyStart::Phase::conservative);
  CHECK(round(105ms) == HyStart::Phase::slow_start);
  CHECK(round(125ms) == HyStart::Phase::conservative);
  for (std::uint32_t i = 2; i <= HyStart::conservative_rounds; ++i)
    CHECK(round(125ms) == HyStart::Phase::conservative);
  CHECK(round(125ms) == HyStart::Phase::done);
}

TEST_CASE("the threshold of HyStart is the RFC's from 8 ms on and has data centres in mind below",
          "[rfc9406-4.3]") {
  CHECK(HyStart::threshold(8ms) == 4ms);
  CHECK(HyStart::threshold(40ms) == 5ms);
  CHECK(HyStart::threshold(1s) == 16ms);
  CHECK(HyStart::threshold(40us) == 25us);
  CHECK(HyStart::threshold(1ms) == 500us);
}

TEST_CASE("CUBIC is paced at 5/4 of a window per round, and twice in slow start", "[rfc9002-7.7]") {
  Driver<Cubic> d;
  d.round(10ms);
  const double start = 1e7 * packet / d.controller.window_bytes();
  CHECK(static_cast<double>(d.controller.pacing_interval(packet).count()) ==
        Approx(start / 2).epsilon(0.001));
  d = avoiding(100);
  const double later = 1e7 * packet / d.controller.window_bytes();
  CHECK(static_cast<double>(d.controller.pacing_interval(packet).count()) ==
        Approx(later * 0.8).epsilon(0.001));
}

TEST_CASE("a lone CUBIC flow draws its sawtooth") {
  LinkModel link;
  link.bits_per_second = 100'000'000;
  link.queue_packets = 80;
  Bottleneck<Cubic> model{link, 1472, 1};
  model.add(20ms);
  std::string text;
  for (int i = 1; i <= 20; ++i) {
    model.run_until(Instant{i * 500ms});
    text += std::to_string(i * 500) + " ms " +
            std::to_string(model.flow(0).controller.window_bytes() / 1472) + " queue " +
            std::to_string(model.longest_queue()) + "\n";
  }
  CHECK("\n" + text == R"(
500 ms 178 queue 81
1000 ms 190 queue 22
1500 ms 202 queue 33
2000 ms 212 queue 44
2500 ms 223 queue 55
3000 ms 232 queue 64
3500 ms 242 queue 74
4000 ms 176 queue 81
4500 ms 194 queue 26
5000 ms 208 queue 40
5500 ms 220 queue 52
6000 ms 230 queue 62
6500 ms 237 queue 69
7000 ms 242 queue 74
7500 ms 247 queue 79
8000 ms 183 queue 81
8500 ms 195 queue 27
9000 ms 206 queue 38
9500 ms 216 queue 48
10000 ms 227 queue 59
)");
}

TEST_CASE("CUBIC flows share fairly") {
  for (const std::uint32_t flows : {2U, 8U, 32U, 100U}) {
    LinkModel link;
    link.queue_packets = 425;
    Bottleneck<Cubic> model{link, 1472, 1};
    for (std::uint32_t i = 0; i < flows; ++i) model.add(40us);
    CAPTURE(flows);
    CHECK(model.utilization_between(Instant{10ms}, Instant{40ms}) >= 950);
    CHECK(model.jain_per_mille() >= 900);
  }
}

TEST_CASE("a flow chooses its controller at run time") {
  AnyCongestion any;
  CHECK(any.kind() == CongestionKind::swift);
  CHECK(any.get<Cubic>() == nullptr);
  for (const auto kind :
       {CongestionKind::cubic, CongestionKind::fixed_window, CongestionKind::swift}) {
    any.choose(kind);
    CHECK(any.kind() == kind);
  }
  any.choose(CongestionKind::fixed_window);
  CHECK(any.window_bytes() == FixedWindow{}.bytes);

  Driver<AnyCongestion> chosen;
  chosen.controller.choose(CongestionKind::cubic);
  chosen.controller.on_packet_size(packet);
  Driver<Cubic> alone;
  for (int i = 0; i < 5; ++i) {
    chosen.round(1ms);
    alone.round(1ms);
  }
  chosen.lose(1, chosen.next - 1);
  alone.lose(1, alone.next - 1);
  CHECK(chosen.controller.window_bytes() == alone.controller.window_bytes());
  CHECK(chosen.controller.pacing_interval(500) == alone.controller.pacing_interval(500));
}

TEST_CASE("what is taken back late does not make a window smaller that has grown beyond",
          "[rfc9438-4.9]") {
  Driver<Cubic> d;
  while (d.packets() < 20) d.round(100ms);
  const std::uint32_t before = d.controller.window_bytes();
  const std::uint64_t lost = d.next - 1;
  d.lose(1, lost);
  REQUIRE(d.controller.window_bytes() < before);
  for (int i = 0; i < 200 && d.controller.window_bytes() <= before; ++i) d.round(100ms);
  const std::uint32_t grown = d.controller.window_bytes();
  REQUIRE(grown > before);
  d.arrive_late(1, lost);
  CHECK(d.controller.window_bytes() == grown);
}
