// Tests of stack/lazy_timer.hpp.
#include <poll.h>

#include <catch2/catch.hpp>

#include <proa/base/clock.hpp>
#include <proa/stack/lazy_timer.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

/// How long until it goes off; zero: it is disarmed or has gone off.
Duration left(const LazyTimer& timer) {
  itimerspec spec{};
  REQUIRE(::timerfd_gettime(timer.descriptor(), &spec) == 0);
  return std::chrono::seconds{spec.it_value.tv_sec} + Duration{spec.it_value.tv_nsec};
}

bool goes_off(const LazyTimer& timer, std::chrono::milliseconds within) {
  pollfd on{timer.descriptor(), POLLIN, 0};
  return ::poll(&on, 1, static_cast<int>(within.count())) == 1;
}

}  // namespace

TEST_CASE("a lazy timer goes off at its time") {
  CycleClock clock;
  LazyTimer timer;
  const Instant start = clock();
  timer.set(start, start + 20ms);
  CHECK(goes_off(timer, 10'000ms));
  CHECK(clock() - start >= 19ms);
}

TEST_CASE("a lazy timer that goes off earlier is left alone, a later one is not") {
  CycleClock clock;
  LazyTimer timer;
  const Instant start = clock();
  timer.set(start, start + 100s);
  timer.set(start, start + 200s);
  CHECK(left(timer) <= 100s);
  timer.set(start, start + 50s);
  CHECK(left(timer) <= 50s);
  timer.set(start, never);
  CHECK(left(timer) > 0s);
}

TEST_CASE("a lazy timer that went off is set anew, or disarmed when nothing is due any more") {
  CycleClock clock;
  LazyTimer timer;
  timer.set(clock(), clock() + 1ms);
  REQUIRE(goes_off(timer, 10'000ms));
  timer.went_off();
  timer.set(clock(), clock() + 100s);
  CHECK_FALSE(goes_off(timer, 0ms));
  CHECK(left(timer) > 90s);
  timer.set(clock(), clock() + 1ms);
  REQUIRE(goes_off(timer, 10'000ms));
  timer.went_off();
  timer.set(clock(), never);
  CHECK_FALSE(goes_off(timer, 0ms));
  CHECK(left(timer) == 0s);
}

TEST_CASE(
    "a lazy timer that was seen to go off is set anew, although our clock is still behind it") {
  CycleClock clock;
  LazyTimer timer;
  const Instant behind = clock();
  timer.set(behind, behind + 100s);
  timer.went_off();
  timer.set(behind, behind + 200s);
  CHECK(left(timer) > 150s);
}
