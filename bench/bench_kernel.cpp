// bench: what kernel sockets cost on the same wire: TCP and UDP echo, polled and blocking, beside
// the wire itself.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "harness.hpp"
#include "kernel_echo.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa::bench;

constexpr std::uint32_t frame_bytes_min = 60, frame_bytes_max = 1514;

std::string raw_name(std::uint32_t size, std::uint32_t window) {
  return fmt::format("raw {} B, window {}", size, window);
}

Labels labels_of(std::string name, const std::string& wire, std::string placement,
                 const KernelSetup& setup) {
  return {.name = std::move(name),
          .wire = wire,
          .placement = std::move(placement),
          .size = setup.size,
          .has_size = true,
          .window = setup.window};
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// Frames as large as the message, through DPDK's af_packet driver on the same pair of veths.
Case raw_case(const Wire& wire, const KernelSetup& setup) {
  const RawSetup raw{.kind = RawKind::echo,
                     .size = std::max(setup.size, frame_bytes_min),
                     .window = setup.window,
                     .seconds = setup.seconds,
                     .core_a = setup.core_a,
                     .core_b = setup.core_b};
  return {labels_of(raw_name(setup.size, setup.window), wire.name(), "raw-l2", setup),
          [&wire, raw] { return measure_raw(wire, raw); }};
}

Case kernel_case(const Wire* wire, const std::string& kind, KernelSetup setup, bool has_raw) {
  setup.protocol = kind.starts_with("tcp") ? KernelProtocol::tcp : KernelProtocol::udp;
  setup.waiting = kind.ends_with("polled") ? KernelWaiting::polled : KernelWaiting::blocking;
  Labels labels = labels_of(fmt::format("{} {} B, window {}", kind, setup.size, setup.window),
                            wire != nullptr ? "veth" : "loopback", "kernel-" + kind, setup);
  if (has_raw) labels.reference = raw_name(setup.size, setup.window);
  const TwoHosts* const hosts = wire != nullptr ? wire->hosts() : nullptr;
  return {std::move(labels), [hosts, setup] { return measure_kernel(hosts, setup); }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_kernel",
               .question = "What do TCP and UDP echo cost over kernel sockets on the same wire?",
               .wires = {"veth", "loopback"}}};
  auto& options = bench.options();
  options.sizes = {64};
  options.windows = {1, 64};
  const std::vector<std::string> all{"raw", "tcp-polled", "udp-polled", "tcp-blocking",
                                     "udp-blocking"};
  std::vector<std::string> kinds = all;
  bench.option("--kind", kinds, "NAME,...",
               "the reference: raw (frames); sockets: tcp-polled, udp-polled, tcp-blocking, "
               "udp-blocking");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  for (const auto& kind : kinds)
    if (!contains(all, kind)) {
      bench.say("--kind: there is no " + kind);
      return 2;
    }
  for (const auto size : options.sizes)
    if (size == 0 || size > 65'507) {
      bench.say("--size: sockets carry 1 to 65507 bytes per message here");
      return 2;
    }
  std::optional<Wire> wire;
  if (options.wire == "veth") {
    if (auto made = Wire::make("veth-af_packet"))
      wire.emplace(std::move(*made));
    else
      bench.say(made.error() + "; measuring over loopback instead, which has no raw reference");
  }
  std::vector<Case> cases;
  for (const auto size : options.sizes)
    for (const auto window : options.windows) {
      const KernelSetup setup{.size = size,
                              .window = window,
                              .seconds = options.seconds,
                              .core_a = bench.core(0),
                              .core_b = bench.core(1)};
      const bool has_raw = wire && size <= frame_bytes_max && contains(kinds, "raw");
      if (has_raw) cases.push_back(raw_case(*wire, setup));
      for (const auto& kind : kinds)
        if (kind != "raw")
          cases.push_back(kernel_case(wire ? &*wire : nullptr, kind, setup, has_raw));
    }
  bench.measure(cases);
  return bench.finish();
}
