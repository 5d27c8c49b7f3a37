// L3: what can be set per engine, each with its unit and where the number comes from.
#pragma once
#include <cstdint>
#include <memory>

#include <proa/base/time.hpp>
#include <proa/engine/engine_group.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/engine/local_interfaces.hpp>
#include <proa/transport/options.hpp>

namespace proa {

/// From a NIC's interrupt until a thread that slept on it polls, mostly.
inline constexpr Duration usual_wake_up = std::chrono::microseconds{25};

struct EngineOptions {
  std::uint32_t index = 0;           // the low 6 bits of this engine's flow ids
  std::uint32_t flows_max = 65'536;  // address space, not memory: slots are touched when used
  std::uint32_t apps_max = 1;        // applications served: 1 in process, channels in the sidecar
  std::uint64_t seed = 0;            // flow ids, ports, packet numbers, jitter
  std::uint64_t scratch_bytes = std::uint64_t{1} << 30U;  // address space for queues of flows
  // One burst each way: then what was received is acknowledged. Longer turns at both ends make a
  // window that fits into one travel in lockstep, and the delay of that passes for congestion.
  std::uint32_t rx_packets_per_turn = 32;
  std::uint32_t tx_packets_per_turn = 32;
  std::uint32_t timers_per_turn = 256;
  std::uint32_t quantum_bytes = 12'000;  // per flow and round: eight packets of 1500 B
  Duration late_poll = std::chrono::microseconds{100};  // a longer gap: receive before timers
  std::uint32_t answers_per_second = 10'000;  // refusals and "unknown flow", all peers together
  std::uint32_t answers_burst = 64;
  std::uint32_t half_open_free = 256;     // from here on a SYN must prove its address by a cookie
  std::uint32_t half_open_max = 4096;     // accepted flows whose first packet has not come yet
  std::uint32_t handovers_per_turn = 32;  // as many as packets of its own
  std::uint32_t routes_max = 1024;        // peer engines whose paths are remembered
  // What it shares with the other engines of its port; none: it is the only one.
  std::shared_ptr<EngineGroup> group{};
  // Where else this host has addresses; none: nowhere.
  std::shared_ptr<const LocalInterfaces> local{};
  FlowOptions flow;
  InterfacePlan interface;
};

}  // namespace proa
