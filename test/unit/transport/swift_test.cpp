// Swift by its formulas, and among its like in one bottleneck.
#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/transport/swift.hpp>

#include "bottleneck.hpp"
#include "congestion_driver.hpp"

using namespace proa;
using namespace proa::test;

namespace {

/// A flow whose start-up is over, with a window of `packets` or a little more.
Driver<Swift> settled(std::uint32_t packets, Duration base = 100us) {
  Driver<Swift> d;
  while (d.packets() < 2 * packets) d.round(base);
  while (d.controller.starting()) d.round(2 * base);
  d.round(base);  // drains
  while (d.packets() < packets) d.round(base);
  return d;
}
/// What a round without queue adds to at most `packets`, in bytes, just after a decrease.
std::uint32_t step_of(std::uint32_t packets, Duration base) {
  Driver<Swift> d = settled(packets, base);
  do d.round(20 * base);
  while (d.packets() > packets);
  d.round(base);  // samples older than the decrease
  const std::uint32_t before = d.controller.window_bytes();
  d.round(base);
  return d.controller.window_bytes() - before;
}
/// One round whose packets see these queues, in this order, in equal parts of it.
void round_of(Driver<Swift>& d, Duration base, const std::vector<Duration>& queues) {
  const std::uint64_t end = d.next + 1;
  const std::uint64_t count = end - d.delivered;
  for (std::uint64_t i = 0; i < count; ++i) {
    d.now += base / static_cast<std::int64_t>(count);
    d.ack(1, base + queues[i * queues.size() / count]);
  }
}

struct Shares {
  std::uint64_t jain = 0;
  std::uint64_t utilization = 0;
};

/// `flows` flows with a round trip of 40 us at 25 Gbit/s (BDP 85 packets), measured from 10 to 30
/// ms.
Shares share(std::uint32_t flows, std::uint32_t queue_packets, std::uint64_t seed) {
  LinkModel link;
  link.queue_packets = queue_packets;
  Bottleneck<Swift> model{link, 1472, seed};
  for (std::uint32_t i = 0; i < flows; ++i) model.add(40us, Instant{100ns * (i * 79 % 100)});
  model.run_until(Instant{10ms});
  model.reset_counters();
  model.run_until(Instant{30ms});
  return {model.jain_per_mille(), model.utilization_per_mille(20ms)};
}

std::string series(Bottleneck<Swift>& model, Duration step, int steps) {
  std::string text;
  for (int i = 1; i <= steps; ++i) {
    model.run_until(model.now() + step);
    text += std::to_string(model.now().time_since_epoch() / 1us) + " us";
    for (std::size_t f = 0; f < model.size(); ++f)
      text += " " + std::to_string(model.flow(f).controller.window_bytes() / 1472);
    text += " queue " + std::to_string(model.longest_queue()) + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("the target is the minimum plus 25 us, or a sixteenth on long paths") {
  Driver<Swift> near;
  near.ack(1, 40us);
  CHECK(near.controller.target_delay() == 65us);
  CHECK(near.controller.start_up_target() == 65us);
  Driver<Swift> far;
  far.ack(1, 16ms);
  CHECK(far.controller.target_delay() == 17ms);
  CHECK(far.controller.start_up_target() == 24ms);  // start-up is bursty
}

TEST_CASE("a pause during start-up costs no more than down to one packet") {
  Driver<Swift> d;
  d.round(40us);
  d.round(511ms);  // found by the connection fuzzer: the window fell to 19 bytes at once
  CHECK_FALSE(d.controller.starting());
  CHECK(d.packets() >= 1);
}

TEST_CASE("the minimum is forgotten after ten seconds") {
  WindowedMinimum minimum;
  CHECK(minimum.empty());
  minimum.update(Instant{1s}, 40us);
  for (int s = 1; s <= 5; ++s) minimum.update(Instant{1s + s * 1s}, 90us);
  CHECK(minimum.value() == 40us);
  for (int s = 6; s <= 10; ++s) minimum.update(Instant{1s + s * 1s}, 80us);
  CHECK(minimum.value() == 80us);
  minimum.update(Instant{30s}, 100us);
  CHECK(minimum.value() == 100us);
}

TEST_CASE("start-up doubles every round while the delay is below the target") {
  Driver<Swift> d;
  CHECK(d.controller.window_bytes() == 16384);
  d.round(100us);
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t before = d.packets();
    d.round(100us);
    CHECK(d.packets() >= 2 * before - 1);
    CHECK(d.packets() <= 2 * before + 1);
    CHECK(d.controller.pacing_interval(packet) == 0ns);
  }
  const std::uint32_t before = d.packets();
  d.round(200us);  // twice the base: half of the window was queue
  CHECK_FALSE(d.controller.starting());
  CHECK(d.packets() >= before / 4 - 3);  // drains for a round: half of what the path holds ...
  CHECK(d.packets() <= before / 4 + 1);
  d.round(100us);
  CHECK(d.packets() >= before / 2 - 3);  // ... then all of it
  CHECK(d.packets() <= before / 2 + 1);
}

TEST_CASE("below the target a round adds a quarter packet to few, one to many") {
  CHECK(step_of(100, 50us) == packet);
  CHECK(step_of(2, 50us) < packet);
  CHECK(step_of(2, 50us) > packet / 4);
  CHECK(step_of(0, 50us) == packet / 4);
}

TEST_CASE("the step grows with the square of the round trip, so that rates grow alike") {
  CHECK(step_of(200, 100us) == 4 * packet);
  CHECK(step_of(200, 200us) == 16 * packet);
  CHECK(step_of(100, 25us) == packet / 4);
}

TEST_CASE("the step of a long path fills no more than the target's room at 25 Gbit/s") {
  CHECK(step_of(400, 250us) == 25 * packet);
  CHECK(step_of(400, 600us) == 600'000 / 16 * 25 / 8);  // not 144 packets
  CHECK(step_of(400, 800us) == 800'000 / 16 * 25 / 8);
  CHECK(step_of(1200, 1600us) == 512 * packet);  // half of the square
}

TEST_CASE("start-up ends when the queue stands above the target and nothing more comes of it") {
  Driver<Swift> d;
  for (int i = 0; i < 5; ++i) d.round(400us);
  CHECK(d.controller.start_up_target() == 600us);
  d.round(590us);  // it still doubles: its own burst
  CHECK(d.controller.starting());
  const std::uint32_t before = d.packets();
  d.ack(d.packets() / 8, 590us);
  d.round(601us);  // most samples are too long to grow by
  CHECK_FALSE(d.controller.starting());
  CHECK(d.packets() < before);
}

TEST_CASE("after eight rounds in a row without queue the step doubles, up to a sixteenth") {
  Driver<Swift> d = settled(400, 50us);
  d.round(80us);
  d.round(50us);
  std::vector<std::uint32_t> steps;
  for (int i = 0; i < 14; ++i) {
    const std::uint32_t before = d.controller.window_bytes();
    d.round(50us);
    steps.push_back((d.controller.window_bytes() - before) / packet);
  }
  CHECK(std::vector(steps.begin(), steps.begin() + 7) == std::vector<std::uint32_t>(7, 1));
  CHECK(std::find(steps.begin(), steps.end(), 2U) != steps.end());
  CHECK(std::find(steps.begin(), steps.end(), 8U) != steps.end());
  CHECK(steps.back() == (d.packets() - steps.back()) / 16);
}

TEST_CASE("a burst that finds the queue empty is judged by the queue it leaves") {
  const Duration empty{}, full = 60us;
  Driver<Swift> d = settled(100);
  const std::uint32_t before = d.controller.window_bytes();
  round_of(d, 100us, {empty, empty, full, full});
  CHECK(d.controller.window_bytes() < 4 * before / 5);

  SECTION("one late sample is a poller's jitter") {
    Driver<Swift> jitter = settled(100);
    const std::uint32_t steady = jitter.controller.window_bytes();
    jitter.ack(1, 160us);
    jitter.round(100us);
    CHECK(jitter.controller.window_bytes() >= steady);
  }
}

TEST_CASE("above the target one round in two shrinks the window to what the path holds") {
  Driver<Swift> d = settled(100);
  const auto before = static_cast<double>(d.controller.window_bytes());
  d.round(160us);
  // 15/16 * base / delay; the paper's own factor, 1 - 0.8 * 10 / 160, would be 0.95.
  CHECK(static_cast<double>(d.controller.window_bytes()) / before == Approx(0.586).margin(0.01));
  CHECK(d.controller.pacing_interval(packet) > 0ns);
  const std::uint32_t after = d.controller.window_bytes();
  d.round(160us);  // samples older than the decrease
  CHECK(d.controller.window_bytes() == after);
  d.round(100us);
  CHECK(d.controller.window_bytes() > after);
  CHECK(d.controller.pacing_interval(packet) == 0ns);
}

TEST_CASE("no round costs more than half of the window") {
  Driver<Swift> d = settled(100);
  const std::uint32_t before = d.controller.window_bytes();
  d.round(5ms);
  CHECK(d.controller.window_bytes() == Approx(before / 2).epsilon(0.01));
}

TEST_CASE("a round in which the application was the limit does not grow the window",
          "[rfc9002-7.8]") {
  Driver<Swift> d = settled(50);
  const std::uint32_t before = d.controller.window_bytes();
  for (int i = 0; i < 20; ++i) d.round(100us, false);
  CHECK(d.controller.window_bytes() == before);
}

TEST_CASE("what a late poller measured changes nothing") {
  Driver<Swift> d = settled(50);
  const std::uint32_t before = d.controller.window_bytes();
  const Duration target = d.controller.target_delay();
  for (int i = 0; i < 8; ++i) d.round(5ms, true, 0, false);
  CHECK(d.controller.window_bytes() == before);
  CHECK(d.controller.target_delay() == target);
  // One that is always late gets a window for its own gaps, as long as nothing is lost.
  for (int i = 0; i < 8; ++i) d.round(5ms, true, 0, false);
  CHECK(d.controller.window_bytes() > before);
}

TEST_CASE("a CE mark counts as a round of twice the target") {
  Driver<Swift> d = settled(100);
  const std::uint32_t before = d.controller.window_bytes();
  d.round(100us, true, 1);
  CHECK(d.controller.window_bytes() == Approx(before / 2).epsilon(0.01));
  Driver<Swift> unmarked = settled(100);
  unmarked.round(100us);
  CHECK(unmarked.controller.window_bytes() > before);
}

TEST_CASE("two lost packets of a hundred change nothing, ten do, in proportion") {
  Driver<Swift> two = settled(100);
  for (int i = 0; i < 3; ++i) two.round(100us);
  Driver<Swift> ten = two;
  const std::uint32_t before = two.controller.window_bytes();
  two.lose(2, two.next - 1);
  two.round(100us);
  CHECK(two.controller.window_bytes() >= before);
  const std::uint64_t first_lost = ten.next - 10;
  ten.lose(10, ten.next - 1);
  ten.round(100us);
  CHECK(ten.controller.window_bytes() == Approx(0.79 * before).epsilon(0.04));  // 10 of 120, 1/8

  SECTION("and what arrives after all takes it back") {
    ten.arrive_late(9, first_lost);
    CHECK(ten.controller.window_bytes() < before);  // one is still missing
    ten.arrive_late(1, first_lost);
    CHECK(ten.controller.window_bytes() == before);
  }
  SECTION("but not while one sent before the decrease, and declared lost after it, is missing") {
    ten.lose(1, ten.delivered);
    ten.arrive_late(10, first_lost);
    CHECK(ten.controller.window_bytes() < before);
    ten.arrive_late(1, ten.delivered);
    CHECK(ten.controller.window_bytes() == before);
  }
  SECTION("nor by what caused a decrease before that one") {
    ten.arrive_late(10, 0);
    ten.round(100us);  // a decision without loss: there is nothing to take back any more
    ten.round(100us);
    const std::uint32_t later = ten.controller.window_bytes();
    ten.lose(20, ten.next - 1);
    ten.round(100us);
    REQUIRE(ten.controller.window_bytes() < later);
    ten.arrive_late(20, first_lost);
    CHECK(ten.controller.window_bytes() < later);
  }
  SECTION("and losses of what was sent before count once") {
    const std::uint32_t after = ten.controller.window_bytes();
    ten.lose(50, ten.delivered);
    ten.round(100us);
    CHECK(ten.controller.window_bytes() >= after);
  }
}

TEST_CASE("what arrives before the round is judged is no loss, and the others are") {
  Driver<Swift> all = settled(100);
  for (int i = 0; i < 3; ++i) all.round(100us);
  const std::uint32_t before = all.controller.window_bytes();
  Driver<Swift> half = all;
  all.lose(20, all.next - 1);
  all.arrive_late(20, all.next - 20);
  all.round(100us);
  CHECK(all.controller.window_bytes() >= before);
  half.lose(20, half.next - 1);
  half.arrive_late(10, half.next - 20);
  half.round(100us);
  CHECK(half.controller.window_bytes() < 0.85 * before);
  half.arrive_late(10, half.delivered);
  CHECK(half.controller.window_bytes() == before);
}

TEST_CASE("persistent congestion costs all but one packet and half comes back quickly") {
  Driver<Swift> d = settled(100);
  const std::uint32_t before = d.packets();
  d.controller.on_persistent_congestion(d.now);
  CHECK(d.packets() == 1);
  d.ack(1, 100us);
  d.lose(90, d.next - 2);  // its own packets are no second reason
  for (int i = 0; i < 8; ++i) d.round(100us);
  CHECK(d.packets() >= before / 2);
  Driver<Swift> undone = settled(100);
  undone.controller.on_persistent_congestion(undone.now);
  undone.controller.on_spurious_timeout(undone.now);
  CHECK(undone.packets() == before);
}

TEST_CASE("Swift takes back what a spurious timeout cost, not what was lost before it",
          "[rfc3522]") {
  Driver<Swift> d = settled(100);
  d.lose(20, d.next - 1);
  d.round(100us);
  const std::uint32_t reduced = d.controller.window_bytes();  // for losses that stay away
  d.controller.on_persistent_congestion(d.now);
  REQUIRE(d.packets() == 1);
  d.controller.on_spurious_timeout(d.now);
  CHECK(d.controller.window_bytes() == reduced);
}

TEST_CASE("what is lost around a spurious timeout is judged like any other loss", "[rfc3522]") {
  enum class Lost { before, meanwhile, after };
  for (const Lost when : {Lost::before, Lost::meanwhile, Lost::after}) {
    Driver<Swift> d = settled(100);
    d.round(100us);
    const std::uint32_t before = d.controller.window_bytes();
    const auto lose_if = [&](Lost now) {
      if (when == now) d.lose(20, d.next - 1);
    };
    lose_if(Lost::before);
    d.controller.on_persistent_congestion(d.now);
    lose_if(Lost::meanwhile);
    d.controller.on_spurious_timeout(d.now);
    REQUIRE(d.controller.window_bytes() == before);
    d.ack(1, 100us, false);
    lose_if(Lost::after);
    d.round(100us, false);
    CAPTURE(static_cast<int>(when));
    CHECK(d.controller.window_bytes() < before);
  }
}

TEST_CASE("what was lost before losses were counted anew and comes late is none of the new ones") {
  Driver<Swift> d = settled(100);
  d.round(100us);
  const std::uint64_t old = d.next - 1;
  for (int i = 0; i < 11; ++i) {  // after 256 packets a new count begins
    if (i < 8 && i % 2 == 0) d.lose(3, d.next - 1);
    d.round(100us, false);
  }
  const std::uint32_t before = d.controller.window_bytes();
  d.lose(12, d.next - 1);
  d.arrive_late(12, old);
  d.round(100us, false);
  const std::uint32_t after = d.controller.window_bytes();
  CHECK(after < before);
  d.arrive_late(12, old);
  CHECK(d.controller.window_bytes() == after);
}

TEST_CASE("an older packet that is declared lost last does not bring a former count back") {
  Driver<Swift> d = settled(100);
  std::uint64_t newest = 0;
  for (int i = 0; i < 11; ++i) {
    if (i == 6) {
      newest = d.next - 1;
      d.lose(3, newest);
      d.lose(1, newest - 20);
    }
    d.round(100us, false);
  }
  const std::uint32_t before = d.controller.window_bytes();
  d.lose(12, d.next - 1);
  d.arrive_late(12, newest);
  d.round(100us, false);
  CHECK(d.controller.window_bytes() < before);
}

TEST_CASE("below one packet per round the interval is longer than the round") {
  Driver<Swift> d;
  d.round(100us);
  for (int i = 0; i < 40; ++i) {
    d.lose(1, d.next);
    d.round(900us);
  }
  CHECK(d.packets() == 0);
  CHECK(d.controller.window_bytes() >= packet / 64);
  CHECK(d.controller.pacing_interval(packet) > 900us);
}

TEST_CASE("a lone flow fills the link, drains once, then breathes between base and target") {
  Bottleneck<Swift> model{LinkModel{}, 1472, 1};
  model.add(40us);
  CHECK("\n" + series(model, 80us, 16) == R"(
80 us 11 queue 12
160 us 47 queue 26
240 us 173 queue 89
320 us 277 queue 194
400 us 277 queue 194
480 us 60 queue 194
560 us 60 queue 170
640 us 121 queue 2
720 us 122 queue 51
800 us 122 queue 39
880 us 124 queue 40
960 us 129 queue 46
1040 us 137 queue 54
1120 us 154 queue 70
1200 us 84 queue 71
1280 us 84 queue 32
)");
}

TEST_CASE("a second flow gets its half within five milliseconds and sees the true minimum") {
  Bottleneck<Swift> model{LinkModel{}, 1472, 1};
  model.add(40us);
  model.add(40us, Instant{2ms});
  model.run_until(Instant{2ms});
  CHECK("\n" + series(model, 250us, 12) == R"(
2250 us 84 51 queue 191
2500 us 44 32 queue 124
2750 us 24 68 queue 15
3000 us 30 79 queue 26
3250 us 38 107 queue 63
3500 us 24 63 queue 72
3750 us 27 67 queue 11
4000 us 37 88 queue 43
4250 us 48 59 queue 72
4500 us 28 62 queue 32
4750 us 33 75 queue 26
5000 us 45 95 queue 57
)");
  model.run_until(Instant{7ms});
  model.reset_counters();
  model.run_until(Instant{17ms});
  CHECK(model.jain_per_mille() >= 970);
  CHECK(model.utilization_per_mille(10ms) >= 950);
  for (std::size_t f = 0; f < 2; ++f) CHECK(model.flow(f).controller.base_delay() < 42us);
}

TEST_CASE("flows of one round trip share a queue fairly, few or many, short queue or long") {
  for (const std::uint32_t flows : {2U, 8U, 32U, 100U}) {
    for (const std::uint32_t queue : {17U, 85U, 425U}) {  // 0.2, 1 and 5 BDP
      const Shares got = share(flows, queue, 1);
      CAPTURE(flows, queue);
      CHECK(got.jain >= 900);
      CHECK(got.utilization >= 900);
    }
  }
}

TEST_CASE("different round trips share: none gets less than half of its part") {
  struct Mix {
    Duration first, second;
  };
  for (const Mix mix : {Mix{40us, 80us}, Mix{40us, 160us}, Mix{100us, 200us}}) {
    Bottleneck<Swift> model{LinkModel{}, 1472, 1};
    model.add(mix.first);
    model.add(mix.second);
    model.run_until(Instant{20ms});
    model.reset_counters();
    model.run_until(Instant{80ms});
    const std::uint64_t all = model.flow(0).delivered_bytes + model.flow(1).delivered_bytes;
    CAPTURE(mix.first.count(), mix.second.count(), model.flow(0).delivered_bytes * 1000 / all);
    CHECK(model.flow(0).delivered_bytes * 4 > all);
    CHECK(model.flow(1).delivered_bytes * 4 > all);
    CHECK(model.utilization_per_mille(60ms) >= 900);
  }
}

TEST_CASE("one percent of random loss costs nothing") {
  LinkModel link;
  link.loss_per_mille = 10;
  Bottleneck<Swift> model{link, 1472, 3};
  model.add(40us);
  model.run_until(Instant{10ms});
  model.reset_counters();
  model.run_until(Instant{30ms});
  CHECK(model.utilization_per_mille(20ms) >= 950);
}

TEST_CASE("ten percent of CE marks slow a flow down without loss") {
  LinkModel link;
  link.mark_per_mille = 100;
  Bottleneck<Swift> model{link, 1472, 3};
  model.add(40us);
  model.run_until(Instant{400us});
  CHECK(model.utilization_per_mille(400us) <= 700);
  CHECK(model.flow(0).lost_packets == 0);
}

TEST_CASE("a path of 16 MiB is full after twelve rounds, whatever its length") {
  for (const Duration one_way : {Duration{1ms}, Duration{10ms}, Duration{100ms}, Duration{750ms}}) {
    LinkModel link;
    const std::uint64_t bits = (16ULL << 20U) * 8;
    link.bits_per_second = std::min<std::uint64_t>(
        25'000'000'000, bits * 1000 / static_cast<std::uint64_t>(2 * one_way / 1ms));
    link.queue_packets = 12'000;
    Bottleneck<Swift> model{link, 1472, 1};
    model.add(2 * one_way);
    model.run_until(Instant{26 * one_way});
    model.reset_counters();
    model.run_until(Instant{30 * one_way});
    CAPTURE(one_way);
    CHECK(model.utilization_per_mille(4 * one_way) >= 950);
  }
}

TEST_CASE("a path that is longer from now on is full again within a second", "[swift]") {
  struct Rise {
    Duration from, to;
  };
  for (const Rise rise : {Rise{40us, 100us}, Rise{40us, 200us}, Rise{40us, 1ms}, Rise{1ms, 5ms}}) {
    LinkModel link;
    link.queue_packets = 4000;
    Bottleneck<Swift> model{link, 1472, 1};
    model.add(rise.from);
    model.run_until(Instant{20ms});
    model.flow(0).base_rtt = rise.to;
    model.run_until(Instant{1020ms});
    model.reset_counters();
    model.run_until(Instant{1040ms});
    CAPTURE(rise.from, rise.to);
    CHECK(model.utilization_per_mille(20ms) >= 940);
    CHECK(model.flow(0).controller.base_delay() >= rise.to);
  }
}

TEST_CASE("a queue of others that empties now and then is not taken for the path", "[swift]") {
  Bottleneck<Swift> model{LinkModel{}, 1472, 1};
  for (int i = 0; i < 8; ++i) model.add(40us);
  model.run_until(Instant{700ms});
  for (std::size_t i = 0; i < 8; ++i) CHECK(model.flow(i).controller.base_delay() < 45us);
}
