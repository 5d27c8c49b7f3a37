// Swift among its like in one bottleneck.
#include <algorithm>
#include <string>

#include <catch2/catch.hpp>

#include <proa/transport/swift.hpp>

#include "bottleneck.hpp"

using namespace proa;
using namespace proa::test;

namespace {

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
  const std::uint64_t utilization = model.utilization_between(Instant{10ms}, Instant{30ms});
  return {model.jain_per_mille(), utilization};
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
  CHECK(model.utilization_between(Instant{7ms}, Instant{17ms}) >= 950);
  CHECK(model.jain_per_mille() >= 970);
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
    CHECK(model.utilization_between(Instant{20ms}, Instant{80ms}) >= 900);
    const std::uint64_t all = model.flow(0).delivered_bytes + model.flow(1).delivered_bytes;
    CAPTURE(mix.first.count(), mix.second.count(), model.flow(0).delivered_bytes * 1000 / all);
    CHECK(model.flow(0).delivered_bytes * 4 > all);
    CHECK(model.flow(1).delivered_bytes * 4 > all);
  }
}

TEST_CASE("one percent of random loss costs nothing") {
  LinkModel link;
  link.loss_per_mille = 10;
  Bottleneck<Swift> model{link, 1472, 3};
  model.add(40us);
  CHECK(model.utilization_between(Instant{10ms}, Instant{30ms}) >= 950);
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
    CAPTURE(one_way);
    CHECK(model.utilization_between(Instant{26 * one_way}, Instant{30 * one_way}) >= 950);
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
    CAPTURE(rise.from, rise.to);
    CHECK(model.utilization_between(Instant{1020ms}, Instant{1040ms}) >= 940);
    CHECK(model.flow(0).controller.base_delay() >= rise.to);
  }
}

TEST_CASE("a queue of others that empties now and then is not taken for the path", "[swift]") {
  Bottleneck<Swift> model{LinkModel{}, 1472, 1};
  for (int i = 0; i < 8; ++i) model.add(40us);
  model.run_until(Instant{700ms});
  for (std::size_t i = 0; i < 8; ++i) CHECK(model.flow(i).controller.base_delay() < 45us);
}
