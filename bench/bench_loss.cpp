// bench: what remains of goodput and latency when the wire loses packets, beside the same without;
// with --grid the simulator's goodput by controller, round trip, window and loss.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "harness.hpp"
#include "loss_grid.hpp"
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

std::uint32_t ppm_of(double percent) { return static_cast<std::uint32_t>(percent * 10'000 + 0.5); }

Labels labels_of(const Plan& plan, const StackSetup& setup, const std::string& what,
                 double percent) {
  Labels labels{.name = name_of(what, percent),
                .wire = fmt::format("{}, {:.4g} % lost", plan.wire->name(), percent),
                .placement = "in-process",
                .size = setup.size,
                .has_size = true,
                .window = setup.window};
  if (percent != 0) labels.reference = name_of(what, 0);
  return labels;
}

/// Goodput at all rates: too close to each other for processes of their own.
CaseGroup bulk_group(const Plan& plan, const std::vector<double>& percents) {
  CaseGroup group{.name = "bulk"};
  std::vector<std::uint32_t> losses_ppm;
  for (const double percent : percents) {
    group.labels.push_back(labels_of(plan, plan.bulk, "bulk", percent));
    losses_ppm.push_back(ppm_of(percent));
  }
  group.repeat = [plan, losses_ppm] {
    return measure_lossy_streams(*plan.wire, plan.bulk, losses_ppm);
  };
  return group;
}

CaseGroup echo_group(const Plan& plan, double percent) {
  StackSetup setup = plan.echo;
  setup.loss_ppm = ppm_of(percent);
  return alone({labels_of(plan, setup, "echo", percent),
                [plan, setup] { return measure_stacks(*plan.wire, setup); }});
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

struct Arguments {
  std::vector<std::string> rates{"0",   "0.1", "0.2", "0.3", "0.4", "0.5", "0.6",
                                 "0.7", "0.8", "0.9", "1",   "5",   "10",  "30"};
  std::string svg, stack;
  std::uint32_t mtu = 1500;
  StackSetup bulk{.kind = StackKind::stream, .size = 1U << 20U, .window = 16, .verify = false};
  bool grid = false;
  std::vector<std::uint32_t> round_trips_us{20, 40, 200, 1000};
};

std::optional<int> parse(Bench& bench, Arguments& out, int argc, char** argv) {
  bench.option("--rates", out.rates, "percent,...",
               "losses in each direction; 0 is always among them");
  bench.option("--svg", out.svg, "file", "draw the result there (needs gnuplot)");
  bench.option("--mtu", out.mtu, "bytes", "largest IP packet");
  bench.option("--message", out.bulk.size, "bytes", "message size where goodput is measured");
  bench.option("--messages-outstanding", out.bulk.window, "messages", "not yet acknowledged ones");
  bench.option("--stack", out.stack, "text", "further options of both stacks");
  bench.flag("--verify", out.bulk.verify, "compare every large message with what was sent");
  bench.flag("--grid", out.grid,
             "goodput by controller, round trip, window and loss, in the simulator: what "
             "test/sim/goodput_grid.txt holds for review");
  bench.option("--round-trips", out.round_trips_us, "us,...", "those of the grid");
  return bench.parse(argc, argv);
}

void draw_or_say(Bench& bench, const Diagram& diagram, const std::string& svg) {
  if (svg.empty()) return;
  if (const auto drawn = draw(diagram, svg); !drawn) bench.say(drawn.error());
}

/// On a wire of this machine.
void measure_sweep(Bench& bench, const Wire& wire, const Arguments& arguments) {
  Plan plan{&wire, arguments.bulk, {.kind = StackKind::echo, .size = 1024, .window = 1}};
  for (auto* setup : {&plan.bulk, &plan.echo}) {
    setup->seconds = bench.options().seconds;
    setup->options = arguments.stack;
    setup->core_a = bench.core(0);
    setup->core_b = bench.core(1);
  }
  const auto percents = parse_rates(arguments.rates);
  std::vector<CaseGroup> groups{bulk_group(plan, percents)};
  for (const double percent : percents) groups.push_back(echo_group(plan, percent));
  bench.measure(groups);
  draw_or_say(bench, diagram_of(bench, plan, percents), arguments.svg);
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_loss",
               .question = "How much goodput and latency does packet loss cost?",
               .wires = Wire::names()}};
  Arguments arguments;
  if (const auto exit_code = parse(bench, arguments, argc, argv)) return *exit_code;
  if (arguments.grid) {
    measure_grid(bench, arguments.round_trips_us);
    draw_or_say(bench, grid_diagram(bench.rows(), arguments.round_trips_us), arguments.svg);
    return bench.finish();
  }
  const auto wire = Wire::make(bench.options().wire, arguments.mtu);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  measure_sweep(bench, *wire, arguments);
  return bench.finish();
}
