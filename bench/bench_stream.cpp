// bench: small messages one way, beside the raw one-way rate of frames of the same size.
#include <fmt/format.h>

#include <algorithm>

#include "harness.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

void add_cases(std::vector<Case>& cases, const Bench& bench, const Options& options,
               const Wire& wire, std::uint32_t size, StackSetup setup) {
  const RawSetup raw{.kind = RawKind::one_way,
                     .size = std::max(size, 60U),
                     .window = 0,
                     .seconds = options.seconds,
                     .core_a = bench.core(0),
                     .core_b = bench.core(1)};
  Labels labels{.name = fmt::format("raw {} B", size),
                .wire = wire.name(),
                .placement = "raw-l2",
                .size = size,
                .has_size = true};
  cases.push_back({labels, [&wire, raw] { return measure_raw(wire, raw); }});
  setup.size = size;
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  labels.reference = labels.name;
  labels.name = fmt::format("in-process {} B", size);
  labels.placement = "in-process";
  cases.push_back({labels, [&wire, setup] { return measure_stacks(wire, setup); }});
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_stream",
               .question = "How many small messages per second go one way?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  options.sizes = {64};
  std::uint32_t mtu = 1500;
  StackSetup setup{.kind = StackKind::stream, .window = 0, .verify = false};
  bench.option("--mtu", mtu, "bytes", "largest IP packet");
  bench.option("--stack", setup.options, "text", "further options of both stacks");
  bench.flag("--verify", setup.verify, "compare every message with what was sent");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  for (const auto size : options.sizes)
    if (size > mtu + 14) {
      bench.say(fmt::format("--size: a raw frame has at most {} bytes here", mtu + 14));
      return 2;
    }
  setup.seconds = options.seconds;
  const auto wire = Wire::make(options.wire, mtu);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  std::vector<Case> cases;
  for (const auto size : options.sizes) add_cases(cases, bench, options, *wire, size, setup);
  bench.measure(cases);
  return bench.finish();
}
