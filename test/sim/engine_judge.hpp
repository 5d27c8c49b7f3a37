// Simulation, second level: what may have become of a connection when everything is over.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine_plan.hpp"
#include "engine_side.hpp"

namespace proa::sim {

/// The client is done with and its server has not heard of it yet, or the other way round.
[[nodiscard]] inline bool half_way(const Connection& c) {
  if (c.plan->fate == Fate::refused || c.plan->fate == Fate::nobody) return false;
  return !c.has_flow[0] && !c.gone[0];
}

[[nodiscard]] inline bool all_over(const std::vector<Connection>& connections) {
  for (const auto& c : connections)
    if (!c.over() || half_way(c)) return false;
  return true;
}

/// Whether an end may have been told what it was told. `saw_reset`: the RESET of the other end is
/// known to have come.
[[nodiscard]] inline bool allowed(const Connection& c, std::uint32_t end, bool saw_reset) noexcept {
  const Reason why = c.app[end]->reason();
  const bool closer = c.plan->closer == 2 || c.plan->closer == end;
  switch (c.plan->fate) {
    case Fate::deliver:
    case Fate::early_close:
      if (c.plan->closer == 2 && why == Reason::closed_by_peer) return true;
      // Two generals: every acknowledgement was lost until the peer had forgotten the flow.
      if (closer && why == Reason::peer_restarted) return true;
      return why == (closer ? Reason::closed_by_application : Reason::closed_by_peer);
    case Fate::reset:
      if (end == c.plan->closer % 2) return why == Reason::reset_by_application;
      // Two generals: every RESET was lost until its sender had forgotten the flow.
      return why == Reason::reset_by_peer ||
             (why == Reason::peer_restarted && c.plan->from != c.plan->to && !saw_reset);
    case Fate::refused:
      return why == Reason::connection_refused;
    case Fate::nobody:
      return why == Reason::peer_unreachable || why == Reason::handshake_timeout;
  }
  return false;
}

/// saw_reset(end): as above.
template <class SawReset>
void judge(const Connection& c, std::uint32_t index, SawReset saw_reset) {
  const std::string name = "connection " + std::to_string(index);
  for (std::uint32_t end = 0; end < 2; ++end)
    if (c.has_flow[end] && !allowed(c, end, saw_reset(end)))
      fail(name + " (" + fate_names[static_cast<std::size_t>(c.plan->fate)] + ") end " +
           std::to_string(end) + " was told '" + std::string(text(c.app[end]->reason())) + "'");
  if (c.plan->fate != Fate::deliver && c.plan->fate != Fate::early_close) return;
  for (std::uint32_t end = 0; end < 2; ++end)
    if (!c.app[end]->all_submitted() || c.app[1 - end]->received() != c.app[end]->submitted())
      fail(name + " ended before everything was delivered");
}

/// What keeps a run from its end, in words.
[[nodiscard]] inline std::string missing_of(const Connection& c) {
  std::string out;
  for (std::uint32_t end = 0; end < 2; ++end) {
    const Application& app = *c.app[end];
    out += end == 0 ? "client" : ", server";
    if (c.gone[end]) out += " gone";
    if (!c.gone[end] && !c.has_flow[end]) out += " none";
    if (app.ended() || app.established()) out += app.ended() ? " ended" : " open";
    out += " " + std::to_string(app.submitted()) + " sent " + std::to_string(app.received()) +
           " received";
    if (!app.all_submitted()) out += " more to submit";
    if (!app.all_told()) out += " not told";
  }
  return out;
}
[[nodiscard]] inline std::string missing(const std::vector<Connection>& connections) {
  std::string out;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const Connection& c = connections[i];
    if (c.over() && !half_way(c)) continue;
    out += "connection " + std::to_string(i) + " (" +
           fate_names[static_cast<std::size_t>(c.plan->fate)] + "): " + missing_of(c) + "; ";
  }
  return out;
}

}  // namespace proa::sim
