// Simulation: the base plan of TEST-MATRIX part A, and what is changed in it; no test framework.
#pragma once
#include <cstdint>
#include <cstdlib>

#include "seeds.hpp"
#include "transport_traits.hpp"

namespace proa::sim {

using Product = TransportTraits<>;
using ProductScene = Scene<Product>;

/// Base of part A: RTT 40 us, 25 Gbit/s, nothing goes wrong, one client and one server.
inline Plan base_plan(std::uint64_t seed, std::uint32_t pairs = 1) {
  Plan plan;
  plan.seed = seed;
  plan.pairs = pairs;
  plan.script.resize(pairs);
  return plan;
}

/// `count` messages from `host` on every flow, `gap` apart; the application asks to be told of the
/// last one.
inline void add_messages(Plan& plan, std::uint32_t host, std::uint32_t count, std::uint32_t length,
                         Duration gap = {}) {
  for (auto& both : plan.script) {
    auto& messages = both[host].messages;
    messages.insert(messages.end(), count, PlannedMessage{length, gap, false});
    messages.back().notify = true;
  }
}

inline LinkFaults random_loss(std::uint32_t ppm, std::uint32_t burst_max = 1) {
  LinkFaults out;
  out.loss_ppm = ppm;
  out.burst_max = burst_max;
  return out;
}

inline RunOptions run_options() {
  return {std::getenv("PROA_SIM_TRACE") != nullptr, in_full() ? 1024U : 256U};
}

}  // namespace proa::sim
