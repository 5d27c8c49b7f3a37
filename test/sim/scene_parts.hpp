// Simulation: what a scene consists of: its hosts, and each flow with both its ends.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <proa/mem/scratch_pool.hpp>

#include "application.hpp"
#include "checked_memory.hpp"
#include "plan.hpp"

namespace proa::sim {

struct RunOptions {
  bool print = false;
  std::uint32_t audit_every = 16;  // calls between two looks at broken_invariant(), which is O(n)
};

/// What a flow is made of, for the traits that make it.
template <class Options>
struct FlowSetup {
  const Options* options;  // the host's; outlives its flows
  CheckedMemory* memory;
  ScratchPool* scratch;
  const Plan* plan;
  std::uint32_t pair;
  std::uint64_t seed;
  Instant now;
  Instant deadline;
};

inline constexpr std::uint32_t client = 0, server = 1;  // hosts

/// What the flows of a host share.
template <class Traits>
struct SceneHost {
  explicit SceneHost(const Plan& plan)
      : memory(HeapMemory::Options{std::uint64_t{64} << 20U, plan.receive_bytes,
                                   plan.message_bytes_max}),
        scratch(std::uint64_t{64} << 20U),
        options(Traits::options(plan)) {}
  CheckedMemory memory;
  CheckedMemory* memory_pointer = &memory;
  ScratchPool scratch;
  typename Traits::Options options;
  Instant stalled_until{};
  Instant stalled_since{};
  bool settled = false;                           // it had nothing more to do when time passed last
  std::vector<std::uint32_t> waiting_for_memory;  // pairs, first come first served
};

/// A flow: both ends, and the application behind each.
template <class Traits>
struct ScenePair {
  std::array<std::unique_ptr<typename Traits::Flow>, 2> flow;
  std::array<std::unique_ptr<Application>, 2> app;
  bool server_came = false;
};

template <class Traits>
bool all_finished(const std::vector<ScenePair<Traits>>& pairs) {
  for (const auto& pair : pairs)
    for (const auto& flow : pair.flow)
      if (flow && !flow->finished()) return false;
  return true;
}

/// What keeps a run from its end, in words.
template <class Traits>
std::string missing(const std::vector<ScenePair<Traits>>& pairs) {
  std::string out;
  for (std::size_t pair = 0; pair < pairs.size(); ++pair)
    for (std::uint32_t host = 0; host < 2; ++host) {
      const Application& from = *pairs[pair].app[host];
      const Application& to = *pairs[pair].app[1 - host];
      if (from.all_submitted() && to.received() == from.submitted() && from.all_told()) continue;
      (out += "pair ") += std::to_string(pair);
      (out += " from host ") += std::to_string(host);
      (out += ": ") += std::to_string(from.submitted());
      (out += " submitted, ") += std::to_string(to.received());
      out += " received";
      if (!from.all_submitted()) out += ", more to submit";
      if (!from.all_told()) out += ", sent not told";
      out += "; ";
    }
  return out;
}

}  // namespace proa::sim
