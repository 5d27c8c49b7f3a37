// bench: how long it takes to set a flow up, how many packets, and how many set-ups per second.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "harness.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

std::string raw_name(std::uint32_t window) { return fmt::format("raw 1242 B, window {}", window); }

Case raw_case(const Bench& bench, const Options& options, const Wire& wire, std::uint32_t window) {
  const RawSetup setup{.kind = RawKind::echo,
                       .size = 1242,  // a SYN with its headers
                       .window = window,
                       .seconds = options.seconds,
                       .core_a = bench.core(0),
                       .core_b = bench.core(1)};
  Labels labels{.name = raw_name(window), .wire = wire.name(), .placement = "raw-l2"};
  labels.window = window;
  return {std::move(labels), [&wire, setup] { return measure_raw(wire, setup); }};
}

Case setup_case(const Bench& bench, const Wire& wire, StackSetup setup, std::uint32_t window) {
  setup.window = window;
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  Labels labels{.name = fmt::format("set-ups, window {}", window),
                .wire = wire.name(),
                .placement = "in-process"};
  labels.window = window;
  labels.reference = raw_name(window);
  return {std::move(labels), [&wire, setup] { return measure_stacks(wire, setup); }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_connect",
               .question = "How long does a set-up take, and how many are there per second?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  options.windows = {1, 64};
  StackSetup setup{.kind = StackKind::connect};
  bench.option("--stack", setup.options, "text", "further options of both stacks");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  setup.seconds = options.seconds;
  const auto wire = Wire::make(options.wire);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  std::vector<Case> cases;
  for (const auto window : options.windows) {
    cases.push_back(raw_case(bench, options, *wire, window));
    cases.push_back(setup_case(bench, *wire, setup, window));
  }
  bench.measure(cases);
  return bench.finish();
}
