// Simulation: how many seeds a row of the matrix takes, from the environment.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace proa::sim {

/// The seeds of a row: PROA_SIM_SEED names one; PROA_SIM_SEEDS=few (sanitizers), short (the
/// default) or all says how many.
inline std::vector<std::uint64_t> seeds(std::uint32_t short_count, std::uint32_t all_count) {
  if (const char* one = std::getenv("PROA_SIM_SEED")) return {std::strtoull(one, nullptr, 0)};
  const char* set = std::getenv("PROA_SIM_SEEDS");
  const std::string how_many = set == nullptr ? "short" : set;
  std::uint32_t count = short_count;
  if (how_many == "few") count = (short_count + 3) / 4;
  if (how_many == "all") count = all_count;
  std::vector<std::uint64_t> out;
  for (std::uint64_t seed = 1; seed <= count; ++seed) out.push_back(seed);
  return out;
}
/// Long parameters are asked for.
inline bool in_full() {
  const char* set = std::getenv("PROA_SIM_SEEDS");
  return set != nullptr && std::string{set} == "all";
}
inline bool in_brief() {
  const char* set = std::getenv("PROA_SIM_SEEDS");
  return set != nullptr && std::string{set} == "few";
}

}  // namespace proa::sim
