// bench: the goodput grid of the simulator, measured anew.
#include "loss_grid.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "goodput_grid.hpp"

namespace proa::bench {
namespace {

using namespace proa::sim;
using Outcome = tl::expected<Sample, std::string>;

const char* name_of(CongestionKind kind) { return grid_kind_names[static_cast<std::size_t>(kind)]; }
std::string percent(std::uint32_t ppm) { return fmt::format("{:.4g}", ppm / 1e4); }

std::string name_of(const GridCell& cell) {
  return fmt::format("{}, {} us, {} KiB, {} % lost", name_of(cell.kind), cell.round_trip_us,
                     cell.window_bytes >> 10U, percent(cell.loss_ppm));
}

/// Beside the same without loss.
Case case_of(const GridCell& cell) {
  GridCell without = cell;
  without.loss_ppm = 0;
  Labels labels{.name = name_of(cell),
                .wire = fmt::format("simulated, round trip {} us, {} % lost", cell.round_trip_us,
                                    percent(cell.loss_ppm)),
                .placement = name_of(cell.kind),
                .size = grid_message_bytes,
                .has_size = true,
                .window = cell.window_bytes / grid_message_bytes};
  if (cell.loss_ppm != 0) labels.reference = name_of(without);
  return {std::move(labels), [cell]() -> Outcome {
            try {
              return Sample{{"throughput", "Gbit/s", grid_goodput(cell)}};
            } catch (const Failure& failure) {
              return tl::unexpected<std::string>(failure.what());
            }
          }};
}

/// The cells that differ in what they lose only.
std::array<GridCell, grid_ppm.size()> line_of(GridCell cell) {
  std::array<GridCell, grid_ppm.size()> out;
  std::transform(grid_ppm.begin(), grid_ppm.end(), out.begin(), [cell](std::uint32_t ppm) mutable {
    cell.loss_ppm = ppm;
    return cell;
  });
  return out;
}

std::vector<GridCell> lines(const std::vector<std::uint32_t>& round_trips_us) {
  std::vector<GridCell> out;
  for (const auto kind : grid_kinds)
    for (const auto round_trip_us : round_trips_us)
      for (const auto window : grid_windows) out.push_back({kind, round_trip_us, window, 0});
  return out;
}

void print(const std::vector<Row>& rows, const std::vector<GridCell>& all) {
  fmt::print(
      "Goodput in Gbit/s by controller, round trip, bytes outstanding and loss; 25 Gbit/s, "
      "messages of {} KiB\n{}\n",
      grid_message_bytes >> 10U, grid_columns());
  for (const auto& line : all) {
    std::array<double, grid_ppm.size()> values{};
    const auto cells = line_of(line);
    std::transform(cells.begin(), cells.end(), values.begin(), [&](const GridCell& cell) {
      return value_of(rows, name_of(cell), "throughput").value_or(0);
    });
    fmt::print("{}\n", grid_line(line, values));
  }
}

}  // namespace

void measure_grid(Bench& bench, const std::vector<std::uint32_t>& round_trips_us) {
  bench.simulate();
  bench.options().repeats = 1;  // the snapshot's seed: every repeat is the same
  const auto all = lines(round_trips_us);
  std::vector<Case> cases;
  for (const auto& line : all)
    for (const auto& cell : line_of(line)) cases.push_back(case_of(cell));
  bench.measure(cases, false);
  print(bench.rows(), all);
}

Diagram grid_diagram(const std::vector<Row>& rows,
                     const std::vector<std::uint32_t>& round_trips_us) {
  Diagram out{
      .title = fmt::format("Goodput of {} KiB messages under random loss, simulated: link of "
                           "25 Gbit/s; curves: what the application keeps outstanding",
                           grid_message_bytes >> 10U),
      .x_axis = "packets lost in each direction, %",
      .columns = round_trips_us.size()};
  for (const auto ppm : grid_ppm) out.marks.push_back(percent(ppm));
  for (const auto& line : lines(round_trips_us)) {
    if (line.window_bytes == grid_windows.front())
      out.panels.push_back(
          {fmt::format("{}, {} us: Gbit/s", name_of(line.kind), line.round_trip_us), false, {}});
    Curve curve{fmt::format("{} KiB", line.window_bytes >> 10U)};
    for (const auto& cell : line_of(line))
      curve.values.push_back(value_of(rows, name_of(cell), "throughput"));
    out.panels.back().curves.push_back(std::move(curve));
  }
  return out;
}

}  // namespace proa::bench
