// bench: from the samples of all repeats to rows, a table and JSON. Pure apart from the output.
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

namespace proa::bench {

namespace {

std::vector<const Repeat*> in_mood(const CaseRepeats& one, Mood mood) {
  std::vector<const Repeat*> found;
  for (const auto& repeat : one.repeats)
    if (repeat.mood == mood) found.push_back(&repeat);
  return found;
}

std::vector<double> values_of(const std::vector<const Repeat*>& repeats, std::string_view metric) {
  std::vector<double> values;
  for (const auto* repeat : repeats)
    for (const auto& figure : repeat->sample)
      if (figure.metric == metric) values.push_back(figure.value);
  return values;
}

std::vector<const Repeat*> repeats_named(const std::vector<CaseRepeats>& cases,
                                         std::string_view name, Mood mood) {
  for (const auto& one : cases)
    if (!name.empty() && one.labels.name == name) return in_mood(one, mood);
  return {};
}

std::optional<double> median_of(const std::vector<const Repeat*>& repeats,
                                std::string_view metric) {
  auto values = values_of(repeats, metric);
  if (values.empty()) return std::nullopt;
  return median(std::move(values));
}

/// What differs from time to time but not within a group cancels out.
std::optional<double> paired_ratio(const std::vector<const Repeat*>& repeats,
                                   const std::vector<const Repeat*>& references,
                                   std::string_view metric) {
  std::vector<double> ratios;
  for (const auto* repeat : repeats)
    for (const auto* reference : references) {
      if (repeat->together == 0 || repeat->together != reference->together) continue;
      const auto value = median_of({repeat}, metric), other = median_of({reference}, metric);
      if (value && other && *other != 0) ratios.push_back(*value / *other);
    }
  if (ratios.empty()) return std::nullopt;
  return median(std::move(ratios));
}

std::string json_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      quoted += '\\', quoted += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      quoted += c;
  }
  return quoted + '"';
}

std::string json_label(std::string_view text) { return text.empty() ? "null" : json_text(text); }
std::string json_number(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null";
}
std::string json_number(std::optional<double> value) {
  return value ? json_number(*value) : "null";
}

// Four significant digits, with a letter for large counts: 12.3 M reads better than 12345678.
std::string short_number(double value) {
  constexpr std::array<std::pair<double, const char*>, 3> scales{
      {{1e9, " G"}, {1e6, " M"}, {1e5, " k"}}};
  for (const auto& [limit, letter] : scales) {
    const double divisor = limit == 1e5 ? 1e3 : limit;
    if (std::abs(value) >= limit) return fmt::format("{:.4g}{}", value / divisor, letter);
  }
  if (std::abs(value) >= 1000) return fmt::format("{:.0f}", value);
  return fmt::format("{:.4g}", value);
}

using Line = std::array<std::string, 8>;

Line line_of(const Row& row) {
  const auto& labels = row.labels;
  const auto ratio = row.ratio();
  return {labels.name,
          row.metric,
          short_number(row.value),
          row.unit,
          fmt::format("{} .. {}", short_number(row.min), short_number(row.max)),
          row.reference_value ? labels.reference : "",
          row.reference_value ? short_number(*row.reference_value) : "",
          ratio ? fmt::format("{:.2f}x", *ratio) : ""};
}

}  // namespace

void add_latency(Sample& sample, const Histogram& histogram) {
  sample.push_back({"rtt_p50", "ns", histogram.quantile_ns(0.50)});
  sample.push_back({"rtt_p99", "ns", histogram.quantile_ns(0.99)});
  sample.push_back({"rtt_p999", "ns", histogram.quantile_ns(0.999)});
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Mood reported_mood(const std::vector<CaseRepeats>& cases) {
  Mood best = Mood::unknown;
  std::size_t best_count = 0;
  for (const auto mood : {Mood::fast, Mood::slow, Mood::unknown}) {
    auto worst_served = std::numeric_limits<std::size_t>::max();
    for (const auto& one : cases)
      if (!one.repeats.empty()) worst_served = std::min(worst_served, in_mood(one, mood).size());
    if (worst_served == std::numeric_limits<std::size_t>::max()) break;  // no repeats at all
    if (worst_served > best_count) best = mood, best_count = worst_served;
  }
  if (best_count > 0) return best;
  // No mood serves every case: take the one most repeats were in.
  std::array<std::size_t, 3> counts{};
  for (const auto& one : cases)
    for (const auto& repeat : one.repeats) ++counts[static_cast<std::size_t>(repeat.mood)];
  const auto most = std::max_element(counts.begin(), counts.end()) - counts.begin();
  return static_cast<Mood>(most);
}

std::vector<Row> summarise(const std::vector<CaseRepeats>& cases) {
  const Mood mood = reported_mood(cases);
  std::vector<Row> rows;
  for (const auto& one : cases) {
    const auto repeats = in_mood(one, mood);
    if (repeats.empty()) continue;
    const auto references = repeats_named(cases, one.labels.reference, mood);
    double load = 0;
    for (const auto* repeat : repeats) load = std::max(load, repeat->other_load_percent);
    for (const auto& figure : repeats.front()->sample) {
      const auto values = values_of(repeats, figure.metric);
      const auto [least, most] = std::minmax_element(values.begin(), values.end());
      rows.push_back(Row{.labels = one.labels,
                         .metric = figure.metric,
                         .unit = figure.unit,
                         .value = median(values),
                         .min = *least,
                         .max = *most,
                         .repeats = static_cast<std::uint32_t>(values.size()),
                         .mood = mood,
                         .other_load_percent = load,
                         .reference_value = median_of(references, figure.metric),
                         .paired_ratio = paired_ratio(repeats, references, figure.metric)});
    }
  }
  return rows;
}

void print_table(std::FILE* out, const std::vector<Row>& rows) {
  std::vector<Line> lines{
      {"case", "metric", "median", "unit", "min .. max", "reference", "its median", "ratio"}};
  for (const auto& row : rows) lines.push_back(line_of(row));
  std::array<std::size_t, std::tuple_size_v<Line>> widths{};
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool number = i == 2 || i == 6 || i == 7;
      fmt::format_to(std::back_inserter(text), fmt::runtime(number ? "{:>{}}  " : "{:<{}}  "),
                     line[i], widths[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    fmt::print(out, "{}\n", text);
  }
}

std::string to_json(std::string_view bench, const Row& row) {
  const auto& labels = row.labels;
  return fmt::format(
      R"({{"bench": {}, "metric": {}, "unit": {}, "value": {}, "min": {}, "max": {}, )"
      R"("repeats": {}, "wire": {}, "placement": {}, "size": {}, "window": {}, )"
      R"("reference": {}, "reference_value": {}, "ratio": {}}})",
      json_text(bench), json_text(row.metric), json_text(row.unit), json_number(row.value),
      json_number(row.min), json_number(row.max), row.repeats, json_label(labels.wire),
      json_label(labels.placement), labels.has_size ? fmt::to_string(labels.size) : "null",
      labels.window != 0 ? fmt::to_string(labels.window) : "null",
      row.reference_value ? json_label(labels.reference) : "null", json_number(row.reference_value),
      json_number(row.ratio()));
}

}  // namespace proa::bench
