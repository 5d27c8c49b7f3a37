// TEST-MATRIX A7, A8, A10: exactly these packets are lost, and only they are sent again.
#include <algorithm>

#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr Duration round_trip = 40us;

Plan ten_megabytes(CongestionKind congestion) {
  Plan plan = base_plan(1);
  plan.congestion = congestion;
  add_messages(plan, client, 2, 5'000'000);
  return plan;
}

/// Loses new message parts by `select(bytes of new parts sent so far)`, repetitions never.
template <class Select>
std::uint64_t lose_new_parts(ProductScene& scene, Select select) {
  SentParts sent;
  std::uint64_t offered = 0, lost = 0;
  scene.wire().watch([&](const Passing& passing) {
    if (passing.to != server) return false;
    const SeenPacket packet = look_at(passing);
    if (packet.parts.empty() || !sent.is_new(packet.parts.back())) return false;
    std::uint64_t bytes = 0;
    for (const auto& part : packet.parts) bytes += part.length;
    const bool drop = select(offered);
    offered += bytes;
    if (drop) lost += bytes;
    return drop;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 1s));
  scene.wire().watch({});
  return lost;
}

// ---- A10

constexpr std::uint32_t listed = 10;  // the first and the last so many packets of a connection

/// One packet that did not get through, and what its loss may cost.
struct Loss {
  SeenPacket packet;
  bool later_arrives =
      false;                 // one sent later in the same direction that says the same or shows it
  Duration probe_wait{};     // of the side that misses something, when it was lost
  std::uint64_t probes = 0;  // of both sides, until then
};

struct ListedRun {
  std::vector<SeenPacket> packets;  // both directions, in order
  std::vector<Loss> losses;
  std::uint64_t probes = 0;
  Instant done{};
};

/// Whoever sent what is acknowledged has to notice: the sender of a lost packet, or the receiver of
/// a lost acknowledgement. `before`: how often that happened already.
Duration wait_for(const ProductScene& scene, const SeenPacket& lost, std::uint32_t before) {
  const auto* flow = scene.flow(lost.eliciting ? 1 - lost.to : lost.to);
  if (flow->info().smoothed_rtt == Duration::zero()) return 1ms * (std::int64_t{1} << before);
  return expected_probe_wait(flow->info(), before);
}

std::uint64_t probes_of(const ProductScene& scene) {
  std::uint64_t out = 0;
  for (const auto host : {client, server})
    if (const auto* flow = scene.flow(host)) out += flow->info().probes;
  return out;
}

/// A short connection that loses the packets of that list, counted over both directions.
ListedRun run_listed(const std::vector<std::uint64_t>& list) {
  Plan plan = base_plan(1);
  add_messages(plan, client, 20, 3000);
  ProductScene scene{plan, run_options()};
  ListedRun out;
  scene.wire().watch([&](const Passing& passing) {
    const std::uint64_t index = out.packets.size();
    out.packets.push_back(look_at(passing));
    const SeenPacket& packet = out.packets.back();
    const bool lost = std::binary_search(list.begin(), list.end(), index);
    for (auto& loss : out.losses)
      if (loss.packet.type == PacketType::data && loss.packet.to == packet.to &&
          (packet.eliciting || !loss.packet.eliciting) && !lost && probes_of(scene) == loss.probes)
        loss.later_arrives = true;
    if (!lost) return false;
    const auto before = std::count_if(out.losses.begin(), out.losses.end(),
                                      [&](const Loss& l) { return l.packet.to == packet.to; });
    out.losses.push_back({packet, false,
                          wait_for(scene, packet, static_cast<std::uint32_t>(before)),
                          probes_of(scene)});
    return true;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 1s));
  out.done = scene.now();
  out.probes = probes_of(scene);
  scene.wire().watch({});
  scene.conclude();
  return out;
}

/// By threshold if a later packet arrives, else within one probe timeout.
void judge_listed(const ListedRun& run, Instant without_loss) {
  bool all_by_threshold = true;
  Duration allowed{};
  for (const Loss& loss : run.losses) {
    all_by_threshold = all_by_threshold && loss.later_arrives;
    allowed += round_trip + (loss.later_arrives ? round_trip : loss.probe_wait);
  }
  CHECK((run.done - without_loss).count() <= allowed.count());
  if (all_by_threshold) CHECK(run.probes == 0);
}

std::vector<std::uint64_t> first_and_last(std::uint64_t packets) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t i = 0; i < listed; ++i) out.push_back(i);
  for (std::uint64_t i = packets - listed; i < packets; ++i) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("one gap of 100 KB in 10 MB: what is sent again is at most 110 % of it", "[A7]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window}) {
    ProductScene scene{ten_megabytes(kind), run_options()};
    const std::uint64_t lost = lose_new_parts(
        scene, [](std::uint64_t offered) { return offered >= 4'000'000 && offered < 4'100'000; });
    CHECK(lost >= 100'000);
    CHECK(scene.flow(client)->info().resent_bytes <= lost * 110 / 100);
    scene.conclude();
  }
}

TEST_CASE("100 gaps of one packet in 10 MB: at most 105 packets are sent again", "[A8]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window}) {
    ProductScene scene{ten_megabytes(kind), run_options()};
    std::uint64_t gaps = 0, next = 0;
    (void)lose_new_parts(scene, [&](std::uint64_t offered) {
      if (offered < next || gaps == 100) return false;
      next = offered + 95'000;
      ++gaps;
      return true;
    });
    CHECK(gaps == 100);
    const FlowInfo info = scene.flow(client)->info();
    CHECK(info.packets_lost + info.probes <= 105);
    CHECK(info.resent_bytes <= std::uint64_t{105} * scene.plan().packet_bytes);
    scene.conclude();
  }
}

TEST_CASE("every single one of a connection's first and last ten packets is repaired in time",
          "[A10][rfc9002-6.1][rfc9002-6.2]") {
  const ListedRun whole = run_listed({});
  REQUIRE(whole.packets.size() > 3 * listed);
  for (const auto victim : first_and_last(whole.packets.size())) {
    INFO("lost: packet " << victim << " of " << whole.packets.size());
    const ListedRun run = run_listed({victim});
    REQUIRE(run.losses.size() == 1);
    judge_listed(run, whole.done);
  }
}

TEST_CASE("every pair of a connection's first and last ten packets is repaired in time",
          "[A10][rfc9002-6.1][rfc9002-6.2]") {
  const ListedRun whole = run_listed({});
  const auto victims = first_and_last(whole.packets.size());
  for (std::size_t i = 0; i < victims.size(); ++i)
    for (std::size_t j = i + 1; j < victims.size(); ++j) {
      INFO("lost: packets " << victims[i] << " and " << victims[j] << " of "
                            << whole.packets.size());
      judge_listed(run_listed({victims[i], victims[j]}), whole.done);
    }
}
