// Which losses a decrease of the window is answerable for, and when it is taken back.
#include <catch2/catch.hpp>

#include <proa/transport/blame.hpp>
#include <proa/transport/cubic.hpp>
#include <proa/transport/swift.hpp>

#include "congestion_driver.hpp"

using namespace proa;

namespace {
LossSample lost(std::uint32_t packets, std::uint64_t newest) {
  LossSample out;
  out.lost_packets = packets;
  out.newest_lost = newest;
  return out;
}
}  // namespace

TEST_CASE("a decrease waits for every packet it is answerable for, one by one", "[rfc3522-3.2]") {
  Blame blame;
  blame.begin(100, 2);
  CHECK(blame.any());
  CHECK_FALSE(blame.clears(99));  // caused an earlier decrease
  CHECK_FALSE(blame.clears(100));
  CHECK(blame.clears(107));
  CHECK_FALSE(blame.any());
}

TEST_CASE("what was lost since counts, unless all of it is older than the decrease") {
  Blame blame;
  blame.begin(100, 1);
  blame.on_loss(lost(3, 99));
  blame.on_loss(lost(2, 130));
  CHECK_FALSE(blame.clears(100));
  CHECK_FALSE(blame.clears(120));
  CHECK(blame.clears(130));
}

TEST_CASE("of late packets of two decreases those of the later one take that back",
          "[rfc9438-4.9]") {
  test::Driver<Cubic> d;
  for (int round = 0; round < 4; ++round) d.round(40us);
  d.lose(1, d.next - 1);
  const std::uint64_t first = d.next - 1;
  d.round(40us);
  const std::uint32_t before = d.controller.window_bytes();
  d.lose(1, d.next - 1);
  REQUIRE(d.controller.window_bytes() < before);
  d.controller.on_late(first);
  CHECK(d.controller.window_bytes() < before);
  d.controller.on_late(d.next - 1);
  CHECK(d.controller.window_bytes() == before);
}
