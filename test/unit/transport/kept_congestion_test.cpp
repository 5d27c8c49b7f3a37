// What a flow keeps apart while it does not need it: its controller, requests for memory.
#include <catch2/catch.hpp>

#include <proa/transport/any_congestion.hpp>
#include <proa/transport/kept_congestion.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

TEST_CASE("A controller exists from the first data on and starts anew after a rest",
          "[rfc5681-4.1]") {
  ScratchPool pool{1U << 20U};
  KeptCongestion<AnyCongestion> kept{pool, CongestionKind::cubic, 1472};
  AnyCongestion cubic{CongestionKind::cubic};
  cubic.on_packet_size(1472);
  CHECK(kept.window_bytes() == cubic.window_bytes());
  CHECK(kept.controller() == nullptr);
  CHECK(pool.arena().used() == 0);
  kept.wake();
  REQUIRE(kept.controller() != nullptr);
  CHECK(kept.controller()->kind() == CongestionKind::cubic);
  LossSample loss;
  loss.lost_bytes = loss.in_flight_bytes = 10'000;
  loss.lost_packets = 7;
  kept.on_loss(loss);
  CHECK(kept.window_bytes() < cubic.window_bytes());
  kept.rest();
  CHECK(pool.arena().used() == 0);
  CHECK(kept.window_bytes() == cubic.window_bytes());
  kept.on_packet_size(8972);
  cubic.on_packet_size(8972);
  CHECK(kept.window_bytes() == cubic.window_bytes());
}

TEST_CASE("Without room for a controller the window stays the initial one") {
  ScratchPool none{0};
  KeptCongestion<AnyCongestion> kept{none, CongestionKind::swift, 1472};
  const std::uint32_t window = kept.window_bytes();
  kept.wake();
  CHECK(kept.controller() == nullptr);
  CHECK(kept.window_bytes() == window);
  CHECK(window >= 2 * 1472);
  CHECK(kept.pacing_interval(1472) == Duration::zero());
}

TEST_CASE("An idle flow keeps at most a kilobyte: nothing in the pool", "[target12]") {
  static_assert(sizeof(FlowPair<>::TestFlow) <= 816);
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(pair.send(0, std::string(300'000, 'x')));
    pair.run_for(1ms);
  }
  CHECK(pair.side[0].messages.empty());
  REQUIRE(pair.side[1].messages.size() == 20);
  CHECK(pair.side[0].pool.arena().used() > 0);
  pair.run_for(21s);  // two keepalive intervals
  CHECK(pair.side[0].pool.arena().used() == 0);
  CHECK(pair.side[1].pool.arena().used() == 0);
  // And it goes on as before.
  REQUIRE(pair.send(0, std::string(300'000, 'y')));
  pair.run_for(2ms);
  CHECK(pair.side[1].messages.size() == 21);
}
