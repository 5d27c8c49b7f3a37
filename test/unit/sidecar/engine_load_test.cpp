// sidecar: an engine's load is the time it works, and channels go where there is least of both.
#include <catch2/catch.hpp>

#include "../../../sidecar/engine_load.hpp"

using namespace proa;
using namespace proa::sidecar;
using namespace std::chrono_literals;

TEST_CASE("an engine's load is the time of turns that found work, not how many there were") {
  Instant now{};
  EngineLoad load{now};
  for (int i = 0; i < 1000; ++i) {
    for (int idle = 0; idle < 5; ++idle) load.turned(now += 100ns, false);
    load.turned(now += 700ns, true);   // it sent until then,
    load.turned(now += 800ns, false);  // and handled what had come
  }
  CHECK(load.take_percent(now) == 75);
  CHECK(load.take_percent(now) == 0);
}

TEST_CASE("an engine that sleeps or gives way between two messages is not busy meanwhile") {
  Instant now{};
  EngineLoad load{now};
  for (int i = 0; i < 10; ++i) {
    load.waited(now += 98ms);
    load.turned(now += 1ms, true);  // woken by a message
    load.turned(now += 1ms, false);
  }
  CHECK(load.take_percent(now) == 2);
  load.turned(now += 1s, false);
  CHECK(load.take_percent(now) == 0);
}

TEST_CASE("an engine that always finds work is fully busy, in every look anew") {
  Instant now{};
  EngineLoad load{now};
  load.turned(now, true);
  for (int look = 0; look < 3; ++look) {
    for (int i = 0; i < 100; ++i) load.turned(now += 10us, true);
    CHECK(load.take_percent(now) == 100);
  }
  for (int i = 0; i < 100; ++i) load.turned(now += 10us, false);
  CHECK(load.take_percent(now) == 1);  // the last busy turn's
}

TEST_CASE("channels outweigh a small load, and a large one outweighs a few channels") {
  CHECK(weight_of(0, 24) == weight_of(0, 0));
  CHECK(weight_of(1, 0) > weight_of(0, 24));
  CHECK(weight_of(1, 100) > weight_of(4, 0));
  CHECK(weight_of(1, 100) < weight_of(6, 0));
}
