// TEST-MATRIX A7, A8, A10: exactly these packets are lost, and only they are sent again.
#include <algorithm>

#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr Duration round_trip = 40us;
constexpr std::uint32_t listed_messages = 20, listed_message_bytes = 3000;
// They are submitted at once: the last one waits so long for the link.
constexpr Duration burst = 21us;

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

/// One packet that did not get through, what it held, and when that was sent again.
struct Loss {
  SeenPacket packet;
  std::vector<CarriedPart> missing;  // of its message parts: not sent again yet
  Duration probe_wait{};             // of who has to notice, at most until it was sent again
  std::uint32_t before = 0;          // losses of this direction until then
  std::uint64_t probes = 0;          // of both sides, until then
  Instant later_at = never;          // one sent later arrives that shows the loss or says the same
  Instant sent_again = never;
};

struct ListedRun {
  std::vector<SeenPacket> packets;  // both directions, in order
  std::vector<Loss> losses;
  std::uint64_t carried_bytes = 0, lost_bytes = 0;  // of message parts
  std::uint64_t probes = 0;
  Instant done{};
};

/// What is left of `parts` when `gone` has been sent again.
std::vector<CarriedPart> without(const std::vector<CarriedPart>& parts, const CarriedPart& gone) {
  std::vector<CarriedPart> out;
  for (const CarriedPart& part : parts) {
    const std::uint32_t end = part.offset + part.length, gone_end = gone.offset + gone.length;
    const bool apart =
        part.message != gone.message || gone_end <= part.offset || gone.offset >= end;
    if (apart) out.push_back(part);
    if (!apart && gone.offset > part.offset)
      out.push_back({part.message, part.offset, gone.offset - part.offset});
    if (!apart && gone_end < end) out.push_back({part.message, gone_end, end - gone_end});
  }
  return out;
}
std::uint64_t bytes_of(const SeenPacket& packet) {
  std::uint64_t out = 0;
  for (const CarriedPart& part : packet.parts) out += part.length;
  return out;
}
std::uint64_t probes_of(const ProductScene& scene) {
  std::uint64_t out = 0;
  for (const auto host : {client, server})
    if (const auto* flow = scene.flow(host)) out += flow->info().probes;
  return out;
}

/// Whoever sent what is acknowledged has to notice: the sender of a lost packet, or the receiver of
/// a lost acknowledgement.
Duration wait_of(const Loss& loss, const ProductScene& scene) {
  const auto* flow = scene.flow(loss.packet.eliciting ? 1 - loss.packet.to : loss.packet.to);
  const FlowInfo info = flow->info();
  if (info.smoothed_rtt == Duration::zero()) return 1ms * (std::int64_t{1} << loss.before);
  return expected_probe_wait(info, loss.before);
}
/// What a packet sent after `loss` in the same direction means for it.
void note_later(Loss& loss, const SeenPacket& packet, bool lost, const ProductScene& scene) {
  if (packet.to != loss.packet.to || loss.sent_again != never) return;
  loss.probe_wait = std::max(loss.probe_wait, wait_of(loss, scene));
  const bool says_as_much = packet.eliciting || !loss.packet.eliciting;
  if (loss.packet.type == PacketType::data && says_as_much && !lost &&
      probes_of(scene) == loss.probes)
    loss.later_at = std::min(loss.later_at, packet.at);
  for (const CarriedPart& part : packet.parts) loss.missing = without(loss.missing, part);
  if (loss.missing.empty() && says_as_much) loss.sent_again = packet.at;
}

/// A short connection that loses the packets of that list, counted over both directions.
ListedRun run_listed(const std::vector<std::uint64_t>& list) {
  Plan plan = base_plan(1);
  add_messages(plan, client, listed_messages, listed_message_bytes);
  ProductScene scene{plan, run_options()};
  ListedRun out;
  scene.wire().watch([&](const Passing& passing) {
    const std::uint64_t index = out.packets.size();
    out.packets.push_back(look_at(passing));
    const SeenPacket& packet = out.packets.back();
    const bool lost = std::binary_search(list.begin(), list.end(), index);
    out.carried_bytes += bytes_of(packet);
    const auto before = static_cast<std::uint32_t>(
        std::count_if(out.losses.begin(), out.losses.end(),
                      [&](const Loss& l) { return l.packet.to == packet.to; }));
    for (Loss& loss : out.losses) note_later(loss, packet, lost, scene);
    if (!lost) return false;
    out.lost_bytes += bytes_of(packet);
    out.losses.push_back({packet, packet.parts, {}, before, probes_of(scene), never, never});
    out.losses.back().probe_wait = wait_of(out.losses.back(), scene);
    return true;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 1s));
  out.done = scene.now();
  out.probes = probes_of(scene);
  scene.wire().watch({});
  scene.conclude();
  return out;
}

/// Until it is sent again: by threshold if a later packet arrives (which is an eighth of a round
/// trip later at most, and answered at once because of the gap), else one probe timeout. A lost
/// acknowledgement is repeated when that probe has come.
Duration allowed_for(const Loss& loss) {
  if (loss.later_at != never) return loss.later_at - loss.packet.at + (round_trip + burst) * 9 / 8;
  return loss.packet.eliciting ? loss.probe_wait : loss.probe_wait + round_trip;
}

void judge_listed(const ListedRun& run, Instant without_loss) {
  bool all_by_threshold = true;
  Duration allowed{}, all_allowed{};
  for (const Loss& loss : run.losses) {
    CAPTURE(loss.packet.number, loss.packet.to, loss.packet.eliciting, loss.later_at != never);
    all_by_threshold = all_by_threshold && loss.later_at != never;
    allowed = allowed_for(loss);
    all_allowed += round_trip + allowed;
    REQUIRE(loss.sent_again != never);
    for (const Loss& other : run.losses)  // hides this one, or its repair
      if (&other != &loss && other.packet.at <= loss.sent_again)
        allowed += allowed_for(other) + round_trip;
    CHECK((loss.sent_again - loss.packet.at).count() <= allowed.count());
  }
  CHECK((run.done - without_loss).count() <= all_allowed.count());
  if (all_by_threshold) CHECK(run.probes == 0);
  // Nothing goes again but what was lost, and one packet a probe.
  const std::uint64_t again =
      run.carried_bytes - std::uint64_t{listed_messages} * listed_message_bytes;
  CHECK(again <= run.lost_bytes + run.probes * Plan{}.packet_bytes);
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
