// bench: many hosts answer one at the same time through its one link: what each congestion
// controller makes of it, beside the link itself. On virtual time, in the tests' simulator.
#include <fmt/format.h>

#include <algorithm>
#include <array>
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

std::string name_of(std::string_view what, std::uint32_t senders) {
  return fmt::format("{}, {} to 1", what, senders);
}

Labels labels_of(std::string_view what, const IncastOptions& options) {
  return {.name = name_of(what, options.senders),
          .wire = "simulated",
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
  labels.reference = name_of("link", options.senders);
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

Diagram diagram_of(const Bench& bench, const IncastOptions& options,
                   const std::vector<std::uint32_t>& senders,
                   const std::vector<Controller>& wanted) {
  Diagram out{.title = fmt::format("N hosts answer one with {} KiB each: 25 Gbit/s, 40 us round "
                                   "trip, queue {:g} BDP{}",
                                   options.message_bytes / 1024, options.queue_bdp,
                                   options.ecn ? ", ECN" : ""),
              .x_axis = "hosts that answer at the same time"};
  for (const auto n : senders) out.marks.push_back(fmt::to_string(n));
  const auto panel = [&](const char* y_axis, bool logarithmic, const char* metric) {
    Panel made{y_axis, logarithmic, {}};
    const auto add = [&](std::string_view name, std::string_view title, bool reference) {
      Curve curve{std::string{title}, {}, reference};
      for (const auto n : senders)
        curve.values.push_back(value_of(bench.rows(), name_of(name, n), metric));
      made.curves.push_back(std::move(curve));
    };
    for (const Controller& one : wanted) add(one.title, one.title, false);
    add("link", "the link alone", true);
    return made;
  };
  out.panels = {panel("goodput, Gbit/s", false, "goodput"),
                panel("99 % of the messages are complete within, us", true, "completion_p99"),
                panel("packets dropped at the queue, %", false, "drops")};
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
  IncastOptions options;
  std::vector<std::uint32_t> senders{1, 2, 4, 8, 16, 32, 64};
  std::vector<std::string> names{"swift", "cubic", "fixed-window"};
  std::uint32_t seed = 1;
  std::string svg;
  bench.option("--senders", senders, "hosts,...", "how many answer at the same time");
  bench.option("--controllers", names, "name,...", "swift, cubic, fixed-window");
  bench.option("--message", options.message_bytes, "bytes", "each sender keeps one under way");
  bench.option("--queue", options.queue_bdp, "BDP", "limit of the receiver's link: 125 KB each");
  bench.option("--seed", seed, "number", "of the first repeat; each repeat takes the next");
  bench.option("--svg", svg, "file", "draw the result there (needs gnuplot)");
  bench.flag("--ecn", options.ecn, "mark above 0.2 BDP, and heed the marks");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  options.seed = seed;
  options.time = Duration{static_cast<Duration::rep>(common.seconds * 1e9)};
  std::vector<Controller> wanted;
  for (const std::string& name : names) {
    const auto found = std::find_if(controllers.begin(), controllers.end(),
                                    [&](const Controller& one) { return one.name == name; });
    if (found == controllers.end()) {
      bench.say("--controllers: swift, cubic and fixed-window are there, not " + name);
      return 2;
    }
    wanted.push_back(*found);
  }
  bench.say(fmt::format("seeds {} to {}; 25 Gbit/s, round trip 40 us, queue {:g} BDP", seed,
                        seed + common.repeats - 1, options.queue_bdp));
  std::vector<Case> cases;
  for (const auto n : senders) {
    options.senders = n;
    cases.push_back(link_case(options));
    for (const Controller& one : wanted) cases.push_back(controller_case(one, options));
  }
  bench.measure(cases);
  if (!svg.empty())
    if (const auto drawn = draw(diagram_of(bench, options, senders, wanted), svg); !drawn)
      bench.say(drawn.error());
  return bench.finish();
}
