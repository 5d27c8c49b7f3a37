// TEST-MATRIX A5, A6: nothing gets through, for a while or for ever.
#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr Duration round_trip = 40us;

struct Hole {
  Duration length;
  std::array<bool, 2> direction;  // towards the client, towards the server
};

/// A backlogged transfer that falls silent in the middle.
Plan outage_plan(std::uint64_t seed, const Hole& hole, CongestionKind congestion) {
  Plan plan = base_plan(seed);
  plan.congestion = congestion;
  add_messages(plan, client, 5, 4U << 20U);
  Prng prng{seed};
  const Instant from = Instant{3ms + Duration{static_cast<std::int64_t>(prng.below(1'000'000))}};
  plan.blackholes.push_back({from, from + hole.length, hole.direction});
  return plan;
}

struct Resumption {
  Duration allowed{};  // the backed-off probe timeout in force when the hole ended, + 1 round trip
  Duration took{};
  std::uint32_t in_flight_bytes = 0;
  std::uint64_t probes = 0, resent_bytes = 0;
};

/// How the sender came out of the plan's black hole.
Resumption resume(ProductScene& scene) {
  const Blackhole& hole = scene.plan().blackholes.front();
  Resumption out;
  (void)scene.run_until([] { return false; }, hole.from);
  const FlowInfo before = scene.flow(client)->info();
  (void)scene.run_until([] { return false; }, hole.to);
  const FlowInfo in_hole = scene.flow(client)->info();
  out.in_flight_bytes = in_hole.in_flight_bytes;
  const auto probes = static_cast<std::uint32_t>(in_hole.probes - before.probes);
  out.allowed = expected_probe_wait(in_hole, probes) + round_trip;
  // What was on its way when the hole ended is no sign of life yet: only an answer is.
  const auto heard = [&] {
    return scene.flow(client)->info().packets_received > in_hole.packets_received;
  };
  REQUIRE(scene.run_until(heard, hole.to + 2s));
  out.took = scene.now() - hole.to;
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, hole.to + 2s));
  const FlowInfo after = scene.flow(client)->info();
  out.probes = after.probes - before.probes;
  out.resent_bytes = after.resent_bytes - before.resent_bytes;
  return out;
}

}  // namespace

TEST_CASE("after a black hole a transfer resumes within the current probe timeout and 1 RTT",
          "[A5][rfc9002-6.2.1]") {
  for (const auto kind :
       {CongestionKind::swift, CongestionKind::cubic, CongestionKind::fixed_window})
    for (const std::int64_t round_trips : {2, 20, 200})
      for (const auto& direction :
           std::array<std::array<bool, 2>, 3>{{{false, true}, {true, false}, {true, true}}})
        for (const auto seed : seeds(4, 50)) {
          INFO("PROA_SIM_SEED=" << seed << ", " << round_trips << " RTT, towards client "
                                << direction[0] << ", server " << direction[1] << ", controller "
                                << static_cast<int>(kind));
          ProductScene scene{outage_plan(seed, {round_trips * round_trip, direction}, kind),
                             run_options()};
          const Resumption resumption = resume(scene);
          CHECK(resumption.took <= resumption.allowed);
          CHECK(resumption.resent_bytes <=
                resumption.in_flight_bytes + resumption.probes * scene.plan().packet_bytes);
          scene.conclude();
        }
}

TEST_CASE("a partition longer than the idle limit: both applications are told why in time",
          "[A6]") {
  for (const auto seed : seeds(10, 100)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = base_plan(seed);
    Prng prng{seed};
    // Busy when it happens, or idle: then keepalives are what is missed.
    const bool busy = seed % 2 == 0;
    add_messages(plan, client, busy ? 20 : 1, 1U << 20U);
    add_messages(plan, server, busy ? 20 : 1, 1U << 20U);
    ProductScene scene{plan, run_options()};
    const Duration at = busy
                            ? 2ms + Duration{static_cast<std::int64_t>(prng.below(2'000'000))}
                            : Duration{static_cast<std::int64_t>(prng.below(20'000'000'000))} + 5ms;
    (void)scene.run_until([] { return false; }, Instant{at});
    scene.wire().cut();
    const Instant cut = scene.now();
    REQUIRE(scene.run_until([&] { return scene.all_ended(); }, cut + plan.idle_limit + 1ms));
    for (const auto host : {client, server}) {
      CHECK(scene.app(host).established());
      CHECK(scene.app(host).reason() == Reason::idle_timeout);
    }
    scene.demand_rest();
  }
}
