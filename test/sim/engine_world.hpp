// Simulation, second level: whole engines on simulated NICs, joined by a switch.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <proa/engine/engine.hpp>
#include <proa/nic/lossy.hpp>
#include <proa/nic/pcap_tap.hpp>
#include <proa/nic/sim.hpp>

#include "engine_paths.hpp"
#include "engine_plan.hpp"
#include "engine_side.hpp"
#include "reset_watch.hpp"

namespace proa::sim {

struct EngineOutcome {
  std::string failure;
  std::uint64_t trace = 0;
  Instant ended{};
  std::uint64_t messages = 0, steps = 0, frames = 0, retries = 0;
  std::uint64_t lost = 0, repeated = 0, corrupted = 0, reordered = 0, overflowed = 0;
  std::uint64_t cut = 0, marked = 0;
  DropCounters drops;  // of all hosts that lived to the end
};

class EngineWorld {
 public:
  using TestNic = ResetWatch<PcapTap<Lossy<SimNic>>>;
  using TestEngine = Engine<TestNic, EngineSide>;

  EngineWorld(const EnginePlan& plan, PcapSink& sink, std::uint32_t audit_every)
      : plan_(plan),
        prng_(plan.seed),
        sink_(&sink),
        audit_every_(audit_every),
        network_(prng_.next(), plan.switching, plan.port.frame_bytes_max),
        connections_(plan.connections.size()) {
    for (std::uint32_t i = 0; i < connections_.size(); ++i) prepare(i);
    for (std::uint32_t i = 0; i < plan_.hosts; ++i) hosts_.push_back(make_host(i));
  }

  EngineOutcome run() {
    try {
      run_all();
    } catch (const Failure& failure) {
      outcome_.failure = failure.what();
    }
    outcome_.ended = now_;
    outcome_.trace ^= network_.trace();
    outcome_.frames = network_.counters().forwarded;
    outcome_.overflowed += network_.counters().queue_drops;
    outcome_.lost += network_.counters().link_losses;
    outcome_.cut = network_.counters().cut;
    outcome_.marked = network_.counters().marked;
    for (auto& c : connections_)
      for (auto& app : c.app) {
        outcome_.messages += app->received();
        app->finish();
      }
    return outcome_;
  }

 private:
  static constexpr Duration convergence_limit = 40s;  // idle limit and a few probes
  static constexpr Duration forget_limit = 90s;
  static constexpr std::uint64_t steps_max = 2'000'000;
  static constexpr std::uint32_t turns_at_once = 512;

  struct Host {
    Host(EngineWorld& world, std::uint32_t index_, std::uint32_t life)
        : index(index_),
          port(world.network_, world.port_options(index_)),
          nic(PcapTap(Lossy<SimNic>(port.nic(), world.prng_.next()), *world.sink_,
                      "host" + std::to_string(index_) + (life > 0 ? "b" : ""))),
          side(world.plan_, index, world.connections_, world.clients_, world.prng_.next()),
          engine(nic, side, world.engine_options(index, life), world.now_) {}
    std::uint32_t index;
    SimPort port;
    TestNic nic;
    EngineSide side;
    TestEngine engine;
    Instant repoll_at = never;
    Instant late_until{}, rest_until{};
    std::array<Instant, 2> hole_until{};  // tx, rx
    Instant down_until{};
  };

  // ---- the run

