// The deterministic world, second level: whole engines on simulated NICs.
#include "engine_world.hpp"
#include "sim_main.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

struct Totals {
  std::uint64_t trace = 0, messages = 0, steps = 0, frames = 0, retries = 0;
  double virtual_s = 0;
  std::array<std::uint64_t, fate_names.size()> fates{};
  std::array<std::uint64_t, 3> controllers{};  // by hosts
  std::uint64_t crashes = 0, over_ipv6 = 0, tagged = 0;
  std::uint64_t several = 0, several_crash = 0, new_hashes = 0;
  EngineOutcome sum;
};

void add(Totals& t, const EnginePlan& plan, const EngineOutcome& o) {
  t.trace ^= o.trace * (plan.seed | 1U);
  t.messages += o.messages;
  t.steps += o.steps;
  t.frames += o.frames;
  t.retries += o.retries;
  t.virtual_s += seconds(o.ended);
  t.sum.lost += o.lost;
  t.sum.repeated += o.repeated;
  t.sum.corrupted += o.corrupted;
  t.sum.reordered += o.reordered;
  t.sum.overflowed += o.overflowed;
  t.sum.cut += o.cut;
  t.sum.marked += o.marked;
  t.sum.handed_over += o.handed_over;
  t.sum.probes += o.probes;
  t.sum.path_changes += o.path_changes;
  t.sum.too_big += o.too_big;
  for (const CongestionKind kind : plan.congestion) ++t.controllers[static_cast<std::size_t>(kind)];
  t.sum.drops += o.drops;
  t.crashes += plan.crashes ? 1 : 0;
  t.several += plan.several_engines() ? 1 : 0;
  t.several_crash += plan.several_engines() && plan.crashes ? 1 : 0;
  for (const Incident& i : plan.incidents) t.new_hashes += i.kind == IncidentKind::new_hash ? 1 : 0;
  t.tagged += plan.vlan != no_vlan ? 1 : 0;
  for (std::uint32_t i = 0; i < plan.connections.size(); ++i)
    t.over_ipv6 += plan.over_ipv6(i) ? 1 : 0;
  for (const auto& c : plan.connections) ++t.fates[static_cast<std::size_t>(c.fate)];
}

void print(const Totals& t, std::uint64_t count, double wall_s) {
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf("%llu seeds, trace %016llx, %.1f virtual s in %.1f s\n", n(count), n(t.trace),
              t.virtual_s, wall_s);
  std::printf("%llu messages, %llu frames, %llu connects tried again, %llu runs with a crash\n",
              n(t.messages), n(t.frames), n(t.retries), n(t.crashes));
  std::printf("%llu lost, %llu repeated, %llu corrupted, %llu reordered, %llu overflowed\n",
              n(t.sum.lost), n(t.sum.repeated), n(t.sum.corrupted), n(t.sum.reordered),
              n(t.sum.overflowed));
  std::printf("%llu cut off by partitions, %llu marked CE, %llu too big for their path\n",
              n(t.sum.cut), n(t.sum.marked), n(t.sum.too_big));
  std::printf(
      "%llu runs with several engines (%llu of them with a crash), %llu new hashes: %llu handed "
      "over, %llu path probes, %llu paths changed\n",
      n(t.several), n(t.several_crash), n(t.new_hashes), n(t.sum.handed_over), n(t.sum.probes),
      n(t.sum.path_changes));
  std::printf("hosts with Swift %llu, Cubic %llu, FixedWindow %llu\n", n(t.controllers[0]),
              n(t.controllers[1]), n(t.controllers[2]));
  std::printf("refused on arrival:");
  for (std::size_t i = 1; i < drop_count; ++i)
    if (t.sum.drops[static_cast<Drop>(i)] != 0)
      std::printf(" %s %llu", std::string(text(static_cast<Drop>(i))).c_str(),
                  n(t.sum.drops[static_cast<Drop>(i)]));
  std::puts("");
  for (std::size_t i = 0; i < t.fates.size(); ++i)
    std::printf("%s%s %llu", i == 0 ? "" : ", ", fate_names[i], n(t.fates[i]));
  std::printf("; %llu over IPv6, %llu runs on a VLAN\n", n(t.over_ipv6), n(t.tagged));
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) return usage("sim_engines", true);
  auto sink = PcapSink::create(arguments.pcap.empty() ? "/dev/null" : arguments.pcap);
  if (!sink) {
    std::printf("%s\n", sink.error().c_str());
    return 2;
  }
  Totals totals;
  const auto run = [&](std::uint64_t seed) {
    const EnginePlan plan = make_engine_plan(seed);
    const auto outcome = std::make_unique<EngineWorld>(plan, *sink, arguments.audit_every)->run();
    add(totals, plan, outcome);
    return Verdict{outcome.failure, outcome.trace, outcome.ended};
  };
  const int done = run_seeds("sim_engines", arguments, run,
                             [&](double wall_s) { print(totals, arguments.count, wall_s); });
  const bool many = arguments.count >= 500;
  if (many && (totals.sum.handed_over == 0 || totals.sum.path_changes == 0)) {
    std::puts("no packet was handed over or no path was changed: these runs show nothing of it");
    return 1;
  }
  return done;
}
