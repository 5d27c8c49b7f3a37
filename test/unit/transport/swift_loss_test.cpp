// Swift and losses: which it answers, by how much, and what it takes back.
#include <catch2/catch.hpp>

#include "swift_driver.hpp"

using namespace proa;
using namespace proa::test;

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
  d.arrive_late(12, newest - 11);
  d.round(100us, false);
  CHECK(d.controller.window_bytes() < before);
}
