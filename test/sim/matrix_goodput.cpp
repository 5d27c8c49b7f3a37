// TEST-MATRIX A4: how much of the link remains under random loss; and the goodput grid, a snapshot.
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "goodput_grid.hpp"
#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::array<std::uint32_t, 14> sweep_ppm{0,      1'000,  2'000,   3'000,  4'000,
                                                  5'000,  6'000,  7'000,   8'000,  9'000,
                                                  10'000, 50'000, 100'000, 300'000};

Plan lossy_backlog(std::uint64_t seed, CongestionKind kind, std::uint32_t loss_ppm) {
  Plan plan = base_plan(seed);
  plan.congestion = kind;
  for (auto& faults : plan.faults) faults = random_loss(loss_ppm);
  add_messages(plan, client, 8, 8U << 20U);
  return plan;
}

/// Bits per nanosecond, the mean over the row's seeds.
double mean_goodput(CongestionKind kind, std::uint32_t loss_ppm) {
  double sum = 0;
  const auto all = seeds(3, 20);
  for (const auto seed : all) {
    INFO("PROA_SIM_SEED=" << seed << ", " << loss_ppm << " ppm");
    ProductScene scene{lossy_backlog(seed, kind, loss_ppm), run_options()};
    // All there are: the clock starts at a delivery, and one that was late flatters those after it.
    const double rate = goodput(scene, 4);
    REQUIRE(rate > 0);
    // Complete before the network heals, at 30 % too.
    REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 10s));
    scene.conclude();
    sum += rate;
  }
  return sum / static_cast<double>(all.size());
}

/// RFC 9438 figure 5 for a path this short: in the Reno-friendly region the mean window is
/// sqrt(alpha (1 + beta) / (2 (1 - beta) p)) packets, with alpha = 3 (1 - beta) / (1 + beta).
double cubic_response(std::uint32_t loss_ppm) {
  constexpr double round_trip_ns = 41'000, packet_bits = 1440 * 8;
  const double packets = std::sqrt(1.5 / (static_cast<double>(loss_ppm) / 1e6));
  return packets * packet_bits / round_trip_ns;
}

// ---- the grid

std::vector<std::string> grid() {
  std::vector<std::string> rows;
  for (const auto kind : grid_kinds)
    for (const auto round_trip_us : grid_round_trips_us)
      for (const std::uint32_t window : grid_windows) {
        if (in_brief() && window != 256U << 10U) continue;
        std::array<double, grid_ppm.size()> values{};
        for (std::size_t i = 0; i < values.size(); ++i)
          values[i] = grid_goodput({kind, round_trip_us, window, grid_ppm[i]});
        rows.push_back(grid_line({kind, round_trip_us, window}, values));
      }
  return rows;
}

/// Within 10 % or 1 % of the link: runs are exactly repeatable, but any change of the transport
/// sends other packets into the same losses, and that much is luck.
bool alike(const std::string& reviewed, const std::string& now) {
  std::istringstream a{reviewed}, b{now};
  for (std::size_t i = 0; i < grid_ppm.size(); ++i) {
    double x = -1, y = -1;
    if (!(a >> x) || !(b >> y)) return false;
    if (std::abs(x - y) > std::max(0.1 * x, 0.25)) return false;
  }
  return true;
}

const char* grid_head =
    "# Goodput in Gbit/s by controller, round trip, bytes the application keeps outstanding, and\n"
    "# random loss in both directions, on a link of 25 Gbit/s with messages of 16 KiB; one seed.\n"
    "# Made by: PROA_UPDATE_SNAPSHOT=1 sim_matrix_flow '[grid]'; review what changes.\n"
    "# To look at it: bench_loss --grid --svg FILE\n";

}  // namespace

TEST_CASE("goodput falls monotonously with loss; 1 % costs at most 10 %, 0.1 % at most 2 %",
          "[A4]") {
  for (const auto kind : {CongestionKind::swift, CongestionKind::fixed_window}) {
    std::map<std::uint32_t, double> rate;
    double lowest = 1e9;
    for (const auto ppm : sweep_ppm) {
      if (in_brief() && ppm % 10'000 != 0 && ppm != 1'000) continue;
      rate[ppm] = mean_goodput(kind, ppm);
      INFO("controller " << static_cast<int>(kind) << ", " << ppm << " ppm: " << rate[ppm]
                         << " Gbit/s of " << rate[0]);
      CHECK(rate[ppm] <= 1.02 * lowest);
      lowest = std::min(lowest, rate[ppm]);
      if (ppm == 1'000) CHECK(rate[ppm] >= 0.98 * rate[0]);
      if (ppm <= 10'000) CHECK(rate[ppm] >= 0.90 * rate[0]);
    }
  }
}

TEST_CASE("Cubic's goodput under loss is what its response function says", "[A4][rfc9438-5.1]") {
  const double without_loss = mean_goodput(CongestionKind::cubic, 0);
  for (const std::uint32_t ppm : {1'000U, 2'000U, 5'000U, 10'000U, 50'000U}) {
    const double expected = std::min(cubic_response(ppm), without_loss);
    const double measured = mean_goodput(CongestionKind::cubic, ppm);
    INFO(ppm << " ppm: " << measured << " Gbit/s, by the formula " << expected);
    CHECK(measured >= 0.7 * expected);
    CHECK(measured <= 1.5 * expected);
  }
}

TEST_CASE("the goodput grid is as reviewed", "[A4][grid]") {
  const auto rows = grid();
  if (std::getenv("PROA_UPDATE_SNAPSHOT") != nullptr) {
    std::ofstream out{PROA_GOODPUT_GRID};
    out << grid_head << "#" << grid_columns().substr(1) << '\n';
    for (const auto& row : rows) out << row << '\n';
    return;
  }
  std::ifstream in{PROA_GOODPUT_GRID};
  REQUIRE(in.good());
  std::map<std::string, std::string> reviewed;  // by controller, round trip and window
  constexpr std::size_t key_length = 25;
  for (std::string line; std::getline(in, line);)
    if (line[0] != '#') reviewed[line.substr(0, key_length)] = line;
  for (const auto& row : rows) {
    INFO("now:      " << row << "\nreviewed: " << reviewed[row.substr(0, key_length)]);
    CHECK(alike(reviewed[row.substr(0, key_length)].substr(key_length), row.substr(key_length)));
  }
  if (!in_brief()) CHECK(reviewed.size() == rows.size());
}
