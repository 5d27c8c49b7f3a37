// The round-trip estimate, also where pollers come late.
#include <catch2/catch.hpp>

#include <proa/transport/rtt.hpp>

using namespace proa;
using namespace std::chrono_literals;

TEST_CASE("the first RTT sample sets srtt and half of it as variation",
          "[rfc9002-5.3][rfc6298-2]") {
  RttEstimator rtt;
  CHECK_FALSE(rtt.has_sample());
  rtt.update(100us, 0us, 0us);
  CHECK(rtt.smoothed() == 100us);
  CHECK(rtt.variation() == 50us);
  CHECK(rtt.minimum() == 100us);
  rtt.update(180us, 20us, 0us);  // adjusted 160
  CHECK(rtt.smoothed() == Duration{(7 * 100'000 + 160'000) / 8});
  CHECK(rtt.variation() == Duration{(3 * 50'000 + 60'000) / 4});
}

TEST_CASE("an ack delay is believed down to the minimum", "[rfc9002-5.3][rfc9002-5.2]") {
  RttEstimator rtt;
  rtt.update(100us, 0us, 0us);
  rtt.update(110us, 50us, 0us);
  CHECK(rtt.latest() == 100us);
  rtt.update(110us, 6us, 0us);
  CHECK(rtt.latest() == 104us);
}

TEST_CASE("a late poller's sample widens neither srtt nor its variation", "[A26]") {
  RttEstimator rtt;
  rtt.update(100us, 0us, 0us);
  rtt.update(20ms, 0us, 20ms - 100us);
  CHECK(rtt.smoothed() == 100us);
  CHECK(rtt.variation() == 50us);
}

TEST_CASE("a path that becomes longer below a busy engine, late for each sample, is measured") {
  RttEstimator rtt;
  rtt.update(20us, 0us, 0us);
  rtt.update(500us, 0us, 30us);
  CHECK(rtt.smoothed() == Duration{(7 * 20'000 + 470'000) / 8});  // only what is certain
  CHECK(rtt.variation() == 10us);
  for (int i = 0; i < 40; ++i) rtt.update(500us, 0us, 30us);
  CHECK(rtt.smoothed() >= 465us);
}

TEST_CASE("of a late poller's first sample only the certain part counts", "[A26]") {
  RttEstimator late, hopeless, near;
  late.update(20ms, 0us, 19ms);
  CHECK(late.smoothed() == 1ms);
  CHECK(late.variation() == 500us);
  CHECK(late.minimum() == 20ms);
  hopeless.update(20ms, 0us, 20ms);
  CHECK(hopeless.smoothed() == 50us);  // a busy engine's turn, which is no lateness
  near.update(20us, 0us, 20us);
  CHECK(near.smoothed() == 20us);
  hopeless.update(200us, 0us, 0us);
  CHECK(hopeless.smoothed() == Duration{(7 * 50'000 + 200'000) / 8});
}

TEST_CASE("late samples whose certain part is longer than what is known raise it", "[A26]") {
  RttEstimator rtt;
  rtt.update(10ms, 0us, 10ms);  // a poller that came first when all was over
  for (int i = 0; i < 100; ++i) rtt.update(5ms, 0us, 30us);
  CHECK(rtt.smoothed() > 4900us);
  CHECK(rtt.smoothed() <= 5ms);
  for (int i = 0; i < 100; ++i) rtt.update(9ms, 0us, 4ms);  // may be 5 ms as well
  CHECK(rtt.smoothed() <= 5ms);
}

TEST_CASE("what a starved poller measured first makes no later lateness small", "[A26]") {
  RttEstimator rtt;
  rtt.update(38ms, 0us, 0us);  // one that did not know how late it was
  rtt.update(130us, 0us, 0us);
  REQUIRE(rtt.smoothed() > 20ms);
  CHECK(rtt.trusts(65us));
  CHECK_FALSE(rtt.trusts(66us));
  // An engine's usual turn is not lateness on a path shorter than it, if the round trip is longer.
  rtt.update(20us, 0us, 0us);
  CHECK(rtt.trusts(50us));
  CHECK_FALSE(rtt.trusts(51us));
  for (int i = 0; i < 100; ++i) rtt.update(20us, 0us, 0us);
  CHECK(rtt.trusts(10us));
  CHECK_FALSE(rtt.trusts(11us));
}
