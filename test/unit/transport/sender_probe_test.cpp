// The sending half of a flow: when it probes, and what silence means.
#include <catch2/catch.hpp>

#include "sender_driver.hpp"

using namespace proa;
using namespace proa::test;

namespace {

using Fixture = SenderOf<Witness>;

}  // namespace

TEST_CASE("three probes in a row are persistent congestion, until what was sent before arrives",
          "[rfc9002-7.6][rfc3522]") {
  Fixture f;
  f.measure_round_trip();
  f.send(4);
  for (int i = 0; i < 3; ++i) {
    CHECK(f.told().persistent == 0);
    f.let_probe_timer_expire();
    f.send_probe();
  }
  CHECK(f.told().persistent == 1);
  (void)f.acknowledge(4);
  CHECK(f.told().undone == 1);
  CHECK_FALSE(f.sender.probe_due());
  (void)f.acknowledge(7);
  CHECK(f.sender.probe_deadline() == never);
}

TEST_CASE("a probe that could not leave is nobody's silence: only what left counts",
          "[rfc9002-7.6]") {
  Fixture f;
  f.send(4);
  for (int i = 0; i < 5; ++i) {
    const Instant before = f.now;
    f.let_probe_timer_expire();  // the NIC takes nothing, or the neighbour is not known
    CHECK(f.now > before);
    CHECK(f.sender.probe_due());
    CHECK(f.sender.probes_in_a_row() == 1);
  }
  f.send_probe();
  f.let_probe_timer_expire();
  CHECK(f.sender.probes_in_a_row() == 2);
  CHECK(f.told().persistent == 0);
}

TEST_CASE(
    "news of memory after silence is answered by a small probe, and it takes three more to "
    "despair") {
  Fixture f;
  f.measure_round_trip();
  f.send(4);
  f.now += 39us;
  f.sender.on_peer_room({f.now, {}, false});
  CHECK_FALSE(f.sender.probe_due());  // the answer is under way
  f.now += 1us;
  f.sender.on_peer_room({f.now, {}, false});
  CHECK(f.sender.probe_is_small());
  f.send_probe();
  for (int i = 0; i < 2; ++i) {
    CHECK(f.told().persistent == 0);
    f.let_probe_timer_expire();
    f.send_probe();
  }
  CHECK(f.told().persistent == 1);
  (void)f.acknowledge(4);
  CHECK(f.told().undone == 1);
  CHECK_FALSE(f.sender.probe_is_small());
}

TEST_CASE("news found by a late poller may have lain beside the acknowledgement: it says nothing",
          "[A26]") {
  Fixture f;
  f.measure_round_trip();
  f.send(4);
  f.now += 1ms;
  f.sender.on_peer_room({f.now, 1ms - 39us, false});
  CHECK_FALSE(f.sender.probe_due());
  f.sender.on_peer_room({f.now, 1ms - 40us, false});
  CHECK(f.sender.probe_due());
}

TEST_CASE("news of memory speaks of the oldest in flight, whatever was sent since") {
  Fixture f;
  f.measure_round_trip();  // 40 us
  f.send(1);
  f.now += 41us;
  (void)f.acknowledge(1);  // the smoothed one is longer than the shortest now
  f.send(1);
  f.now += 40us;
  f.send(1);
  f.sender.on_peer_room({f.now, {}, false});
  CHECK(f.sender.probe_due());
  CHECK(f.sender.probe_is_small());
}

TEST_CASE("on a path that queues news of memory says nothing of what may still be answered") {
  Fixture f;
  f.measure_round_trip();  // 40 us
  for (std::uint32_t n = 1; n < 60; ++n) {
    f.send(1);
    f.now += 100us;
    (void)f.acknowledge(n);
  }
  f.send(4);
  f.now += 60us;
  f.sender.on_peer_room({f.now, {}, false});
  CHECK_FALSE(f.sender.probe_due());
  f.now += 40us;
  f.sender.on_peer_room({f.now, {}, false});
  REQUIRE(f.sender.probe_due());
  const Instant deadline = f.sender.probe_deadline();
  f.send_probe();
  CHECK(f.sender.probe_deadline() == deadline);  // its own probe ends no patience
}

TEST_CASE("news of memory after despair says that nothing was congested, and begins anew",
          "[rfc3522]") {
  Fixture f;
  f.measure_round_trip();
  f.send(4);
  for (int i = 0; i < 3; ++i) {
    f.let_probe_timer_expire();
    f.send_probe();
  }
  REQUIRE(f.told().persistent == 1);
  f.sender.on_peer_room({f.now, {}, false});
  CHECK(f.told().undone == 1);
  CHECK(f.sender.probes_in_a_row() == 1);
  CHECK(f.sender.probe_is_small());
}

TEST_CASE("an answer to a keepalive is waited for patiently, unless messages wait behind it") {
  for (const bool waits : {false, true}) {
    Fixture f;
    f.measure_round_trip();
    if (waits) {
      const auto block = f.memory.allocate_send(1000);
      REQUIRE(block);
      REQUIRE(f.sender.queue().push(*block, false));
    }
    f.sender.on_keepalive();
    f.send_other(with(0, PacketContent::ping));
    CAPTURE(waits);
    CHECK(f.sender.probe_deadline() - f.now == (waits ? Duration{105us} : f.options.probe_max));
    f.send_other(with(0, PacketContent::want));
    CHECK(f.sender.probe_deadline() - f.now == Duration{105us});
  }
}
