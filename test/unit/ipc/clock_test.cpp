// lib tests: the cycle clock against the system's.
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

}  // namespace proa
