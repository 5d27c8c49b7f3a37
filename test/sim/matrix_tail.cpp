// TEST-MATRIX A11 and TARGETS 10: the last packet is lost, or what is sent again is lost again.
#include <algorithm>

#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// When the client sent each packet after `quiet`, of those that the peer acknowledges.
struct Tail {
  std::vector<Instant> sent;
  FlowInfo when_sent;  // the sender, at the first of them
  Instant arrived{};   // at the server's application
};

/// Some messages for the round trip to be known well, silence, then one that is lost k times.
Tail lose_tail(std::uint32_t k, Duration one_way) {
  Plan plan = base_plan(1);
  plan.delay = one_way;
  add_messages(plan, client, 100, 1000, 8 * one_way);
  add_messages(plan, client, 1, 1000, 200 * one_way);
  ProductScene scene{plan, run_options()};
  REQUIRE(scene.run_until([&] { return scene.app(client).submitted() == 100; }, Instant{100s}));
  scene.run_for(100 * one_way);
  Tail out;
  scene.wire().watch([&](const Passing& passing) {
    if (passing.to != server || !look_at(passing).eliciting) return false;
    if (out.sent.empty()) out.when_sent = scene.flow(client)->info();
    out.sent.push_back(passing.now);
    return out.sent.size() <= k;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 100s));
  out.arrived = scene.app(server).received_at();
  scene.wire().watch({});
  scene.conclude();
  return out;
}

}  // namespace

TEST_CASE("a tail lost k times is probed for with exact backoff",
          "[A11][rfc8985-7][rfc9002-6.2.1][rfc9002-6.2.4]") {
  for (const Duration one_way : {Duration{20us}, Duration{50us}, Duration{500us}})
    for (std::uint32_t k = 1; k <= 5; ++k) {
      INFO("k = " << k << ", one way " << one_way.count() << " ns");
      const Tail tail = lose_tail(k, one_way);
      REQUIRE(tail.sent.size() == k + 1);
      for (std::uint32_t n = 0; n < k; ++n) {
        INFO("probe " << n);
        CHECK((tail.sent[n + 1] - tail.sent[n]).count() ==
              expected_probe_wait(tail.when_sent, n).count());
      }
      CHECK(tail.arrived < tail.sent[k] + one_way + 1us);  // + the time on the link
    }
}

TEST_CASE("a lost last packet arrives within max(3 RTT, 200 us)", "[A11][target10]") {
  for (const Duration one_way :
       {Duration{5us}, Duration{20us}, Duration{50us}, Duration{500us}, Duration{10ms}}) {
    INFO("one way " << one_way.count() << " ns");
    const Tail tail = lose_tail(1, one_way);
    CHECK(tail.arrived - tail.sent[0] <= std::max(Duration{6 * one_way}, Duration{200us}));
  }
}

TEST_CASE("what is sent again and lost again, k times, is found by later packets, without probes",
          "[A11][rfc9002-6.1]") {
  for (std::uint32_t k = 1; k <= 5; ++k) {
    INFO("k = " << k);
    constexpr Duration gap = 4us;
    Plan plan = base_plan(1);
    add_messages(plan, client, 400, 1000, gap);
    ProductScene scene{plan, run_options()};
    std::vector<Instant> sent;
    scene.wire().watch([&](const Passing& passing) {
      if (passing.to != server) return false;
      const SeenPacket packet = look_at(passing);
      const bool victim = std::any_of(packet.parts.begin(), packet.parts.end(),
                                      [](const CarriedPart& p) { return p.message == 100; });
      if (victim) sent.push_back(passing.now);
      return victim && sent.size() <= k;
    });
    REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{1s}));
    const FlowInfo info = scene.flow(client)->info();
    REQUIRE(sent.size() == k + 1);
    for (std::uint32_t n = 0; n < k; ++n) {
      INFO("loss " << n);
      // Three later packets, the peer's acknowledgement delay of at most srtt / 4, the way back.
      CHECK(sent[n + 1] - sent[n] <= 3 * gap + 10us + 42us);
    }
    CHECK(info.packets_lost == k);
    CHECK(info.probes == 0);
    scene.wire().watch({});
    scene.conclude();
  }
}
