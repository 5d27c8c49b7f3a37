// The deterministic world, first level: the product's flows between two hosts.
#include "sim_main.hpp"
#include "transport_traits.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

struct UdpChecksumPolicy : DefaultTransportPolicy {
  using Integrity = UdpChecksum;
};

struct Totals {
  std::uint64_t trace = 0, messages = 0;
  double virtual_s = 0;
  std::array<std::uint64_t, mode_names.size()> modes{};
  std::array<std::uint64_t, 3> controllers{};
  std::uint64_t udp_checksum = 0;
  WireCounters wire;
};

void add(Totals& t, const Plan& plan, const Outcome& o) {
  t.trace ^= o.trace * (plan.seed | 1U);
  t.messages += o.messages;
  t.virtual_s += seconds(o.ended);
  ++t.modes[static_cast<std::size_t>(plan.mode)];
  ++t.controllers[static_cast<std::size_t>(plan.congestion)];
  t.udp_checksum += plan.udp_checksum ? 1 : 0;
  t.wire.sent += o.wire.sent;
  t.wire.bytes += o.wire.bytes;
  t.wire.lost += o.wire.lost;
  t.wire.duplicated += o.wire.duplicated;
  t.wire.corrupted += o.wire.corrupted;
  t.wire.reordered += o.wire.reordered;
  t.wire.overflowed += o.wire.overflowed;
  t.wire.too_big += o.wire.too_big;
  t.wire.clogged += o.wire.clogged;
}

void print(const Totals& t, std::uint64_t count, double wall_s) {
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf("%llu seeds, trace %016llx, %.1f virtual s in %.1f s\n", n(count), n(t.trace),
              t.virtual_s, wall_s);
  std::printf(
      "%llu messages, %llu packets (%llu MB): %llu lost, %llu repeated, %llu corrupted, "
      "%llu reordered, %llu overflowed, %llu too big for their path, %llu clogged\n",
      n(t.messages), n(t.wire.sent), n(t.wire.bytes >> 20U), n(t.wire.lost), n(t.wire.duplicated),
      n(t.wire.corrupted), n(t.wire.reordered), n(t.wire.overflowed), n(t.wire.too_big),
      n(t.wire.clogged));
  for (std::size_t i = 0; i < t.modes.size(); ++i)
    std::printf("%s%s %llu", i == 0 ? "" : ", ", mode_names[i], n(t.modes[i]));
  std::printf("; Swift %llu, Cubic %llu, FixedWindow %llu; UDP checksum %llu\n",
              n(t.controllers[0]), n(t.controllers[1]), n(t.controllers[2]), n(t.udp_checksum));
}

template <class Policy>
Outcome play(const Plan& plan, const RunOptions& options) {
  return World<TransportTraits<Policy>>(plan, options).run();
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments) || !arguments.pcap.empty()) return usage("sim_world", false);
  Totals totals;
  const auto run = [&](std::uint64_t seed) {
    const Plan plan = make_plan(seed);
    const RunOptions options{arguments.trace, arguments.audit_every};
    const Outcome outcome = plan.udp_checksum ? play<UdpChecksumPolicy>(plan, options)
                                              : play<DefaultTransportPolicy>(plan, options);
    add(totals, plan, outcome);
    std::string failure = outcome.failure;
    if (!failure.empty())
      failure = mode_names[static_cast<std::size_t>(plan.mode)] + (": " + failure);
    return Verdict{failure, outcome.trace, outcome.ended};
  };
  return run_seeds("sim_world", arguments, run,
                   [&](double wall_s) { print(totals, arguments.count, wall_s); });
}
