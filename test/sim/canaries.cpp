// The simulator's own test: a correct toy passes, and every planted bug is found by its oracle.
#include <cstdio>
#include <string>
#include <utility>

#include "toy.hpp"

using namespace proa::sim;

namespace {

constexpr std::uint64_t seeds_for_a_bug = 400;
constexpr std::uint64_t seeds_without_bugs = 150;

/// The first seed at which the bug shows, with what the oracle said.
bool caught(Bug bug) {
  ToyTraits::bug = bug;
  const std::string symptom = bug_symptoms[static_cast<std::size_t>(bug)];
  std::string other;
  for (std::uint64_t seed = 1; seed <= seeds_for_a_bug; ++seed) {
    const Outcome outcome = World<ToyTraits>(small_plan(seed), RunOptions{false, 1}).run();
    if (outcome.failure.find(symptom) != std::string::npos) return true;
    if (!outcome.failure.empty()) other = outcome.failure;
  }
  std::printf("bug %u was not caught: expected '%s', saw '%s'\n", static_cast<unsigned>(bug),
              symptom.c_str(), other.c_str());
  return false;
}

bool all_caught() {
  bool all = true;
  for (unsigned bug = 1; bug < static_cast<unsigned>(Bug::count_); ++bug)
    all = caught(static_cast<Bug>(bug)) && all;
  return all;
}

bool correct_toy_passes() {
  std::array<std::uint32_t, mode_names.size()> modes{};
  for (std::uint64_t seed = 1; seed <= seeds_without_bugs; ++seed) {
    const Plan plan = small_plan(seed);
    ++modes[static_cast<std::size_t>(plan.mode)];
    const Outcome first = World<ToyTraits>(plan, RunOptions{false, 1}).run();
    if (!first.failure.empty()) {
      std::printf("the correct toy fails at seed %llu (%s): %s\n",
                  static_cast<unsigned long long>(seed),
                  mode_names[static_cast<std::size_t>(plan.mode)], first.failure.c_str());
      return false;
    }
    const Outcome again = World<ToyTraits>(plan, RunOptions{false, 1}).run();
    if (again.trace != first.trace) {
      std::printf("seed %llu is not deterministic\n", static_cast<unsigned long long>(seed));
      return false;
    }
  }
  for (std::size_t i = 0; i < modes.size(); ++i)
    if (modes[i] == 0) std::printf("no seed had mode %s\n", mode_names[i]);
  return std::find(modes.begin(), modes.end(), 0U) == modes.end();
}

}  // namespace

int main() {
  const bool correct = correct_toy_passes();
  const bool caught = all_caught();
  if (correct && caught)
    std::printf("%u planted bugs, all caught\n", static_cast<unsigned>(Bug::count_) - 1);
  return correct && caught ? 0 : 1;
}
