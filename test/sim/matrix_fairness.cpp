// What flows of one bottleneck get beside each other: fairness, convergence, different controllers
// and round trips. A table to look at, with bounds that a broken controller would miss.
#include <array>
#include <cstdio>

#include <catch2/catch.hpp>

#include "incast.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

struct Sharing {
  std::vector<CongestionKind> senders;
  std::vector<Duration> longer;  // by sender: what its round trip has above 40 us
  double queue_bdp = 1;
  Duration settles = 20ms, time = 40ms;
  bool last_joins = false;  // the last sender begins when the others have settled
};
/// Of a sender that joins the others.
struct Joined {
  Duration half_after{};  // from its first message until a step brings half of its fair share
  double later = 0;       // its part of the fair share in the time after that
};
struct Shares {
  std::vector<double> parts;  // of the link's rate, by sender
  double jain = 0, goodput = 0;
  Duration settled_after{};  // from the first message until a step's Jain index is 0.9; 0: never
};

/// Every sender always has something to send.
class SharedLink {
 public:
  SharedLink(const Sharing& sharing, std::uint64_t seed)
      : sharing_(sharing), world_(hosts(sharing), options(sharing, seed)) {
    SimLinkOptions bottleneck = world_.port_of(0).options().link;
    bottleneck.queue_limit = ByteCount{static_cast<std::uint64_t>(sharing.queue_bdp * bdp_bytes)};
    world_.port_of(0).set_link(bottleneck);
    for (std::uint32_t i = 1; i < hosts(sharing); ++i) {
      if (i <= sharing.longer.size()) {
        SimLinkOptions link = world_.port_of(i).options().link;
        link.delay += sharing.longer[i - 1] / 2;
        world_.port_of(i).set_link(link);
      }
      LoadFlowOptions flow;
      flow.from = i;
      flow.message_bytes = 64U << 10U;
      flow.outstanding = 64;
      flow.start = never;
      world_.add(flow);
    }
    world_.start_together();
    if (sharing.last_joins)
      world_.flow(sharing.senders.size() - 1).options.start = world_.now() + sharing.settles;
  }
  Joined join(Duration limit) {
    Joined out;
    world_.run_for(sharing_.settles);
    out.half_after = limit;
    for (Duration at = step(); at < limit && out.half_after == limit; at += step())
      if (last_of_fair(step()) >= 0.5) out.half_after = at;
    out.later = last_of_fair(sharing_.time);
    world_.converge();
    return out;
  }
  Shares measure() {
    Shares out;
    for (Duration at = step(); at <= sharing_.settles; at += step()) {
      const double jain = jain_index(delivered_in(step()));
      if (jain >= 0.9 && out.settled_after == Duration::zero()) out.settled_after = at;
    }
    out.parts = delivered_in(sharing_.time);
    out.jain = jain_index(out.parts);
    for (double& part : out.parts) {
      part *= 8 / seconds_of(sharing_.time) / base_bits_per_second;
      out.goodput += part;
    }
    world_.converge();
    return out;
  }

 private:
  static std::uint32_t hosts(const Sharing& sharing) {
    return static_cast<std::uint32_t>(sharing.senders.size()) + 1;
  }
  static LoadOptions options(const Sharing& sharing, std::uint64_t seed) {
    LoadOptions out;
    out.seed = seed;
    out.congestion = sharing.senders;
    out.congestion.insert(out.congestion.begin(), CongestionKind::swift);  // the receiver
    return out;
  }
  /// So many messages a step that whole ones are a fair measure.
  [[nodiscard]] Duration step() const {
    return std::max<Duration>(1ms, static_cast<std::int64_t>(sharing_.senders.size()) * 200us);
  }
  /// What the last sender gets through, as a part of all senders' mean.
  double last_of_fair(Duration time) {
    const std::vector<double> parts = delivered_in(time);
    double sum = 0;
    for (const double part : parts) sum += part;
    return parts.back() * static_cast<double>(parts.size()) / sum;
  }
  std::vector<double> delivered_in(Duration time) {
    std::vector<double> before, got;
    for (const LoadFlow& flow : world_.flows())
      before.push_back(static_cast<double>(flow.delivered_bytes));
    world_.run_for(time);
    for (std::size_t i = 0; i < before.size(); ++i)
      got.push_back(static_cast<double>(world_.flows()[i].delivered_bytes) - before[i]);
    return got;
  }

  const Sharing sharing_;
  LoadWorld<> world_;
};

Shares shares_of(const Sharing& sharing, std::uint64_t seed) {
  return SharedLink(sharing, seed).measure();
}
double percent(double part) { return 100 * part; }

}  // namespace

