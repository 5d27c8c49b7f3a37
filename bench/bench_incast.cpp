// bench: many hosts answer one at the same time through its one link: what each congestion
// controller makes of it, beside the link itself. On virtual time, in the tests' simulator.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"
#include "incast.hpp"
#include "plot.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using namespace proa::sim;
using Outcome = tl::expected<Sample, std::string>;

struct Controller {
  std::string_view name, title;
  CongestionKind kind;
};
constexpr std::array<Controller, 3> controllers{
    {{"swift", "Swift", CongestionKind::swift},
     {"cubic", "CUBIC", CongestionKind::cubic},
     {"fixed-window", "fixed window", CongestionKind::fixed_window}}};

std::string name_of(std::string_view what, std::uint32_t senders, double queue_bdp) {
  return fmt::format("{}, {} to 1, queue {:g} BDP", what, senders, queue_bdp);
}
std::string name_of(std::string_view what, const IncastOptions& options) {
  return name_of(what, options.senders, options.queue_bdp);
}

Labels labels_of(std::string_view what, const IncastOptions& options) {
  return {.name = name_of(what, options),
          .wire = fmt::format("simulated, queue {:g} BDP", options.queue_bdp),
          .size = options.message_bytes,
          .has_size = true,
          .window = options.senders};
}

Sample sample_of(double goodput, double p50_s, double p99_s, double fairness, double drops) {
  return {{"goodput", "Gbit/s", goodput},
          {"completion_p50", "us", p50_s * 1e6},
          {"completion_p99", "us", p99_s * 1e6},
          {"fairness", "Jain index", fairness},
          {"drops", "% of packets", drops}};
}

/// The link without a transport: busy as long as somebody has a message for it, and everybody's is
/// done when all of them are.
Case link_case(const IncastOptions& options) {
  return {labels_of("link", options), [options]() -> Outcome {
            const double all_s = fair_share_s(options), one_s = all_s / options.senders;
            const double busy = std::min(1.0, all_s / (one_s + base_rtt_s));
            const double done_s = all_s + base_rtt_s / 2;
            return sample_of(busy * base_bits_per_second / 1e9, done_s, done_s, 1, 0);
          }};
}

/// Each repeat is the next seed's.
Case controller_case(const Controller& controller, IncastOptions options) {
  options.congestion = controller.kind;
  Labels labels = labels_of(controller.title, options);
  labels.placement = controller.name;
  labels.reference = name_of("link", options);
  return {std::move(labels), [options]() mutable -> Outcome {
            try {
              const IncastResult got = run_incast(options);
              const double fair_s = fair_share_s(options);
              ++options.seed;
              return sample_of(got.goodput * base_bits_per_second / 1e9, got.p50 * fair_s,
                               got.p99 * fair_s, got.jain,
                               100.0 * static_cast<double>(got.queue_drops) /
                                   static_cast<double>(got.packets_sent));
            } catch (const LoadFailure& failure) {
              return tl::unexpected(fmt::format("seed {}: {}", options.seed, failure.what()));
            }
          }};
}

/// What is measured: all of it for each queue.
struct Plan {
  IncastOptions options;
  std::vector<double> queues;
  std::vector<std::uint32_t> senders;
  std::vector<Controller> controllers;
};

constexpr std::uint32_t messages_each = 7;  // of each sender, at least, as in TEST-MATRIX A17

std::vector<Case> cases_of(const Plan& plan) {
  std::vector<Case> out;
  for (const double queue : plan.queues)
    for (const auto n : plan.senders) {
      IncastOptions options = plan.options;
      options.queue_bdp = queue;
      options.senders = n;
      const double least_s = messages_each * fair_share_s(options);
      options.time = std::max(options.time, Duration{static_cast<Duration::rep>(least_s * 1e9)});
      out.push_back(link_case(options));
      for (const Controller& one : plan.controllers) out.push_back(controller_case(one, options));
    }
  return out;
}

