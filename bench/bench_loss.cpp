// bench: what remains of goodput and latency when the wire loses packets, beside the same without.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "harness.hpp"
#include "plot.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;
using Outcome = tl::expected<Sample, std::string>;

/// Loss in percent to the values of all repeats, by metric.
using Measured = std::map<std::string, std::map<double, std::vector<double>>>;

struct Plan {
  const Wire* wire = nullptr;
  StackSetup bulk, echo;
  Measured* measured = nullptr;
};

Case lossy_case(const Plan& plan, StackSetup setup, const std::string& what, double percent) {
  setup.loss_ppm = static_cast<std::uint32_t>(percent * 10'000 + 0.5);
  Labels labels{.name = fmt::format("{}, {:.4g} % lost", what, percent),
                .wire = plan.wire->name(),
                .placement = "in-process",
                .size = setup.size,
                .has_size = true,
                .window = setup.window};
  if (percent != 0) labels.reference = fmt::format("{}, 0 % lost", what);
  return {labels, [plan, setup, percent]() -> Outcome {
            auto sample = measure_stacks(*plan.wire, setup);
            if (sample)
              for (const auto& figure : *sample)
                (*plan.measured)[figure.metric][percent].push_back(figure.value);
            return sample;
          }};
}

Curve curve(const Measured& measured, const std::string& metric, const std::string& name,
            double scale, bool right_axis) {
  Curve out{name, {}, right_axis};
  const auto found = measured.find(metric);
  if (found == measured.end()) return out;
  for (const auto& [percent, values] : found->second)
    out.points.emplace_back(percent, median(values) * scale);
  return out;
}

std::vector<double> parse_rates(const std::vector<std::string>& texts) {
  std::vector<double> out{0};  // what all others are compared with
  for (const auto& text : texts)
    if (const double percent = std::strtod(text.c_str(), nullptr); percent > 0 && percent <= 50)
      out.push_back(percent);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_loss",
               .question = "How much goodput and latency does packet loss cost?",
               .wires = Wire::names()}};
  auto& options = bench.options();
  std::vector<std::string> rates{"0",   "0.1", "0.2", "0.3", "0.4", "0.5", "0.6",
                                 "0.7", "0.8", "0.9", "1",   "5",   "10",  "30"};
  std::string svg, stack;
  std::uint32_t mtu = 1500;
  StackSetup bulk{.kind = StackKind::stream, .size = 1U << 20U, .window = 16, .verify = false};
  StackSetup echo{.kind = StackKind::echo, .size = 1024, .window = 1};
  bench.option("--rates", rates, "percent,...", "losses in each direction; 0 is always among them");
  bench.option("--svg", svg, "file", "draw the result there (needs gnuplot)");
  bench.option("--mtu", mtu, "bytes", "largest IP packet");
  bench.option("--message", bulk.size, "bytes", "message size where goodput is measured");
  bench.option("--messages-outstanding", bulk.window, "messages", "not yet acknowledged ones");
  bench.option("--stack", stack, "text", "further options of both stacks");
  bench.flag("--verify", bulk.verify, "compare every large message with what was sent");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  const auto wire = Wire::make(options.wire, mtu);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  for (auto* setup : {&bulk, &echo}) {
    setup->seconds = options.seconds;
    setup->options = stack;
    setup->core_a = bench.core(0);
    setup->core_b = bench.core(1);
  }
  Measured measured;
  const Plan plan{&*wire, bulk, echo, &measured};
  std::vector<Case> cases;
  for (const double percent : parse_rates(rates)) {
    cases.push_back(lossy_case(plan, bulk, "bulk", percent));
    cases.push_back(lossy_case(plan, echo, "echo", percent));
  }
  bench.measure(cases);
  if (!svg.empty()) {
    const Diagram diagram{
        .title = fmt::format("Proa under random loss, {}", wire->name()),
        .x_axis = "packets lost in each direction, %",
        .left_axis = "goodput, Gbit/s",
        .right_axis = "round trip of 1 KB, us",
        .curves = {curve(measured, "throughput",
                         fmt::format("goodput of {} KiB messages", bulk.size / 1024), 1, false),
                   curve(measured, "rtt_p50", "round trip, median", 1e-3, true),
                   curve(measured, "rtt_p99", "round trip, 99 %", 1e-3, true)}};
    if (const auto drawn = draw(diagram, svg); !drawn) bench.say(drawn.error());
  }
  return bench.finish();
}