  void run_all() {
    const Instant chaos_ends = Instant{} + plan_.chaos;
    for (auto& host : hosts_) set_faults(*host);
    (void)run_until([&] { return all_over(); }, chaos_ends);
    heal();
    if (!run_until([&] { return all_over(); }, now_ + convergence_limit))
      fail("no convergence after healing: " + missing());
    for (std::uint32_t i = 0; i < connections_.size(); ++i) judge(i);
    if (!run_until([&] { return no_flow_left(); }, now_ + forget_limit))
      fail("an engine keeps a flow after its end");
    destroy();
  }
  template <class Done>
  bool run_until(Done done, Instant limit) {
    while (!done()) {
      const Instant at = next_time();
      if (at > limit) {
        now_ = std::max(now_, limit);
        network_.advance(now_);
        return false;
      }
      step(at);
    }
    return true;
  }
  void step(Instant at) {
    demand(++outcome_.steps < steps_max, "too many steps: something spins");
    now_ = std::max(now_, at);
    network_.advance(now_);
    handle_incidents();
    for (std::uint32_t i = 0; i < hosts_.size(); ++i)
      if (due(*hosts_[i])) take_turns(i);
    reconnect();
  }
  [[nodiscard]] Instant wake_at(const Host& host) const {
    Instant at = std::min(host.engine.next_timeout(), host.nic.next_event());
    at = std::min({at, host.side.next_action(), host.repoll_at});
    return at == never ? never : std::max({at, host.late_until, host.rest_until});
  }
  [[nodiscard]] bool due(const Host& host) const { return wake_at(host) <= now_; }
  [[nodiscard]] Instant next_time() const {
    Instant at = std::min(network_.next_event(), paths_.next_end());
    if (next_incident_ < plan_.incidents.size() && !healed_)
      at = std::min(at, plan_.incidents[next_incident_].at);
    for (const auto& host : hosts_) {
      at = std::min(at, wake_at(*host));
      for (const Instant end : {host->hole_until[0], host->hole_until[1], host->down_until})
        if (end > now_) at = std::min(at, end);
    }
    return at;
  }
  /// Turns of one host until it has nothing more to do at this instant. If it still wants a turn
  /// after two that did nothing but look at timers (a ring is full), time has to pass first.
  void take_turns(std::uint32_t index) {
    Host& host = *hosts_[index];
    host.repoll_at = never;
    // It polls all the time, or sleeps and is woken by what arrives, unless its thread was away.
    if (host.late_until != now_) host.engine.note_ring_empty_until(now_);
    bool again = true;
    std::uint32_t in_vain = 0;
    for (std::uint32_t n = 0; again; ++n) {
      demand(n < turns_at_once, "an engine does not come to rest");
      host.side.set_now(now_);
      const TurnReport report = host.engine.turn([this] { return now_; });
      check(host);
      again = due(host);
      if (host.side.take_refused_room()) host.repoll_at = now_ + 3us;
      const bool moved = report.requests + report.received + report.sent + report.events != 0;
      in_vain = moved ? 0 : in_vain + 1;
      if (again && (report.idle() || in_vain > 1)) {
        host.rest_until = now_ + 1us;
        break;
      }
    }
  }
  void check(Host& host) {
    if (!host.side.complaint().empty()) fail(host.side.complaint());
    if (const char* why = host.side.memory().complaint()) fail(why);
    if (++checks_ % audit_every_ != 0) return;
    if (const char* why = host.engine.broken_invariant())
      fail(std::string("broken invariant: ") + why);
    demand(host.side.memory().ledger_consistent(), "the memory ledger does not add up");
  }

  // ---- faults

