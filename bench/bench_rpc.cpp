// bench: round trips and echo rates of Proa by wire, size and window, beside the raw wire.
#include <fmt/format.h>

#include <algorithm>

#include "harness.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

constexpr std::uint32_t frame_bytes_min = 60;

std::string raw_name(std::uint32_t size, std::uint32_t window) {
  return fmt::format("raw {} B, window {}", size, window);
}

/// Frames as large as the message, one per message: nothing of Proa's headers, nothing packed.
Case raw_case(const Bench& bench, const Options& options, const Wire& wire, std::uint32_t size,
              std::uint32_t window) {
  const RawSetup setup{.kind = RawKind::echo,
                       .size = std::max(size, frame_bytes_min),
                       .window = window,
                       .seconds = options.seconds,
                       .core_a = bench.core(0),
                       .core_b = bench.core(1)};
  Labels labels{.name = raw_name(size, window),
                .wire = wire.name(),
                .placement = "raw-l2",
                .size = size,
                .has_size = true,
                .window = window};
  return {std::move(labels), [&wire, setup] { return measure_raw(wire, setup); }};
}

Case stack_case(const Bench& bench, const Wire& wire, const StackSetup& setup, bool has_reference) {
  Labels labels{.name = fmt::format("in-process {} B, window {}", setup.size, setup.window),
                .wire = wire.name(),
                .placement = "in-process",
                .size = setup.size,
                .has_size = true,
                .window = setup.window};
  if (has_reference) labels.reference = raw_name(setup.size, setup.window);
  StackSetup pinned = setup;
  pinned.core_a = bench.core(0);
  pinned.core_b = bench.core(1);
  return {std::move(labels), [&wire, pinned] { return measure_stacks(wire, pinned); }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_rpc",
               .question = "How long is a round trip, and how many echoes are there per second?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  options.sizes = {64, 1024};
  options.windows = {1, 64};
  std::uint32_t mtu = 1500;
  StackSetup setup;
  bool no_verify = false;
  bench.option("--mtu", mtu, "bytes", "largest IP packet");
  bench.option("--flows", setup.flows, "flows", "flows at a time, each with its own window");
  bench.option("--stack", setup.options, "text", "further options of both stacks");
  bench.flag("--wait", setup.wait, "sleep when there is nothing to do, instead of polling");
  bench.flag("--no-verify", no_verify, "do not compare replies with what was sent");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  setup.verify = !no_verify;
  setup.seconds = options.seconds;
  const auto wire = Wire::make(options.wire, mtu);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  std::vector<Case> cases;
  for (const auto size : options.sizes)
    for (const auto window : options.windows) {
      setup.size = size;
      setup.window = window;
      const bool one_frame = size <= mtu + 14;
      if (one_frame)
        cases.push_back(raw_case(bench, options, *wire, size, window * setup.flows));
      else
        bench.say(fmt::format("{} B: no raw reference, one frame does not hold it", size));
      cases.push_back(stack_case(bench, *wire, setup, one_frame));
    }
  bench.measure(cases);
  return bench.finish();
}