/// A curve for each controller, and the link.
Panel panel_of(const Bench& bench, const Plan& plan, double queue, Panel panel,
               const char* metric) {
  const auto add = [&](std::string_view name, std::string_view title, bool reference) {
    Curve curve{std::string{title}, {}, reference};
    for (const auto n : plan.senders)
      curve.values.push_back(value_of(bench.rows(), name_of(name, n, queue), metric));
    panel.curves.push_back(std::move(curve));
  };
  for (const Controller& one : plan.controllers) add(one.title, one.title, false);
  add("link", "the link alone", true);
  panel.y_axis += fmt::format(" (queue {:g} BDP)", queue);
  return panel;
}

/// A row of panels for each queue.
Diagram diagram_of(const Bench& bench, const Plan& plan) {
  Diagram out{
      .title = fmt::format("N hosts answer one with {} KiB each: 25 Gbit/s, 40 us round "
                           "trip{}",
                           plan.options.message_bytes / 1024, plan.options.ecn ? ", ECN" : ""),
      .x_axis = "hosts that answer at the same time"};
  for (const auto n : plan.senders) out.marks.push_back(fmt::to_string(n));
  for (const double queue : plan.queues) {
    const auto add = [&](const char* y_axis, bool logarithmic, const char* metric) {
      out.panels.push_back(panel_of(bench, plan, queue, {y_axis, logarithmic, {}}, metric));
    };
    add("goodput, Gbit/s", false, "goodput");
    add("99 % of messages complete within, us", true, "completion_p99");
    add("fairness, Jain index", false, "fairness");
    add("dropped at the queue, %", false, "drops");
  }
  out.columns = out.panels.size() / plan.queues.size();
  return out;
}

/// The controllers of these names; the first unknown name instead.
tl::expected<std::vector<Controller>, std::string> parse_controllers(
    const std::vector<std::string>& names) {
  std::vector<Controller> out;
  for (const std::string& name : names) {
    const auto found = std::find_if(controllers.begin(), controllers.end(),
                                    [&](const Controller& one) { return one.name == name; });
    if (found == controllers.end()) return tl::unexpected(name);
    out.push_back(*found);
  }
  return out;
}

/// Those that are a queue at all, each once.
std::vector<double> parse_queues(const std::vector<std::string>& texts) {
  std::vector<double> out;
  for (const auto& text : texts)
    if (const double queue = std::strtod(text.c_str(), nullptr); queue > 0) out.push_back(queue);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_incast",
               .question = "What becomes of goodput, latency and fairness when many hosts answer "
                           "one at the same time? Simulated: --seconds are virtual ones.",
               .virtual_time = true}};
  auto& common = bench.options();
  common.seconds = 0.03;
  common.repeats = 3;  // seeds; all queues and numbers of senders take half a minute each
  Plan plan;
  plan.senders = {1, 2, 4, 8, 16, 32, 64, 100};
  std::vector<std::string> queues{"0.2", "1", "5"}, names{"swift", "cubic", "fixed-window"};
  std::uint32_t seed = 1;
  std::string svg;
  bench.option("--senders", plan.senders, "hosts,...", "how many answer at the same time");
  bench.option("--controllers", names, "name,...", "swift, cubic, fixed-window");
  bench.option("--message", plan.options.message_bytes, "bytes", "each sender keeps one under way");
  bench.option("--queue", queues, "BDP,...", "limits of the receiver's link: 125 KB each BDP");
  bench.option("--seed", seed, "number", "of the first repeat; each repeat takes the next");
  bench.option("--svg", svg, "file", "draw the result there (needs gnuplot)");
  bench.flag("--ecn", plan.options.ecn, "mark above 0.2 BDP, and heed the marks");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  plan.options.seed = seed;
  plan.options.time = Duration{static_cast<Duration::rep>(common.seconds * 1e9)};
  const auto wanted = parse_controllers(names);
  if (!wanted) {
    bench.say("--controllers: swift, cubic and fixed-window are there, not " + wanted.error());
    return 2;
  }
  plan.controllers = *wanted;
  plan.queues = parse_queues(queues);
  bench.say(
      fmt::format("seeds {} to {}; 25 Gbit/s, round trip 40 us; as long as each sender may "
                  "have {} messages through",
                  seed, seed + common.repeats - 1, messages_each));
  bench.measure(cases_of(plan));
  if (!svg.empty())
    if (const auto drawn = draw(diagram_of(bench, plan), svg); !drawn) bench.say(drawn.error());
  return bench.finish();
}
