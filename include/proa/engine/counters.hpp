// L3: what an engine counts. Cumulative since its construction; written by its thread only.
#pragma once
#include <cstdint>

#include <proa/engine/paths.hpp>
#include <proa/nic/nic.hpp>
#include <proa/wire/drop.hpp>

namespace proa {

struct EngineCounters {
  std::uint64_t turns = 0;
  std::uint64_t late_turns = 0;                // turns after a gap above EngineOptions::late_poll
  std::uint64_t rx_packets = 0, rx_bytes = 0;  // frames, before any check
  std::uint64_t tx_packets = 0, tx_bytes = 0;  // frames, filled; nic.tx_packets left the stack
  std::uint64_t tx_ring_full = 0;              // bursts the NIC did not take completely
  std::uint64_t tx_pool_empty = 0;             // no packet to fill
  std::uint64_t loopback_packets = 0;          // between two applications of this host
  std::uint64_t handed_over = 0;               // from the NIC, of other engines' flows: astray
  std::uint64_t handed_to_us = 0;              // and the other way round
  std::uint64_t path_changes = 0;              // flows that took another pair of UDP ports
  std::uint64_t path_returns = 0;              // of those: back to what silence made them leave
  PathCounters paths;
  std::uint64_t flows_connecting = 0, flows_accepted = 0, flows_ended = 0;
  std::uint64_t flows_now = 0;
  std::uint64_t answers_refuse = 0, answers_retry = 0, answers_unknown_flow = 0;
  DropCounters drops;  // received packets refused, by reason
  NicCounters nic;
};

/// What one turn did, for whoever decides when to sleep.
struct TurnReport {
  std::uint32_t requests = 0;
  std::uint32_t received = 0;
  std::uint32_t sent = 0;
  std::uint32_t timers = 0;
  std::uint32_t events = 0;

  [[nodiscard]] bool idle() const noexcept {
    return requests + received + sent + timers + events == 0;
  }
};

}  // namespace proa
