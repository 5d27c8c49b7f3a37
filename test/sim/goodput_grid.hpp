// Simulation: the goodput grid: controller x round trip x window x loss, as the reviewed snapshot
// has it and bench_loss --grid shows it.
#pragma once
#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <string>

#include "base_plan.hpp"

namespace proa::sim {

struct GridCell {
  CongestionKind kind{};
  std::uint32_t round_trip_us = 0;
  std::uint32_t window_bytes = 0;  // what the application keeps outstanding
  std::uint32_t loss_ppm = 0;      // in each direction
};

inline constexpr std::array<CongestionKind, 3> grid_kinds{
    CongestionKind::swift, CongestionKind::cubic, CongestionKind::fixed_window};
inline constexpr std::array<const char*, 3> grid_kind_names{"swift", "cubic", "fixed"};
inline constexpr std::array<std::uint32_t, 4> grid_round_trips_us{20, 40, 200, 1000};
inline constexpr std::array<std::uint32_t, 3> grid_windows{64U << 10U, 256U << 10U, 1U << 20U};
inline constexpr std::array<std::uint32_t, 6> grid_ppm{0, 1'000, 10'000, 50'000, 100'000, 300'000};
inline constexpr std::uint32_t grid_message_bytes = 16U << 10U;

/// Gbit/s that the server's application gets on a link of 25 Gbit/s, after a third of the time.
inline double grid_goodput(const GridCell& cell) {
  const Duration round_trip = std::chrono::microseconds{cell.round_trip_us};
  Plan plan = base_plan(1);
  plan.congestion = cell.kind;
  plan.delay = round_trip / 2;
  plan.send_queue_bytes_max = cell.window_bytes;
  for (auto& faults : plan.faults) faults = random_loss(cell.loss_ppm);
  const Duration whole = std::max<Duration>(9ms, 60 * round_trip);
  const auto most = static_cast<std::uint32_t>(whole.count() * 25 / 8 / grid_message_bytes) + 100;
  add_messages(plan, client, most, grid_message_bytes);
  ProductScene scene{plan, run_options()};
  const Application& app = scene.app(server);
  scene.run_for(whole / 3);
  const std::uint64_t before = app.received_bytes();
  scene.run_for(whole - whole / 3);
  const std::uint64_t bytes = app.received_bytes() - before;
  scene.conclude_early();
  return static_cast<double>(bytes) * 8 / static_cast<double>((whole - whole / 3).count());
}

/// A line of the grid: what stands before the figures takes as much room in all of them.
inline std::string grid_line(const GridCell& cell, std::span<const double> goodput) {
  char text[64];
  std::snprintf(text, sizeof text, "%-6s %5u us %5u KiB ",
                grid_kind_names[static_cast<std::size_t>(cell.kind)], cell.round_trip_us,
                cell.window_bytes >> 10U);
  std::string out = text;
  for (const double gbit : goodput) {
    std::snprintf(text, sizeof text, " %6.2f", gbit);
    out += text;
  }
  return out;
}

/// What stands above those lines: the losses.
inline std::string grid_columns() {
  std::string out(25, ' ');
  for (const auto ppm : grid_ppm) {
    char text[16];
    std::snprintf(text, sizeof text, " %4g %%", static_cast<double>(ppm) / 10'000);
    out += text;
  }
  return out;
}

}  // namespace proa::sim
