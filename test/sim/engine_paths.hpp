// Simulation, second level: partitions and clogged paths between hosts, each until its time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <proa/nic/sim.hpp>

#include "engine_plan.hpp"

namespace proa::sim {

/// Knows hosts, not ports: a host that restarts has a new port and the same faults.
class PathFaults {
 public:
  void add(const Incident& incident, std::uint32_t hosts, Instant until) {
    for (std::uint32_t from = 0; from < hosts; ++from)
      for (std::uint32_t to = 0; to < hosts; ++to)
        if (from != to && concerns(incident, from, to))
          faults_.push_back({from, to, incident.kind == IncidentKind::clogged, until});
  }
  void clear() { faults_.clear(); }
  /// Drops what is over; true if something was.
  bool expire(Instant now) {
    return std::erase_if(faults_, [&](const Fault& f) { return f.until <= now; }) != 0;
  }
  [[nodiscard]] Instant next_end() const {
    Instant at = never;
    for (const Fault& fault : faults_) at = std::min(at, fault.until);
    return at;
  }
  /// port_of(host) is that host's present port.
  template <class PortOf>
  [[nodiscard]] std::vector<SimPathFault> between_ports(PortOf port_of) const {
    std::vector<SimPathFault> out;
    for (const Fault& f : faults_)
      out.push_back({port_of(f.from), port_of(f.to), !f.clogged, f.clogged ? f.until : Instant{}});
    return out;
  }

 private:
  struct Fault {
    std::uint32_t from, to;
    bool clogged;  // else: cut
    Instant until;
  };

  [[nodiscard]] static bool concerns(const Incident& incident, std::uint32_t from,
                                     std::uint32_t to) noexcept {
    const bool from_in = (incident.peers >> from & 1U) != 0,
               to_in = (incident.peers >> to & 1U) != 0;
    if (incident.kind == IncidentKind::partition) return from_in != to_in;
    return from == incident.host && to_in;
  }

  std::vector<Fault> faults_;
};

}  // namespace proa::sim
