// bench: round trips and echo rates of Proa by placement, wire, size and window, beside the raw
// wire and relays without a transport.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "harness.hpp"
#include "relay.hpp"
#include "sidecar_pair.hpp"
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

/// What every case of this size and window is called, after what it is.
Labels labelled(const std::string& what, const std::string& wire, const std::string& placement,
                const SidecarSetup& setup) {
  return {.name = fmt::format("{} {} B, window {}", what, setup.size, setup.window),
          .wire = wire,
          .placement = placement,
          .size = setup.size,
          .has_size = true,
          .window = setup.window};
}

RelaySetup relay_like(const SidecarSetup& setup) {
  return {setup.size, setup.window, setup.seconds, setup.core_a, setup.core_b};
}

/// Target 7: two applications on one machine, beside a relay over the same rings.
void add_one_machine(std::vector<Case>& cases, const SidecarSetup& setup) {
  Labels subject = labelled("sidecar, one machine,", "none", "sidecar", setup);
  if (setup.size <= shared_relay_bytes_max) {
    const Labels relay = labelled("bare relay", "none", "shared-memory-relay", setup);
    subject.reference = relay.name;
    cases.push_back({relay, [setup] { return measure_shared_relay(relay_like(setup)); }});
  }
  cases.push_back({std::move(subject), [setup] { return measure_one_machine(setup); }});
}

/// Target 8: a sidecar on each host, beside the kernel's UDP and relays; memif: the raw wire.
void add_two_sidecars(std::vector<Case>& cases, const Wire& wire, const SidecarSetup& setup,
                      bool has_raw) {
  Labels subject = labelled("two sidecars", wire.name(), "sidecar", setup);
  if (const TwoHosts* hosts = wire.hosts()) {
    const Labels relay = labelled("UDP relays", "veth", "kernel-udp-relay", setup);
    subject.reference = relay.name;
    cases.push_back(
        {relay, [hosts, setup] { return measure_udp_relays(*hosts, relay_like(setup)); }});
  } else if (has_raw) {
    subject.reference = raw_name(setup.size, setup.window);
  }
  cases.push_back(
      {std::move(subject), [&wire, setup] { return measure_two_sidecars(wire, setup); }});
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_rpc",
               .question = "How long is a round trip, and how many echoes are there per second?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  options.sizes = {64, 1024};
  options.windows = {1, 32, 64};
  std::vector<std::string> placements{"in-process", "sidecar"};
  SidecarSetup sidecar{.proad = PROAD_PATH};
  std::uint32_t mtu = 1500;
  StackSetup setup;
  bool no_verify = false;
  bench.option("--mtu", mtu, "bytes", "largest IP packet");
  bench.option("--flows", setup.flows, "flows", "flows at a time, each with its own window");
  bench.option("--stack", setup.options, "text", "further options of both stacks");
  bench.option("--placement", placements, "NAME,...", "in-process, sidecar");
  bench.option("--proad", sidecar.proad, "path", "the sidecar's program");
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
  sidecar.seconds = options.seconds;
  sidecar.verify = setup.verify;
  sidecar.core_a = bench.core(0);
  sidecar.core_b = bench.core(1);
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
      if (contains(placements, "in-process"))
        cases.push_back(stack_case(bench, *wire, setup, one_frame));
      if (!contains(placements, "sidecar")) continue;
      sidecar.size = size;
      sidecar.window = window;
      add_one_machine(cases, sidecar);
      add_two_sidecars(cases, *wire, sidecar, one_frame);
    }
  bench.measure(cases);
  return bench.finish();
}
