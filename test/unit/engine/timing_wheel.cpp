// The timing wheel against a plain list of deadlines.
#include <proa/engine/timing_wheel.hpp>

#include <map>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

/// How late an entry may be: a tick, and what far deadlines are rounded up by.
Duration slack(Duration ahead) {
  return TimingWheel::tick + (ahead >= 500ms ? ahead / 256 : Duration{});
}

constexpr auto nobody = [](std::uint32_t) {};

std::vector<std::uint32_t> expire(TimingWheel& wheel, Instant now) {
  std::vector<std::uint32_t> fired;
  const auto fire = [&](std::uint32_t i) { fired.push_back(i); };
  wheel.expire(now, ~0U, fire, nobody);
  PROA_AUDIT(wheel);
  return fired;
}

}  // namespace

TEST_CASE("A wheel fires no entry early, near ones at most a tick late, far ones a 256th") {
  const Instant start{7h};
  TimingWheel wheel{8, start};
  const Duration after = GENERATE(0ns, 1ns, 1024ns, 63us, 65us, 67ms, 5s, 300s, 100h);
  wheel.arm_no_later_than(3, start + after, start);
  if (after > 0ns) CHECK(expire(wheel, start + after - 1ns).empty());
  CHECK(expire(wheel, start + after + slack(after)) == std::vector<std::uint32_t>{3});
  CHECK(expire(wheel, start + 2 * after + 1s).empty());
  CHECK(wheel.next_expiry() == never);
}

TEST_CASE("What is near is near also for an engine that has slept: at most a tick late") {
  TimingWheel wheel{2, Instant{7h}};
  const Duration asleep = GENERATE(0ns, 1s, 10s, 10h);
  wheel.arm_no_later_than(0, Instant{7h} + asleep + 10h, Instant{7h});
  const Instant now = Instant{7h} + asleep;
  wheel.arm_no_later_than(1, now + 105us, now);
  CHECK(expire(wheel, now + 104us).empty());
  CHECK(expire(wheel, now + 105us + TimingWheel::tick) == std::vector<std::uint32_t>{1});
}

TEST_CASE("Deadlines of idle flows, spread over a second, come together in a few wakes") {
  constexpr std::uint32_t entries = 4000;
  const Instant start{7h};
  TimingWheel wheel{entries, start};
  for (std::uint32_t i = 0; i < entries; ++i)
    wheel.arm_no_later_than(i, start + 30s + i * (Duration{1s} / entries), start);
  std::uint32_t wakes = 0;
  for (Instant now = start; wheel.size() != 0; static_cast<void>(expire(wheel, now))) {
    if (wheel.next_expiry() <= now) continue;  // more of what it woke for
    now = wheel.next_expiry();
    ++wakes;
  }
  CHECK(wakes <= 64);
}

TEST_CASE("An armed entry moves only to an earlier deadline") {
  TimingWheel wheel{2, Instant{}};
  wheel.arm_no_later_than(0, Instant{10ms}, Instant{});
  wheel.arm_no_later_than(0, Instant{20ms}, Instant{});
  CHECK(expire(wheel, Instant{11ms}).size() == 1);
  wheel.arm_no_later_than(0, Instant{50ms}, Instant{11ms});
  wheel.arm_no_later_than(0, Instant{30ms}, Instant{11ms});
  CHECK(expire(wheel, Instant{31ms}).size() == 1);
  CHECK(expire(wheel, Instant{60ms}).empty());
  wheel.arm_no_later_than(1, never, Instant{60ms});
  CHECK_FALSE(wheel.armed(1));
}

TEST_CASE("What an expiry arms for the past waits for the next call, and a budget is kept") {
  TimingWheel wheel{4, Instant{}};
  for (std::uint32_t i = 0; i < 4; ++i) wheel.arm_no_later_than(i, Instant{1us}, Instant{});
  unsigned fired = 0;
  const auto rearm = [&](std::uint32_t i) {
    ++fired;
    wheel.arm_no_later_than(i, Instant{1us}, Instant{5us});
  };
  CHECK(wheel.expire(Instant{5us}, 100, rearm, nobody) == 4);
  CHECK(wheel.expire(Instant{5us}, 3, rearm, nobody) == 3);
  CHECK(fired == 7);
  CHECK(wheel.next_expiry() <= Instant{5us});
}

