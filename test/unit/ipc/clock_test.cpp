// lib tests: the cycle clock against the system's.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include <catch2/catch.hpp>

#include <proa/base/clock.hpp>

namespace proa {

TEST_CASE("the cycle clock never goes back and stays with the system's clock", "[clock]") {
  using namespace std::chrono_literals;
  CycleClock clock;
  Instant last = clock();
  const Instant end = monotonic_now() + 20ms;
  bool back = false;
  Duration off{};
  while (monotonic_now() < end) {
    const Instant before = monotonic_now();
    const Instant now = clock();
    const Instant after = monotonic_now();
    back = back || now < last;
    last = now;
    if (now < before) off = std::max(off, before - now);
    if (now > after) off = std::max(off, now - after);
  }
  CHECK_FALSE(back);
  CHECK(off < 1ms);  // microseconds on a quiet machine; a busy one may interrupt between readings
}

namespace {

/// A counter of 2.5 GHz, 0.4 ns a cycle.
constexpr std::uint64_t cycles_at(std::int64_t ns) {
  return static_cast<std::uint64_t>(ns) * 5 / 2;
}

}  // namespace

TEST_CASE("an interruption between two readings of a cycle clock's beginning is noticed",
          "[clock]") {
  struct Clocks {
    std::int64_t at = 1'000'000;
    int interrupted = 0, reading = 0;
    void pass() { at += ++reading == interrupted ? 3'000'000 : 20; }
    std::uint64_t cycles() { return pass(), cycles_at(at); }
    std::int64_t ns() { return pass(), at; }
  };
  for (int interrupted = 1; interrupted <= 6; ++interrupted) {
    CAPTURE(interrupted);
    Clocks clocks{.interrupted = interrupted};
    CycleLine line;
    line.begin_by(clocks);
    REQUIRE(line.ready());
    std::int64_t off = 0;
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t cycles = clocks.cycles();
      off = std::max(off, std::abs(line.at(cycles) - clocks.at));
      if (line.is_stale(cycles)) line.anchor_by(clocks);
    }
    CHECK(off < 1000);
  }
}

TEST_CASE("a cycle clock that ran ahead goes on, slower, until the system's has caught up",
          "[clock]") {
  CycleLine line;
  line.anchor(0, 1'000'000);
  line.anchor(cycles_at(200'000), 1'205'000);  // interrupted between the two readings: 2.5 % fast
  REQUIRE(line.ready());
  std::int64_t at = 200'000;
  while (!line.is_stale(cycles_at(at))) at += 1000;
  std::int64_t last = line.at(cycles_at(at));
  CHECK(last - (1'000'000 + at) > 10'000);
  line.anchor(cycles_at(at), 1'000'000 + at);
  std::int64_t slowest = 1000;
  for (;; at += 1000) {
    if (line.is_stale(cycles_at(at))) break;
    const std::int64_t now = line.at(cycles_at(at + 1000));
    slowest = std::min(slowest, now - last);
    last = now;
  }
  CHECK(slowest >= 900);  // of 1000 ns: what takes a microsecond is measured as one
  CHECK(last - (1'000'000 + at) < 1000);
}

TEST_CASE("a cycle clock that is far ahead runs at half its rate and never goes back", "[clock]") {
  CycleLine line;
  line.anchor(0, 1'000'000);
  line.anchor(cycles_at(1'000'000), 2'000'000);
  const std::int64_t before = line.at(cycles_at(60'000'000));  // nobody asked for long
  line.anchor(cycles_at(60'000'000), 3'000'000);               // and the system says it was short
  CHECK(line.at(cycles_at(60'000'001)) >= before);
}

TEST_CASE("a cycle counter that jumps is measured anew, and the clock goes on with the system's",
          "[clock]") {
  const std::int64_t hours = 36'000'000'000'000;  // since the machine started
  for (const std::int64_t counter : {std::int64_t{0}, hours - 500'000'000, 4 * hours}) {
    CAPTURE(counter);
    CycleLine line;
    line.anchor(cycles_at(hours), hours);
    line.anchor(cycles_at(hours + 1'000'000'000), hours + 1'000'000'000);
    std::int64_t ns = hours + 1'010'000'000, last = line.at(cycles_at(ns));
    const std::int64_t jump = counter - ns;  // the counter goes on from another value
    std::int64_t off = 0;
    for (int i = 0; i < 100'000; ++i, ns += 10'000) {
      if (line.is_stale(cycles_at(ns + jump))) line.anchor(cycles_at(ns + jump), ns);
      const std::int64_t now = line.at(cycles_at(ns + jump));
      REQUIRE(now >= last);
      last = now;
      off = std::max(off, std::abs(now - ns));
    }
    CHECK(off < 1'000'000);
  }
}

}  // namespace proa
