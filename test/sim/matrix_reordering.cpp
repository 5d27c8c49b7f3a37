// TEST-MATRIX A12, A13, A14: packets overtake each other, come twice or from another life, and
// acknowledgements do not come at all.
#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

Plan backlog_plan(std::uint64_t seed, CongestionKind congestion, std::uint32_t messages) {
  Plan plan = base_plan(seed);
  plan.congestion = congestion;
  add_messages(plan, client, messages, 8U << 20U);
  return plan;
}
void displace(Plan& plan, std::uint32_t packets) {
  plan.faults[server].displace_ppm = 10'000;
  plan.faults[server].displace_max = packets;
}
/// Goodput of a backlogged transfer with that loss of acknowledgements, as bits per nanosecond.
double goodput_without_acks(std::uint64_t seed, CongestionKind kind, std::uint32_t loss_ppm) {
  Plan plan = backlog_plan(seed, kind, 7);
  ProductScene scene{plan, run_options()};
  REQUIRE(scene.run_until([&] { return scene.app(server).established(); }, Instant{1s}));
  scene.wire().set_faults(client, random_loss(loss_ppm));
  const double rate = goodput(scene, 2);
  scene.conclude_early();
  return rate;
}

/// Everything a whole connection sent, with the side it was sent to.
struct Recorded {
  std::uint32_t to = 0;
  std::vector<std::byte> bytes;
};
std::vector<Recorded> record_a_life(const Plan& plan) {
  ProductScene scene{plan, run_options()};
  std::vector<Recorded> out;
  scene.wire().watch([&](const Passing& passing) {
    out.push_back({passing.to, {passing.bytes.begin(), passing.bytes.end()}});
    return false;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{1s}));
  scene.conclude();
  return out;
}

/// A connection like the one recorded, into which all of that comes again. Taking any of it for its
/// own is what Scene's oracle forbids.
void live_among(const Plan& plan, const std::vector<Recorded>& old_life) {
  ProductScene scene{plan, run_options()};
  REQUIRE(scene.run_until(
      [&] { return scene.app(client).established() && scene.app(server).established(); },
      Instant{1s}));
  Prng prng{plan.seed ^ 0x6f6c'64U};
  for (const auto& packet : old_life)
    scene.wire().inject(scene.now() + Duration{static_cast<std::int64_t>(prng.below(1'000'000))},
                        packet.to, 0, packet.bytes);
  scene.run_for(2ms);
  REQUIRE(scene.everything_arrived());
  CHECK(scene.flow(client)->info().resent_bytes == 0);
  CHECK(scene.flow(server)->info().resent_bytes == 0);
  scene.conclude();
}

}  // namespace

TEST_CASE("1 % of the packets displaced by up to 64: at most 0.1 % is sent again",
          "[A12][rfc8985-6.2]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window})
    for (const auto seed : seeds(4, 20)) {
      INFO("PROA_SIM_SEED=" << seed);
      Plan plan = backlog_plan(seed, kind, 4);
      displace(plan, 64);
      ProductScene scene{plan, run_options()};
      REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{5s}));
      const FlowInfo info = scene.flow(client)->info();
      CHECK(scene.wire().counters().reordered > info.packets_sent / 200);
      CHECK(info.resent_bytes * 1000 <= std::uint64_t{4} * (8U << 20U));
      scene.conclude();
    }
}

TEST_CASE("1 % displaced by up to 512: at most one resend for each, goodput at least 80 %",
          "[A12][rfc8985-6.2]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window})
    for (const auto seed : seeds(4, 20)) {
      INFO("PROA_SIM_SEED=" << seed);
      Plan plan = backlog_plan(seed, kind, 8);
      ProductScene in_order{plan, run_options()};
      const double best = goodput(in_order, 3);
      REQUIRE(best > 0);
      in_order.conclude_early();
      displace(plan, 512);
      ProductScene scene{plan, run_options()};
      const double rate = goodput(scene, 3);
      REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{5s}));
      const FlowInfo info = scene.flow(client)->info();
      CHECK(info.resent_bytes <= scene.wire().counters().reordered * plan.packet_bytes);
      CHECK(info.packets_lost <= scene.wire().counters().reordered);
      CHECK(rate >= 0.8 * best);
      scene.conclude();
    }
}

