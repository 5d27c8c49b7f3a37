// LossSchedule: shares, bursts and runs are those of a toss per packet; listed packets come too.
#include <array>
#include <cmath>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/nic/loss_schedule.hpp>

using namespace proa;

namespace {

/// Of the first packets, which are lost.
std::vector<bool> lost_of(LossSchedule& schedule, Prng& random, std::size_t packets) {
  std::vector<bool> out(packets);
  for (std::size_t i = 0; i < packets; ++i) {
    out[i] = schedule.passing() == 0;
    if (out[i])
      schedule.on_lost(random);
    else
      schedule.on_passed(1);
  }
  return out;
}

struct Runs {
  double share = 0;
  double burst_mean = 0, pass_mean = 0, pass_deviation = 0;
};

Runs runs_of(const std::vector<bool>& lost) {
  std::vector<double> bursts, passes;
  for (std::size_t i = 0; i < lost.size();) {
    std::size_t end = i;
    while (end < lost.size() && lost[end] == lost[i]) ++end;
    (lost[i] ? bursts : passes).push_back(static_cast<double>(end - i));
    i = end;
  }
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  Runs out;
  out.burst_mean = mean(bursts);
  out.pass_mean = mean(passes);
  double square = 0;
  for (const double pass : passes) square += (pass - out.pass_mean) * (pass - out.pass_mean);
  out.pass_deviation = std::sqrt(square / static_cast<double>(passes.size()));
  out.share = out.burst_mean / (out.burst_mean + out.pass_mean);
  return out;
}

}  // namespace

TEST_CASE("single losses come as a toss per packet would have them", "[nic][lossy]") {
  const std::uint32_t ppm = GENERATE(1'000U, 10'000U, 300'000U);
  Prng random{ppm};
  LossSchedule schedule;
  schedule.set(ppm, 1, {}, random);
  const Runs runs = runs_of(lost_of(schedule, random, 4'000'000));
  const double p = ppm / 1e6;
  CHECK(runs.share == Approx(p).epsilon(0.06));
  // By tosses a run of losses goes on with p and one of passing packets ends with it.
  CHECK(runs.burst_mean == Approx(1 / (1 - p)).epsilon(0.01));
  CHECK(runs.pass_mean == Approx(1 / p).epsilon(0.06));
  CHECK(runs.pass_deviation == Approx(std::sqrt(1 - p) / p).epsilon(0.06));
}

TEST_CASE("the share lost in bursts is the whole share", "[nic][lossy]") {
  Prng random{3};
  LossSchedule schedule;
  schedule.set(10'000, 9, {}, random);
  const Runs runs = runs_of(lost_of(schedule, random, 4'000'000));
  CHECK(runs.share == Approx(0.01).epsilon(0.06));
  CHECK(runs.burst_mean == Approx(5).epsilon(0.05));
}

TEST_CASE("none, all, and the least share there is", "[nic][lossy]") {
  Prng random{1};
  LossSchedule schedule;
  CHECK(schedule.passing() > 1'000'000'000'000U);
  schedule.set(0, 1, {}, random);
  CHECK(schedule.passing() > 1'000'000'000'000U);
  schedule.set(1'000'000, 4, {}, random);
  for (const bool lost : lost_of(schedule, random, 1000)) REQUIRE(lost);
  schedule.set(2'000'000, 0, {}, random);  // taken for the most and the least there is
  for (const bool lost : lost_of(schedule, random, 1000)) REQUIRE(lost);
  double runs = 0;
  for (int i = 0; i < 1000; ++i) {
    schedule.set(1, 1, {}, random);
    runs += static_cast<double>(schedule.passing());
  }
  CHECK(runs / 1000 == Approx(1e6).epsilon(0.1));
}

TEST_CASE("listed packets are lost beside the random ones, and are not counted twice",
          "[nic][lossy]") {
  static constexpr std::array<std::uint64_t, 5> list{0, 1, 41, 62, 999};  // 41, 62: random too
  Prng random{7}, alike{7};
  LossSchedule with, without;
  with.set(200'000, 3, list, random);
  without.set(200'000, 3, {}, alike);
  auto expected = lost_of(without, alike, 1000);
  REQUIRE((expected[41] && expected[62] && !expected[0]));
  for (const auto one : list) expected[one] = true;
  CHECK(lost_of(with, random, 1000) == expected);
  with.set(0, 1, list, random);  // begins at packet 0 again
  CHECK(with.passing() == 0);
}