  void set_faults(Host& host) {
    LossyFaults nothing_passes;
    nothing_passes.drop_ppm = 1'000'000;
    const LossyFaults none;
    Lossy<SimNic>& lossy = host.nic.inner();
    const bool tx_hole = host.hole_until[0] > now_, rx_hole = host.hole_until[1] > now_;
    lossy.set_tx(tx_hole ? nothing_passes : healed_ ? none : plan_.faults[0]);
    lossy.set_rx(rx_hole ? nothing_passes : healed_ ? none : plan_.faults[1]);
    host.port.set_link_up(host.down_until <= now_);
    SimLinkOptions link = plan_.links[host.index];
    if (healed_) link.to_switch = link.to_port = {};
    host.port.set_link(link);
  }
  void set_path_faults() {
    network_.set_path_faults(
        paths_.between_ports([this](std::uint32_t i) { return hosts_[i]->port.index(); }));
  }
  void handle_incidents() {
    for (auto& host : hosts_) {
      const bool ends =
          host->hole_until[0] == now_ || host->hole_until[1] == now_ || host->down_until == now_;
      if (ends) set_faults(*host);
    }
    if (paths_.expire(now_)) set_path_faults();
    for (; !healed_ && next_incident_ < plan_.incidents.size() &&
           plan_.incidents[next_incident_].at <= now_;
         ++next_incident_)
      happen(plan_.incidents[next_incident_]);
  }
  void happen(const Incident& incident) {
    Host& host = *hosts_[incident.host];
    const Instant until = now_ + incident.length;
    switch (incident.kind) {
      case IncidentKind::tx_hole:
        host.hole_until[0] = until;
        break;
      case IncidentKind::rx_hole:
        host.hole_until[1] = until;
        break;
      case IncidentKind::link_down:
        host.down_until = until;
        break;
      case IncidentKind::port_reset:
        host.port.reset();
        break;
      case IncidentKind::late_poll:
        host.late_until = until;
        return;
      case IncidentKind::partition:
      case IncidentKind::one_way:
      case IncidentKind::clogged:
        paths_.add(incident, plan_.hosts, until);
        return set_path_faults();
      case IncidentKind::crash:
        return restart(incident.host);
    }
    set_faults(host);
  }
  void heal() {
    healed_ = true;
    paths_.clear();
    set_path_faults();
    for (auto& host : hosts_) {
      host->hole_until = {};
      host->down_until = host->late_until = {};
      host->side.heal();
      set_faults(*host);
    }
  }
  /// The host forgets everything; its addresses stay. Ends on it are gone.
  void restart(std::uint32_t index) {
    for (auto& c : connections_)
      for (std::uint32_t end = 0; end < 2; ++end) {
        const std::uint32_t host = end == 0 ? c.plan->from : c.plan->to;
        if (host != index || !(c.has_flow[end] || end == 0)) continue;
        c.gone[end] = true;
        c.started = true;
        c.retry_at.reset();
        c.app[end]->finish();
      }
    hosts_[index].reset();
    ++lives_;
    hosts_[index] = make_host(index);
    set_faults(*hosts_[index]);
    set_path_faults();
  }
  /// A connect that failed although the peer is there (its address could not be resolved under
  /// loss) is tried again, as an application would.
  void reconnect() {
    for (std::uint32_t i = 0; i < connections_.size(); ++i) {
      Connection& c = connections_[i];
      const bool hopeless = c.plan->fate == Fate::refused || c.plan->fate == Fate::nobody;
      if (hopeless || c.gone[0] || !c.has_flow[0] || !c.app[0]->ended() ||
          c.app[0]->established() || c.has_flow[1])
        continue;
      const Reason why = c.app[0]->reason();
      const bool may = why == Reason::peer_unreachable || why == Reason::handshake_timeout ||
                       (plan_.crashes && why == Reason::peer_restarted);
      if (!may) fail("a connect failed: " + std::string(text(why)));
      demand(c.attempts < 20, "a connect never succeeds");
      ++outcome_.retries;
      c.app[0]->finish();
      prepare(i);
      c.retry_at = now_ + 10ms;
    }
  }

  // ---- ends