TEST_CASE("2, 8 and 100 flows of one controller share a queue of 1 BDP", "[fairness]") {
  constexpr std::array<const char*, 3> names{"Swift", "Cubic", "FixedWindow"};
  std::printf("controller   flows  Jain  goodput  fair after\n");
  for (const CongestionKind kind :
       {CongestionKind::swift, CongestionKind::cubic, CongestionKind::fixed_window})
    for (const std::uint32_t flows : {2U, 8U, 100U})
      for (const auto seed : seeds(1, 5)) {
        if (in_brief() && flows == 100) continue;
        Sharing sharing;
        sharing.senders.assign(flows, kind);
        const Shares got = shares_of(sharing, seed);
        const char* name = names[static_cast<std::size_t>(kind)];
        std::printf("%-12s %5u  %.2f  %5.0f %%  %6.0f ms\n", name, flows, got.jain,
                    percent(got.goodput), seconds_of(got.settled_after) * 1e3);
        CAPTURE(name, flows, seed);
        CHECK(got.goodput >= 0.75);
        // A fixed window is for links of one application: it only has to get its data through, and
        // what the index is then the README's table says.
        if (kind == CongestionKind::fixed_window) {
          CHECK(got.jain >= 0.1);
          continue;
        }
        CHECK(got.jain >= 0.9);
        CHECK(got.settled_after != Duration::zero());
        CHECK(got.settled_after <= (flows == 100 ? 40ms : 10ms));
      }
}

TEST_CASE("a flow that joins settled ones soon has half of its share and keeps it",
          "[fairness][joins]") {
  std::printf("controller  others  half of its share after  later, of its share\n");
  for (const CongestionKind kind : {CongestionKind::swift, CongestionKind::cubic})
    for (const std::uint32_t others : {1U, 7U, 99U})
      for (const auto seed : seeds(1, 5)) {
        if (others == 99 && !in_full() && kind != CongestionKind::swift) continue;
        if (others == 99 && in_brief()) continue;
        Sharing sharing;
        sharing.senders.assign(others + 1, kind);
        sharing.last_joins = true;
        const Joined got = SharedLink(sharing, seed).join(100ms);
        const char* name = kind == CongestionKind::swift ? "Swift" : "Cubic";
        std::printf("%-11s %6u %20.0f ms %17.0f %%\n", name, others,
                    seconds_of(got.half_after) * 1e3, percent(got.later));
        CAPTURE(name, others, seed);
        // A step of 100 flows is 20 ms.
        const Duration soon = others == 99 ? 40ms : kind == CongestionKind::swift ? 3ms : 20ms;
        CHECK(got.half_after <= soon);
        CHECK(got.later >= 0.5);
        CHECK(got.later <= 1.5);
      }
}

TEST_CASE("Swift beside Cubic, by the length of the queue", "[fairness]") {
  std::printf("queue   Swift  Cubic\n");
  for (const double queue_bdp : {0.2, 1.0, 5.0})
    for (const auto seed : seeds(1, 5)) {
      Sharing sharing;
      sharing.senders = {CongestionKind::swift, CongestionKind::cubic};
      sharing.queue_bdp = queue_bdp;
      const Shares got = shares_of(sharing, seed);
      std::printf("%.1f BDP  %3.0f %%  %3.0f %%\n", queue_bdp, percent(got.parts[0]),
                  percent(got.parts[1]));
      CAPTURE(queue_bdp, seed);
      CHECK(got.goodput >= 0.85);
    }
}

namespace {

/// Two flows of one controller; prints the shares of the link.
Shares with_longer(CongestionKind kind, Duration longer, std::uint64_t seed) {
  Sharing sharing;
  sharing.senders = {kind, kind};
  sharing.longer = {Duration{}, longer};
  sharing.queue_bdp = 5;
  const Shares got = shares_of(sharing, seed);
  std::printf("%14.0f us  %4.0f %%  %4.0f %%\n", seconds_of(longer) * 1e6 + 40,
              percent(got.parts[0]), percent(got.parts[1]));
  return got;
}

}  // namespace

TEST_CASE("Swift and Cubic at round trips of 40 us beside longer ones, queue of 5 BDP",
          "[fairness]") {
  for (const CongestionKind kind : {CongestionKind::swift, CongestionKind::cubic}) {
    std::printf("%s\nlonger round trip  40 us  the longer one\n",
                kind == CongestionKind::swift ? "Swift" : "Cubic");
    for (const Duration longer : {Duration{40us}, Duration{120us}, Duration{400us}})
      for (const auto seed : seeds(1, 5)) {
        const Shares got = with_longer(kind, longer, seed);
        CAPTURE(kind, longer.count(), seed);
        CHECK(got.goodput >= 0.85);
        // CUBIC below RFC 9438's cubic region grows as Reno does: by packets per round trip.
        const double least = kind == CongestionKind::swift ? 0.2 : 0.1;
        CHECK(std::min(got.parts[0], got.parts[1]) >= least);
      }
  }
}
