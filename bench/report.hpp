// bench: from the samples of all repeats to rows, a table and JSON. Pure apart from the output.
#pragma once
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "histogram.hpp"
#include "machine.hpp"

namespace proa::bench {

/// One figure of one repeat. Rows are compared by `metric`, so a subject and its reference use the
/// same word ("rtt_p50", "rate") even where the units differ ("messages/s", "packets/s").
struct Figure {
  std::string metric{};
  std::string unit{};
  double value = 0;
};
using Sample = std::vector<Figure>;

/// Adds rtt_p50, rtt_p99 and rtt_p999 in nanoseconds.
void add_latency(Sample& sample, const Histogram& histogram);

/// What a case measures; the words that go into its rows. Empty or 0: does not apply.
struct Labels {
  std::string name{};        // unique within a run; what `reference` of other cases names
  std::string wire{};        // memif, veth, loopback ...
  std::string placement{};   // in-process, sidecar, raw-l2, tcp-polled ...
  std::uint32_t size = 0;    // bytes of a message
  bool has_size = false;     // 0 is a size too
  std::uint32_t window = 0;  // messages outstanding
  std::string reference{};   // name of the case this one is compared with
};

/// One repeat of one case, as judged.
struct Repeat {
  Sample sample{};
  Mood mood = Mood::unknown;
  double round_trip_ns = 0;       // cache line, before it
  double other_load_percent = 0;  // taken by other processes
  std::uint32_t together = 0;     // of one group and one time: the same number; 0: alone
};

struct Row {
  Labels labels{};
  std::string metric{}, unit{};
  double value = 0, min = 0, max = 0;  // median and extremes over the repeats
  std::uint32_t repeats = 0;
  Mood mood = Mood::unknown;
  double other_load_percent = 0;  // the worst of its repeats
  std::optional<double> reference_value{};
  std::optional<double> paired_ratio{};  // the median of those within repeats measured together
  [[nodiscard]] std::optional<double> ratio() const {
    if (paired_ratio) return paired_ratio;
    if (!reference_value || *reference_value == 0) return std::nullopt;
    return value / *reference_value;
  }
};

struct CaseRepeats {
  Labels labels{};
  std::vector<Repeat> repeats{};
};

[[nodiscard]] double median(std::vector<double> values);

/// The mood all cases are reported in: the one in which the worst-served case has most repeats.
[[nodiscard]] Mood reported_mood(const std::vector<CaseRepeats>& cases);

/// Rows of that mood only: nothing is ever compared across moods.
[[nodiscard]] std::vector<Row> summarise(const std::vector<CaseRepeats>& cases);

void print_table(std::FILE* out, const std::vector<Row>& rows);

/// One JSON object, without a line end: bench, metric, unit, value, min, max, repeats, wire,
/// placement, size, window, reference, reference_value, ratio; null where something does not apply.
/// The ratio is Row::ratio(): of groups not that of the two medians, unless there was one repeat.
[[nodiscard]] std::string to_json(std::string_view bench, const Row& row);

}  // namespace proa::bench
