// bench: the goodput grid of the simulator, measured anew: a table and a diagram of what
// test/sim/goodput_grid.txt holds for review.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "harness.hpp"
#include "plot.hpp"

namespace proa::bench {

/// Controller x window x loss for these round trips; prints the lines of the snapshot.
void measure_grid(Bench& bench, const std::vector<std::uint32_t>& round_trips_us);

/// A row of panels for each controller, a panel for each round trip, a curve for each window.
[[nodiscard]] Diagram grid_diagram(const std::vector<Row>& rows,
                                   const std::vector<std::uint32_t>& round_trips_us);

}  // namespace proa::bench