TEST_CASE("Who is to be fired next is told before") {
  TimingWheel wheel{4, Instant{}};
  for (std::uint32_t i = 0; i < 4; ++i) wheel.arm_no_later_than(i, Instant{1us}, Instant{});
  std::vector<std::uint32_t> fired, told;
  wheel.expire(
      Instant{5us}, ~0U, [&](std::uint32_t i) { fired.push_back(i); },
      [&](std::uint32_t i) {
        CHECK(told.size() == fired.size());
        told.push_back(i);
      });
  REQUIRE(fired.size() == 4);
  CHECK(told == std::vector<std::uint32_t>(fired.begin() + 1, fired.end()));
}

TEST_CASE("Many deadlines far away and close together are taken up a few per call") {
  constexpr std::uint32_t count = 1000;
  TimingWheel wheel{count, Instant{}};
  for (std::uint32_t i = 0; i < count; ++i)
    wheel.arm_no_later_than(i, Instant{30s + i * 1us}, Instant{});
  const Instant then{31s};
  std::size_t fired = 0;
  for (unsigned calls = 1; fired < count; ++calls) {
    REQUIRE(calls <= 100);
    CHECK(wheel.next_expiry() <= then);  // no sleep before all are done
    const std::size_t more = expire(wheel, then).size();
    CHECK(more <= 64);
    fired += more;
  }
  CHECK(wheel.next_expiry() == never);
}

TEST_CASE("An entry of a slot that is being taken up can be cancelled and moved forward") {
  TimingWheel wheel{300, Instant{}};
  for (std::uint32_t i = 0; i < 300; ++i)
    wheel.arm_no_later_than(i, Instant{30s + i * 1us}, Instant{});
  std::size_t fired = expire(wheel, Instant{31s}).size();
  REQUIRE(fired < 100);
  std::uint32_t cancelled = 0;
  for (std::uint32_t i = 0; i < 300; ++i) {
    if (!wheel.armed(i)) continue;
    if (i % 3 == 0) wheel.cancel(i), ++cancelled;
    if (i % 3 == 1) wheel.arm_no_later_than(i, Instant{1s}, Instant{31s});
    PROA_AUDIT(wheel);
  }
  for (int calls = 0; calls < 20; ++calls) fired += expire(wheel, Instant{31s}).size();
  CHECK(fired + cancelled == 300);
  CHECK(wheel.size() == 0);
}

TEST_CASE("An expiry may cancel entries that are due with it") {
  TimingWheel wheel{4, Instant{}};
  for (std::uint32_t i = 0; i < 4; ++i) wheel.arm_no_later_than(i, Instant{1us}, Instant{});
  const auto cancel = [&](std::uint32_t) {
    for (std::uint32_t i = 0; i < 4; ++i) wheel.cancel(i);
  };
  const auto fired = wheel.expire(Instant{5us}, ~0U, cancel, nobody);
  CHECK(fired == 1);
  CHECK(wheel.size() == 0);
}

TEST_CASE("Random arming, cancelling and late polling agree with a list of deadlines") {
  const auto seed = GENERATE(range(1U, 21U));
  CAPTURE(seed);
  Prng random{seed};
  constexpr std::uint32_t entries = 64;
  Instant now{Duration{static_cast<Duration::rep>(random.below(std::uint64_t{1} << 40))}};
  TimingWheel wheel{entries, now};
  struct Armed {
    Instant deadline, at_latest;
  };
  std::map<std::uint32_t, Armed> model;
  const auto span_of = [&] {
    return Duration{static_cast<Duration::rep>(random.below(std::uint64_t{2} << random.below(38)))};
  };
  for (int step = 0; step < 3000; ++step) {
    const auto i = static_cast<std::uint32_t>(random.below(entries));
    switch (random.below(4)) {
      case 0:
      case 1: {
        const Instant deadline = now + span_of() - 1ms;
        wheel.arm_no_later_than(i, deadline, now);
        const Instant at_latest = deadline + slack(deadline - now);
        if (const auto had = model.find(i); had == model.end() || had->second.deadline > deadline)
          model[i] = {deadline, at_latest};
        break;
      }
      case 2:
        wheel.cancel(i);
        model.erase(i);
        break;
      default: {
        now += span_of();
        for (const auto& [entry, due] : model)
          if (due.deadline > now) CHECK(wheel.next_expiry() <= due.at_latest);
        for (const std::uint32_t entry : expire(wheel, now)) {
          REQUIRE(model.count(entry) == 1);
          CHECK(model[entry].deadline <= now);
          model.erase(entry);
        }
        for (const auto& [entry, due] : model) CHECK(due.at_latest > now);
        CHECK(wheel.size() == model.size());
        if (!model.empty()) CHECK(wheel.next_expiry() > now - 2 * TimingWheel::tick);
      }
    }
  }
}
