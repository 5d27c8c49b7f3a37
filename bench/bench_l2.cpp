// bench: what a wire carries without any stack, two processes with one DPDK port each.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"
#include "machine.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa::bench;

constexpr const char* line_name = "cache line there and back";
std::string copy_name(std::uint32_t size) { return fmt::format("memcpy of {} B", size); }

/// What no wire between two cores goes below.
Case cache_line_case(const Bench& bench) {
  Labels labels{.name = line_name, .placement = "cache-line", .window = 1};
  return {std::move(labels), [&bench]() -> tl::expected<Sample, std::string> {
            // There is one; on a busy machine it may belong to others for a while.
            const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
            double ns = 0;
            while (ns == 0 && std::chrono::steady_clock::now() < end)
              ns = read_mood(bench.core(0), bench.core(1)).round_trip_ns;
            if (ns == 0) return tl::unexpected<std::string>("no second processor answers");
            return Sample{{"rtt_p50", "ns", ns}, {"rate", "frames/s", 1e9 / ns}};
          }};
}

/// What no wire that copies goes beyond: as many bytes as a frame, from and to 8 MiB each.
Case copy_case(std::uint32_t size, double seconds) {
  Labels labels{
      .name = copy_name(size), .placement = "memcpy", .size = size, .has_size = true, .window = 0};
  return {std::move(labels), [size, seconds]() -> tl::expected<Sample, std::string> {
            constexpr std::size_t bytes = 8U << 20U;
            std::vector<std::byte> from(bytes, std::byte{1}), to(bytes, std::byte{2});
            const auto limit = static_cast<std::uint64_t>(seconds * 1e9 / ns_per_tick());
            const std::uint64_t start = ticks();
            std::uint64_t copies = 0, now = start;
            for (; now - start < limit; now = ticks())
              for (std::size_t at = 0; at + size <= bytes; at += size, ++copies)
                std::memcpy(to.data() + at, from.data() + at, size);
            const double rate = static_cast<double>(copies) * 1e9 /
                                (static_cast<double>(now - start) * ns_per_tick());
            return Sample{{"rate", "frames/s", rate}, {"throughput", "Gbit/s", rate * size * 8e-9}};
          }};
}

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
      .window = setup.kind == RawKind::one_way ? 0 : setup.window,
      .reference =
          setup.kind == RawKind::echo && setup.window == 1 ? line_name : copy_name(setup.size)};
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
  if (wanted("echo") && bench.enough_cores()) cases.push_back(cache_line_case(bench));
  for (const auto size : options.sizes) {
    cases.push_back(copy_case(size, options.seconds));
    for (const auto window : options.windows)
      if (wanted("echo"))
        cases.push_back(case_for(bench, options, *wire,
                                 {.kind = RawKind::echo, .size = size, .window = window}));
    if (wanted("one-way"))
      cases.push_back(case_for(bench, options, *wire, {.kind = RawKind::one_way, .size = size}));
  }
  if (wanted("bulk") && !std::count(options.sizes.begin(), options.sizes.end(), mtu + 14))
    cases.push_back(copy_case(mtu + 14, options.seconds));
  if (wanted("bulk"))
    cases.push_back(case_for(bench, options, *wire,
                             {.kind = RawKind::bulk, .size = mtu + 14, .window = bulk_window}));
  bench.measure(cases);
  return bench.finish();
}
