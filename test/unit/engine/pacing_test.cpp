// What pacing leaves on an engine's timing wheel: nothing while a flow is uncongested. Counted, on
// virtual time; what it costs is measured by bench/bench_pacing.cpp.
#include <catch2/catch.hpp>

#include "toy.hpp"

using namespace toy;

namespace {

/// Counts the answers that hold a packet back.
struct Counted : AnyCongestion {
  static inline std::uint64_t asked = 0, paced = 0;
  [[nodiscard]] Duration pacing_interval(std::uint32_t bytes) const noexcept {
    const Duration interval = AnyCongestion::pacing_interval(bytes);
    ++asked;
    if (interval != Duration::zero()) ++paced;
    return interval;
  }
};
struct CountedPolicy : DefaultPolicy {
  using Congestion = Counted;
};

struct Outcome {
  int soon = 0;  // turns after which the flow had a deadline less than half a round trip away
  std::size_t delivered = 0;
};

/// A flow that only sends, and that often: its probe is more than a round trip away and it owes no
/// acknowledgement, so what comes sooner is its pace.
Outcome send(CongestionKind kind, int messages_per_turn) {
  Counted::asked = Counted::paced = 0;
  EngineOptions options;
  options.flow.congestion = kind;
  World<CountedPolicy> world{options};
  REQUIRE(world.b.engine.listen(0, 7000));
  const FlowKey key = world.connect();
  const std::string text(1000, 'x');
  Outcome out;
  for (int turn = 0; turn < 2000; ++turn) {
    for (int i = 0; i < messages_per_turn; ++i)
      (void)world.a.engine.submit(world.now, key, world.a.side.message(0, text), false);
    world.run(1us);
    world.a.engine.for_each_flow([&](FlowKey, AppCookie, const auto& flow) {
      if (flow.next_timeout() < world.now + 20us) ++out.soon;
    });
    out.delivered += world.b.side.take(FlowEventKind::message).size();
  }
  return out;
}

}  // namespace

TEST_CASE("An uncongested flow never puts an entry into the wheel for pacing", "[pacing]") {
  for (const int messages_per_turn : {1, 2}) {  // 8 and 16 Gbit/s of 25
    const Outcome got = send(CongestionKind::swift, messages_per_turn);
    CAPTURE(messages_per_turn);
    CHECK(got.delivered >= 1000);
    CHECK(Counted::asked >= 1000);
    CHECK(Counted::paced == 0);
    CHECK(got.soon == 0);
  }
}

TEST_CASE("A congested flow does, and one whose controller always paces", "[pacing]") {
  for (const CongestionKind kind : {CongestionKind::swift, CongestionKind::cubic}) {
    const Outcome got = send(kind, 4);  // 32 Gbit/s of 25
    CAPTURE(static_cast<int>(kind));
    CHECK(Counted::paced > 0);
    CHECK(got.soon > 0);
  }
}