TEST_CASE("every message comes once when packets come twice", "[A13]") {
  for (const std::uint32_t ppm : {1'000U, 500'000U}) {
    std::uint64_t sent = 0, duplicated = 0;  // a single run sends too few to ask at 0.1 %
    for (const auto seed : seeds(10, 100)) {
      INFO("PROA_SIM_SEED=" << seed << ", " << ppm << " ppm");
      Plan plan = base_plan(seed);
      add_messages(plan, client, 1, 1'000'000);
      add_messages(plan, client, 1000, 1000);
      for (auto& faults : plan.faults) {
        faults.duplicate_ppm = ppm;
        faults.reorder_ppm = 100'000;  // so that the second is not always right behind the first
        faults.reorder_max = 100us;
      }
      ProductScene scene{plan, run_options()};
      REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{1s}));
      sent += scene.wire().counters().sent;
      duplicated += scene.wire().counters().duplicated;
      scene.conclude();
    }
    CHECK(duplicated > sent * ppm / 2'000'000);
  }
}

TEST_CASE("a whole old incarnation comes again and is ignored", "[A13]") {
  for (const auto seed : seeds(10, 100)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = base_plan(seed);
    add_messages(plan, client, 100, 1000);
    add_messages(plan, server, 100, 1000, 10us);
    const auto old_life = record_a_life(plan);
    plan.incarnation = 1;
    live_among(plan, old_life);
  }
}

TEST_CASE("an old incarnation with the same flow ids is ignored by its packet numbers", "[A13]") {
  for (const auto seed : seeds(10, 100)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = base_plan(seed);
    add_messages(plan, client, 100, 1000);
    add_messages(plan, server, 100, 1000, 10us);
    plan.first_number = 0xffff'fff0U;
    auto old_life = record_a_life(plan);
    // The SYN names its incarnation, which is the same here: it is this one's as far as one can
    // tell.
    while (!old_life.empty() &&
           look_at({{}, 0, 0, 0, old_life.front().bytes}).type == PacketType::syn)
      old_life.erase(old_life.begin());
    for (const std::uint32_t away : {(1U << 20U) + 600, 0x8000'0000U, 0U - (1U << 20U) - 600}) {
      INFO("packet numbers away by " << away);
      plan.first_number = 0xffff'fff0U + away;
      live_among(plan, old_life);
    }
  }
}

TEST_CASE("only acknowledgements are lost: half of them cost at most half of the goodput",
          "[A14]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window})
    for (const auto seed : seeds(2, 20)) {
      INFO("PROA_SIM_SEED=" << seed);
      const double best = goodput_without_acks(seed, kind, 0);
      REQUIRE(best > 0);
      for (std::uint32_t tenths = 1; tenths <= 5; ++tenths) {
        INFO(tenths << "0 % of the acknowledgements lost");
        CHECK(goodput_without_acks(seed, kind, tenths * 100'000) >= 0.5 * best);
      }
    }
}

TEST_CASE("a transfer completes although up to 90 % of the acknowledgements are lost", "[A14]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window})
    for (const auto seed : seeds(4, 20))
      for (std::uint32_t tenths = 6; tenths <= 9; ++tenths) {
        INFO("PROA_SIM_SEED=" << seed << ", " << tenths << "0 % of the acknowledgements lost");
        ProductScene scene{backlog_plan(seed, kind, 2), run_options()};
        REQUIRE(scene.run_until([&] { return scene.app(server).established(); }, Instant{1s}));
        scene.wire().set_faults(client, random_loss(tenths * 100'000));
        CHECK(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 10s));
        scene.conclude();
      }
}
