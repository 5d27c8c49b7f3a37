// bench: what doing nothing costs, and how fast everybody is there again: processor shares of idle
// sidecars and applications, and echoes between sleepers beside the kernel's TCP.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "harness.hpp"
#include "idle.hpp"
#include "kernel_echo.hpp"
#include "sidecar_pair.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

constexpr double share_max_percent = 1;  // target 11, of a core
constexpr const char* limit_name = "the limit";
constexpr const char* kernel_name = "kernel TCP, blocking";

/// What everybody's share is compared with.
Case limit_case() {
  return {.labels = {.name = limit_name},
          .repeat =
              [] {
                Sample sample;
                for (const char* metric : {"cpu_process", "cpu_proad", "cpu_application"})
                  sample.push_back({metric, "% of a core", share_max_percent});
                return Outcome{sample};
              },
          .any_mood = true};
}

void add_idle(std::vector<Case>& cases, const Wire* wire, const IdleSetup& setup) {
  const std::string name = wire != nullptr ? wire->name() : "none";
  if (wire != nullptr)
    cases.push_back({{.name = "idle in process, " + name,
                      .wire = name,
                      .placement = "in-process",
                      .reference = limit_name},
                     [wire, setup] { return measure_idle_in_process(*wire, setup); },
                     true});
  cases.push_back({{.name = "idle on sidecars, " + name,
                    .wire = name,
                    .placement = "sidecar",
                    .reference = limit_name},
                   [wire, setup] { return measure_idle_sidecars(wire, setup); },
                   true});
}

struct EchoPlan {
  std::uint32_t size = 64;
  double seconds = 0.3;
  int core_a = 0, core_b = 1;
  std::string proad{};
};

Labels echo_labels(std::string name, const std::string& wire, std::string placement,
                   const EchoPlan& plan) {
  Labels labels{.name = std::move(name),
                .wire = wire,
                .placement = std::move(placement),
                .size = plan.size,
                .has_size = true,
                .window = 1};
  if (labels.name != kernel_name) labels.reference = kernel_name;
  return labels;
}

Case kernel_case(const TwoHosts& hosts, const EchoPlan& plan) {
  const KernelSetup setup{.waiting = KernelWaiting::blocking,
                          .size = plan.size,
                          .seconds = plan.seconds,
                          .core_a = plan.core_a,
                          .core_b = plan.core_b};
  return {echo_labels(kernel_name, "veth", "kernel-tcp-blocking", plan),
          [&hosts, setup] { return measure_kernel(&hosts, setup); }};
}

/// Asleep: client, server and their sidecars sleep after every message, nobody ever polls. Else all
/// wait as they do by default, which is polling for some microseconds first.
void add_echo(std::vector<Case>& cases, const Wire& wire, const EchoPlan& plan, bool asleep) {
  const char* const how = asleep ? "asleep" : "waiting";
  const StackSetup stack{.size = plan.size,
                         .seconds = plan.seconds,
                         .wait = true,
                         .core_a = plan.core_a,
                         .core_b = plan.core_b,
                         .options = asleep ? "spin=0us" : ""};
  cases.push_back({echo_labels(fmt::format("{} in process, {}", how, wire.name()), wire.name(),
                               fmt::format("in-process, {}", how), plan),
                   [&wire, stack] { return measure_stacks(wire, stack); }});
  const SidecarSetup sidecar{.proad = plan.proad,
                             .size = plan.size,
                             .seconds = plan.seconds,
                             .wait = true,
                             .asleep = asleep,
                             .core_a = plan.core_a,
                             .core_b = plan.core_b};
  cases.push_back({echo_labels(fmt::format("{} on sidecars, {}", how, wire.name()), wire.name(),
                               fmt::format("sidecar, {}", how), plan),
                   [&wire, sidecar] { return measure_two_sidecars(wire, sidecar); }});
}

bool is_veth(const Wire& wire) { return wire.hosts() != nullptr; }

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> wires = Wire::names();
  wires.insert(wires.begin(), "all");
  Bench bench{
      {.name = "bench_idle",
       .question = "What does doing nothing cost, and how fast is the answer of one who sleeps?",
       .wires = wires}};
  auto& options = bench.options();
  options.repeats = 3;  // each takes seconds
  IdleSetup idle{.proad = PROAD_PATH};
  EchoPlan echo;
  bench.option("--idle-seconds", idle.seconds, "seconds", "of doing nothing, per repeat");
  bench.option("--message", echo.size, "bytes", "message size of the sleepers' echo");
  bench.option("--proad", idle.proad, "path", "the sidecar's program");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  idle.core_a = echo.core_a = bench.core(0);
  idle.core_b = echo.core_b = bench.core(1);
  echo.seconds = options.seconds;
  echo.proad = idle.proad;
  std::deque<Wire> made;
  for (const std::string& name : Wire::names()) {
    if (options.wire != "all" && options.wire != name) continue;
    auto wire = Wire::make(name);
    if (wire)
      made.push_back(std::move(*wire));
    else
      bench.say(name + " is left out: " + wire.error());
  }
  std::vector<Case> shares{limit_case()}, echoes;
  if (options.wire == "all") add_idle(shares, nullptr, idle);
  for (const Wire& wire : made) {
    add_idle(shares, &wire, idle);
    if (is_veth(wire)) {
      if (echoes.empty()) echoes.push_back(kernel_case(*wire.hosts(), echo));
      for (const bool asleep : {true, false}) add_echo(echoes, wire, echo, asleep);
    }
  }
  bench.measure(shares);
  if (!echoes.empty()) bench.measure(echoes);
  return bench.finish();
}
