// bench: 8 MiB messages one way, beside raw frames with one copy from and to an 8 MiB buffer.
#include <fmt/format.h>

#include "harness.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

void add_cases(std::vector<Case>& cases, const Bench& bench, const Options& options,
               const Wire& wire, std::uint32_t raw_window, StackSetup setup) {
  const RawSetup raw{.kind = RawKind::bulk,
                     .size = wire.mtu() + 14,
                     .window = raw_window,
                     .seconds = options.seconds,
                     .core_a = bench.core(0),
                     .core_b = bench.core(1)};
  Labels labels{.name = fmt::format("raw, packets of {} B", wire.mtu()),
                .wire = fmt::format("{}, mtu {}", wire.name(), wire.mtu()),
                .placement = "raw-l2",
                .size = setup.size,
                .has_size = true,
                .window = raw_window};
  cases.push_back({labels, [&wire, raw] { return measure_raw(wire, raw); }});
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  labels.reference = labels.name;
  labels.name = fmt::format("in-process, packets of {} B", wire.mtu());
  labels.placement = "in-process";
  labels.window = setup.window;
  cases.push_back({labels, [&wire, setup] { return measure_stacks(wire, setup); }});
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_bulk",
               .question = "How fast do large messages go one way?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  std::vector<std::string> mtus{"1500", "9000"};
  std::uint32_t raw_window = 128;
  StackSetup setup{.kind = StackKind::stream, .size = 8U << 20U, .window = 2, .verify = false};
  bench.option("--mtu", mtus, "bytes,...", "largest IP packets");
  bench.option("--message", setup.size, "bytes", "message size");
  bench.option("--messages-outstanding", setup.window, "messages", "not yet acknowledged ones");
  bench.option("--raw-window", raw_window, "frames", "raw frames outstanding");
  bench.option("--stack", setup.options, "text", "further options of both stacks");
  bench.flag("--verify", setup.verify, "compare every message with what was sent");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  setup.seconds = options.seconds;
  std::vector<Wire> wires;
  for (const auto& text : mtus) {
    const auto mtu = static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
    if (mtu < 1280 || mtu > 9000) {
      bench.say("--mtu: expected 1280 to 9000 bytes");
      return 2;
    }
    auto wire = Wire::make(options.wire, mtu);
    if (!wire) {
      bench.say(wire.error());
      return 2;
    }
    wires.push_back(std::move(*wire));
  }
  std::vector<Case> cases;
  for (const auto& wire : wires) add_cases(cases, bench, options, wire, raw_window, setup);
  bench.measure(cases);
  return bench.finish();
}
