// TEST-MATRIX A17: many hosts send to one; the sharing of its link is fair and nobody waits long.
#include <catch2/catch.hpp>

#include "incast.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// At least seven messages of each sender; start-up is among them.
IncastOptions incast(std::uint32_t senders, double queue_bdp, std::uint64_t seed) {
  IncastOptions out;
  out.seed = seed;
  out.senders = senders;
  out.queue_bdp = queue_bdp;
  out.time = senders < 32 ? 15ms : senders < 100 ? 30ms : 60ms;
  if (in_full()) out.time = 200ms;
  return out;
}

}  // namespace

TEST_CASE("8, 32 and 100 senders share a queue of 0.2, 1 and 5 BDP fairly", "[A17]") {
  for (const auto seed : seeds(1, 20))
    for (const std::uint32_t senders : {8U, 32U, 100U})
      for (const double queue_bdp : {0.2, 1.0, 5.0}) {
        if (in_brief() && senders == 100 && queue_bdp != 0.2) continue;
        const IncastResult got = run_incast(incast(senders, queue_bdp, seed));
        CAPTURE(seed, senders, queue_bdp, got.p50, got.longest, got.queue_drops, got.messages);
        const bool hardest = senders == 100 && queue_bdp == 0.2;
        CHECK(got.jain >= 0.9);
        CHECK(got.p99 <= (hardest ? 10.0 : 3.0));
        CHECK(got.goodput >= 0.8);
      }
}

TEST_CASE("senders that heed marks above a fifth of a BDP lose nothing in a queue of 5 BDP",
          "[A17][ecn]") {
  for (const auto seed : seeds(1, 20))
    for (const auto kind : {CongestionKind::swift, CongestionKind::cubic})
      for (const std::uint32_t senders : {8U, 32U}) {
        IncastOptions options = incast(senders, 5, seed);
        options.congestion = kind;
        options.ecn = true;
        const IncastResult got = run_incast(options);
        CAPTURE(seed, kind, senders, got.p50, got.longest, got.queue_drops, got.messages);
        CHECK(got.jain >= 0.9);
        CHECK(got.p99 <= 3.0);
        // Swift takes a mark for a round of twice its target: it yields more than Cubic.
        CHECK(got.goodput >= (kind == CongestionKind::swift ? 0.65 : 0.8));
        CHECK(got.queue_drops == 0);
        CHECK(got.packets_lost == 0);
        CHECK(got.marked > 0);
      }
}
