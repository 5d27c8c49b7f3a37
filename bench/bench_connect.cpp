// bench: how long it takes to set a flow up, how many packets, and how many set-ups per second;
// with several engines a side, before and after their paths are known.
#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "harness.hpp"
#include "path_connect.hpp"
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
  const char* const family = setup.ipv6 ? ", IPv6" : "";
  Labels labels{.name = fmt::format("set-ups, window {}{}", window, family),
                .wire = wire.name(),
                .placement = fmt::format("in-process{}", family)};
  labels.window = window;
  labels.reference = raw_name(window);
  return {std::move(labels), [&wire, setup] { return measure_stacks(wire, setup); }};
}

/// First set-ups between hosts of several engines, or later ones.
Case path_case(const Bench& bench, const Wire& wire, PathSetup setup, bool remembered) {
  setup.remembered = remembered;
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  const char* const family = setup.ipv6 ? ", IPv6" : "";
  Labels labels{
      .name = fmt::format("{0} x {0} engines, {1}{2}", setup.engines,
                          remembered ? "remembered paths" : "cold", family),
      .wire = wire.name(),
      .placement = fmt::format("in-process, {}{}", remembered ? "remembered" : "cold", family)};
  labels.window = 1;
  return {std::move(labels), [&wire, setup] { return measure_path_connects(wire, setup); }};
}

/// The wire with a NIC of several queue pairs and a hash; nothing where it cannot be had.
std::optional<Wire> hashing_wire(Bench& bench) {
  auto wire = Wire::make("veth-af_packet");
  if (wire) return std::move(*wire);
  bench.say(wire.error() + "; no set-ups with several engines");
  return std::nullopt;
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
  std::uint32_t engines = 4;
  bench.option("--engines", engines, "N",
               "set-ups between so many engines a side, over veth-af_packet (0: none)");
  bench.flag("--ipv6", setup.ipv6, "flows over IPv6 instead of IPv4");
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
  const auto hashing = engines != 0 ? hashing_wire(bench) : std::nullopt;
  const PathSetup paths{.engines = engines, .seconds = options.seconds, .ipv6 = setup.ipv6};
  for (const bool remembered : {false, true})
    if (hashing) cases.push_back(path_case(bench, *hashing, paths, remembered));
  bench.measure(cases);
  return bench.finish();
}
