// bench: what remains of goodput and latency when the wire loses packets, beside the same without.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "harness.hpp"
#include "plot.hpp"
#include "stack_pair.hpp"

namespace {

using namespace proa::bench;

struct Plan {
  const Wire* wire = nullptr;
  StackSetup bulk, echo;
};

std::string name_of(const std::string& what, double percent) {
  return fmt::format("{}, {:.4g} % lost", what, percent);
}

Case lossy_case(const Plan& plan, StackSetup setup, const std::string& what, double percent) {
  setup.loss_ppm = static_cast<std::uint32_t>(percent * 10'000 + 0.5);
  Labels labels{.name = name_of(what, percent),
                .wire = fmt::format("{}, {:.4g} % lost", plan.wire->name(), percent),
                .placement = "in-process",
                .size = setup.size,
                .has_size = true,
                .window = setup.window};
  if (percent != 0) labels.reference = name_of(what, 0);
  return {labels, [plan, setup] { return measure_stacks(*plan.wire, setup); }};
}

Diagram diagram_of(const Bench& bench, const Plan& plan, const std::vector<double>& rates) {
  Diagram out{.title = fmt::format("Proa under random loss, {}", plan.wire->name()),
              .x_axis = "packets lost in each direction, %"};
  Curve goodput{fmt::format("goodput of {} KiB messages", plan.bulk.size / 1024)};
  Curve without{"90 % of loss-free", {}, true};
  Curve median{"median"}, late{"99 %"};
  for (const double percent : rates) {
    out.marks.push_back(fmt::format("{:.4g}", percent));
    const std::string bulk = name_of("bulk", percent), echo = name_of("echo", percent);
    goodput.values.push_back(value_of(bench.rows(), bulk, "throughput"));
    without.values.push_back(value_of(bench.rows(), name_of("bulk", 0), "throughput", 0.9));
    median.values.push_back(value_of(bench.rows(), echo, "rtt_p50", 1e-3));
    late.values.push_back(value_of(bench.rows(), echo, "rtt_p99", 1e-3));
  }
  out.panels = {{"goodput, Gbit/s", false, {goodput, without}},
                {fmt::format("round trip of {} B, us", plan.echo.size), true, {median, late}}};
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
  const Plan plan{&*wire, bulk, echo};
  const auto percents = parse_rates(rates);
  std::vector<Case> cases;
  for (const double percent : percents) {
    cases.push_back(lossy_case(plan, bulk, "bulk", percent));
    cases.push_back(lossy_case(plan, echo, "echo", percent));
  }
  bench.measure(cases);
  if (!svg.empty())
    if (const auto drawn = draw(diagram_of(bench, plan, percents), svg); !drawn)
      bench.say(drawn.error());
  return bench.finish();
}
