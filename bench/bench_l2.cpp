// bench: what a wire carries without any stack, two processes with one DPDK port each.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "harness.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa::bench;

Case case_for(const Bench& bench, const Options& options, const Wire& wire, RawSetup setup) {
  setup.seconds = options.seconds;
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  constexpr const char* names[] = {"echo", "one way", "bulk"};
  Labels labels{
      .name = fmt::format("raw {} {} B", names[static_cast<std::size_t>(setup.kind)], setup.size),
      .wire = wire.name(),
      .placement = "raw-l2",
      .size = setup.size,
      .has_size = true,
      .window = setup.kind == RawKind::one_way ? 0 : setup.window};
  if (labels.window != 0) labels.name += fmt::format(", window {}", labels.window);
  return {std::move(labels), [&wire, setup] { return measure_raw(wire, setup); }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_l2",
               .question = "What does the wire itself carry, without any stack?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  options.sizes = {64, 1024};
  options.windows = {1, 64};
  std::uint32_t mtu = 1500;
  std::uint32_t bulk_window = 128;
  bench.option("--mtu", mtu, "bytes", "largest packet; bulk frames are 14 bytes more");
  bench.option("--bulk-window", bulk_window, "frames", "frames outstanding in bulk");
  std::vector<std::string> kinds{"echo", "one-way", "bulk"};
  bench.option("--kind", kinds, "NAME,...", "traffic to measure");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  for (const auto size : options.sizes)
    if (size < 60 || size > mtu + 14) {
      bench.say(fmt::format("--size: frames have 60 to {} bytes here", mtu + 14));
      return 2;
    }
  auto wire = Wire::make(options.wire, mtu);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  const auto wanted = [&](std::string_view kind) {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  };
  std::vector<Case> cases;
  for (const auto size : options.sizes) {
    for (const auto window : options.windows)
      if (wanted("echo"))
        cases.push_back(case_for(bench, options, *wire,
                                 {.kind = RawKind::echo, .size = size, .window = window}));
    if (wanted("one-way"))
      cases.push_back(case_for(bench, options, *wire, {.kind = RawKind::one_way, .size = size}));
  }
  if (wanted("bulk"))
    cases.push_back(case_for(bench, options, *wire,
                             {.kind = RawKind::bulk, .size = mtu + 14, .window = bulk_window}));
  bench.measure(cases);
  return bench.finish();
}