  [[nodiscard]] bool all_over() const {
    for (const auto& c : connections_)
      if (!c.over() || half_way(c)) return false;
    return true;
  }
  /// The client is done with and its server has not heard of it yet, or the other way round.
  [[nodiscard]] static bool half_way(const Connection& c) {
    if (c.plan->fate == Fate::refused || c.plan->fate == Fate::nobody) return false;
    return !c.has_flow[0] && !c.gone[0];
  }
  [[nodiscard]] bool no_flow_left() const {
    for (const auto& host : hosts_)
      if (host->engine.flow_count() != 0) return false;
    return true;
  }
  void judge(std::uint32_t index) const {
    const Connection& c = connections_[index];
    if (plan_.crashes) return;  // safety was judged all along
    for (std::uint32_t end = 0; end < 2; ++end)
      if (c.has_flow[end] && !allowed(c, end))
        fail("connection " + std::to_string(index) + " (" +
             fate_names[static_cast<std::size_t>(c.plan->fate)] + ") end " + std::to_string(end) +
             " was told '" + std::string(text(c.app[end]->reason())) + "'");
    if (c.plan->fate == Fate::deliver || c.plan->fate == Fate::early_close)
      for (std::uint32_t end = 0; end < 2; ++end)
        if (!c.app[end]->all_submitted() || c.app[1 - end]->received() != c.app[end]->submitted())
          fail("connection " + std::to_string(index) + " ended before everything was delivered");
  }
  [[nodiscard]] bool allowed(const Connection& c, std::uint32_t end) const noexcept {
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
               (why == Reason::peer_restarted && c.plan->from != c.plan->to &&
                !hosts_[end == 0 ? c.plan->from : c.plan->to]->nic.saw_reset_of(c.reset_flow));
      case Fate::refused:
        return why == Reason::connection_refused;
      case Fate::nobody:
        return why == Reason::peer_unreachable || why == Reason::handshake_timeout;
    }
    return false;
  }
  void destroy() {
    for (auto& c : connections_)
      for (auto& app : c.app) app->finish();
    for (auto& host : hosts_) {
      check(*host);
      demand(host->side.memory().blocks_out() == 0, "message memory was not given back");
      demand(host->side.memory().granted() == 0, "credit was not put back");
      count(*host);
      host.reset();
    }
    network_.advance(never);
    demand(network_.buffers_made() == network_.buffers_free(), "packets were not given back");
    hosts_.clear();
  }
  void count(Host& host) {
    outcome_.trace ^= host.side.trace();
    for (const auto& c : {host.nic.inner().tx_counters(), host.nic.inner().rx_counters()}) {
      outcome_.lost += c.dropped;
      outcome_.repeated += c.duplicated;
      outcome_.corrupted += c.corrupted;
      outcome_.reordered += c.reordered;
    }
    const EngineCounters engine = host.engine.counters();
    outcome_.overflowed += engine.nic.rx_missed;
    outcome_.drops += engine.drops;
  }
  [[nodiscard]] std::string missing() const {
    std::string out;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      const Connection& c = connections_[i];
      if (c.over() && !half_way(c)) continue;
      out += "connection " + std::to_string(i) + " (" +
             fate_names[static_cast<std::size_t>(c.plan->fate)] + "): ";
      for (std::uint32_t end = 0; end < 2; ++end)
        out += std::string(end == 0 ? "client" : ", server") +
               (c.gone[end]        ? " gone"
                : !c.has_flow[end] ? " none"
                                   : "") +
               (c.app[end]->ended()         ? " ended"
                : c.app[end]->established() ? " open"
                                            : "") +
               " " + std::to_string(c.app[end]->submitted()) + " sent " +
               std::to_string(c.app[end]->received()) + " received" +
               (c.app[end]->all_submitted() ? "" : " more to submit") +
               (c.app[end]->all_told() ? "" : " not told");
      out += "; ";
    }
    return out;
  }

  // ---- setting up

  void prepare(std::uint32_t index) {
    Connection& c = connections_[index];
    c.plan = &plan_.connections[index];
    c.has_flow = c.close_called = {};
    for (std::uint32_t end = 0; end < 2; ++end) {
      c.app[end] = std::make_unique<Application>(
          c.plan->script[end], memory_of_[end == 0 ? c.plan->from : c.plan->to],
          ContentKey{plan_.seed, index, end, 0}, ContentKey{plan_.seed, index, 1 - end, 0},
          prng_.next());
      if (plan_.application_has_no_room) c.app[end]->let_peer_lag();
    }
  }
  [[nodiscard]] SimPortOptions port_options(std::uint32_t index) const {
    SimPortOptions out = plan_.port;
    out.mac = MacAddress{{0x02, 0x50, 0x72, 0x6f, 0x61, static_cast<std::uint8_t>(index + 1)}};
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(std::uint32_t index, std::uint32_t life) const {
    InterfaceOptions interface;
    interface.mac = port_options(index).mac;
    if (plan_.families[0]) interface.addresses.push_back({EnginePlan::address(index, false), 24});
    if (plan_.families[1]) interface.addresses.push_back({EnginePlan::address(index, true), 64});
    interface.vlan = plan_.vlan;
    interface.mtu_bytes = plan_.mtu_bytes;
    auto checked = InterfacePlan::make(interface);
    if (!checked) fail(checked.error());
    EngineOptions out;
    out.interface = *checked;
    out.flows_max = 1024;
    out.scratch_bytes = std::uint64_t{64} << 20U;
    out.seed = plan_.seed * 1000 + index * 10 + life;
    out.flow.message_bytes_max = plan_.message_bytes_max;
    out.flow.ecn = plan_.ecn;
    out.flow.packet_bytes_max = plan_.mtu_bytes;  // the engine takes the headers off
    out.flow.incarnation = static_cast<std::uint32_t>(out.seed * 0x9e37'79b9U);
    return out;
  }
  std::unique_ptr<Host> make_host(std::uint32_t index) {
    auto host = std::make_unique<Host>(*this, index, lives_);
    memory_of_[index] = &host->side.memory();
    demand(host->engine.listen(0, 7000).has_value(), "listen was refused");
    if (healed_) host->side.heal();
    return host;
  }

  const EnginePlan plan_;
  Prng prng_;
  PcapSink* sink_;
  std::uint32_t audit_every_;
  Instant now_{};
  bool healed_ = false;
  std::uint32_t lives_ = 0;
  std::size_t next_incident_ = 0;
  std::uint64_t checks_ = 0;
  std::array<CheckedMemory*, 8> memory_of_{};  // by host; changes when a host restarts
  SimNetwork network_;
  PathFaults paths_;
  std::map<Endpoint, std::uint32_t> clients_;
  std::vector<Connection> connections_;
  std::vector<std::unique_ptr<Host>> hosts_;
  EngineOutcome outcome_;
};

}  // namespace proa::sim
