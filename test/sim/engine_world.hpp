// Simulation, second level: whole engines on simulated NICs, joined by a switch.
#pragma once
#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "engine_host.hpp"
#include "engine_judge.hpp"
#include "engine_paths.hpp"
#include "engine_plan.hpp"
#include "engine_side.hpp"

namespace proa::sim {

struct EngineOutcome {
  std::string failure;
  std::uint64_t trace = 0;
  Instant ended{};
  std::uint64_t messages = 0, steps = 0, frames = 0, retries = 0;
  std::uint64_t lost = 0, repeated = 0, corrupted = 0, reordered = 0, overflowed = 0;
  std::uint64_t cut = 0, marked = 0, too_big = 0;
  std::uint64_t handed_over = 0, probes = 0, path_changes = 0;
  DropCounters drops;  // of all hosts that lived to the end
};

class EngineWorld {
 public:
  EngineWorld(const EnginePlan& plan, PcapSink& sink, std::uint32_t audit_every)
      : plan_(plan),
        prng_(plan.seed),
        audit_every_(audit_every),
        network_(prng_.next(), plan.switching, plan.port.frame_bytes_max),
        connections_(plan.connections.size()),
        all_{plan_, network_, sink, prng_, connections_, clients_} {
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

  using Worker = EngineHost::Worker;

  // ---- the run

  void run_all() {
    const Instant chaos_ends = Instant{} + plan_.chaos;
    for (auto& host : hosts_) set_faults(*host);
    (void)run_until([&] { return all_over(connections_); }, chaos_ends);
    heal();
    if (!run_until([&] { return all_over(connections_); }, now_ + convergence_limit))
      fail("no convergence after healing: " + missing(connections_));
    // Of what a host that crashed had to do with, only safety was judged, all along.
    for (std::uint32_t i = 0; i < connections_.size(); ++i)
      if (!plan_.crosses_a_crash(plan_.connections[i]))
        judge(connections_[i], i,
              [&](std::uint32_t end) { return saw_reset(connections_[i], end); });
    if (!run_until([&] { return no_flow_left(); }, now_ + forget_limit))
      fail("an engine keeps a flow after its end");
    // Neighbours are told and asked for the last time, the engines of a host told what was learnt.
    for (const Duration rest : {Duration{60s}, Duration{1s}})
      (void)run_until([] { return false; }, now_ + rest);
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
    for (auto& host : hosts_)
      for (auto& worker : host->workers)
        if (due(*worker)) take_turns(*worker);
    reconnect();
  }
  [[nodiscard]] bool due(const Worker& worker) const { return worker.wake_at() <= now_; }
  [[nodiscard]] Instant next_time() const {
    Instant at = std::min(network_.next_event(), paths_.next_end());
    if (next_incident_ < plan_.incidents.size() && !healed_)
      at = std::min(at, plan_.incidents[next_incident_].at);
    for (const auto& host : hosts_) {
      at = std::min(at, host->wake_at());
      for (const Instant end : {host->hole_until[0], host->hole_until[1], host->down_until})
        if (end > now_) at = std::min(at, end);
    }
    return at;
  }
  /// Turns of one engine until it has nothing more to do at this instant. If it still wants a turn
  /// after two that did nothing but look at timers (a ring is full), time has to pass first.
  void take_turns(Worker& worker) {
    worker.repoll_at = never;
    // It polls all the time, or sleeps and is woken by what arrives, unless its thread was away.
    if (worker.late_until != now_) worker.engine.note_ring_empty_until(now_);
    bool again = true;
    std::uint32_t in_vain = 0;
    for (std::uint32_t n = 0; again; ++n) {
      demand(n < turns_at_once, "an engine does not come to rest");
      worker.side.set_now(now_);
      const TurnReport report = worker.engine.turn([this] { return now_; });
      check(worker);
      again = due(worker);
      if (worker.side.take_refused_room()) worker.repoll_at = now_ + 3us;
      const bool moved = report.requests + report.received + report.sent + report.events != 0;
      in_vain = moved ? 0 : in_vain + 1;
      if (again && (report.idle() || in_vain > 1)) {
        worker.rest_until = now_ + 1us;
        break;
      }
    }
  }
  void check(Worker& worker) {
    if (!worker.side.complaint().empty()) fail(worker.side.complaint());
    if (const char* why = worker.side.memory().complaint()) fail(why);
    if (++checks_ % audit_every_ != 0) return;
    if (const char* why = worker.engine.broken_invariant())
      fail(std::string("broken invariant: ") + why);
    demand(worker.side.memory().ledger_consistent(), "the memory ledger does not add up");
  }

  // ---- faults

  void set_faults(EngineHost& host) {
    LossyFaults nothing_passes;
    nothing_passes.drop_ppm = 1'000'000;
    const LossyFaults none;
    const bool tx_hole = host.hole_until[0] > now_, rx_hole = host.hole_until[1] > now_;
    for (auto& worker : host.workers) {
      Lossy<SimNic>& lossy = worker->nic.inner();
      lossy.set_tx(tx_hole ? nothing_passes : healed_ ? none : plan_.faults[0]);
      lossy.set_rx(rx_hole ? nothing_passes : healed_ ? none : plan_.faults[1]);
    }
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
    EngineHost& host = *hosts_[incident.host];
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
        host.workers[incident.peers % host.workers.size()]->late_until = until;
        return;
      case IncidentKind::new_hash:
        host.port.set_rss(plan_.port.rss);
        host.port.reset();
        break;
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
      host->down_until = {};
      for (auto& worker : host->workers) {
        worker->late_until = {};
        worker->side.heal();
      }
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

  [[nodiscard]] bool no_flow_left() const {
    for (const auto& host : hosts_)
      if (host->has_flows()) return false;
    return true;
  }
  [[nodiscard]] bool saw_reset(const Connection& c, std::uint32_t end) const {
    return hosts_[end == 0 ? c.plan->from : c.plan->to]->saw_reset_of(c.reset_flow);
  }
  void destroy() {
    for (auto& c : connections_)
      for (auto& app : c.app) app->finish();
    for (auto& host : hosts_) {
      for (auto& worker : host->workers) put_down(*worker);
      host.reset();
    }
    network_.advance(never);
    demand(network_.buffers_made() == network_.buffers_free(), "packets were not given back");
    hosts_.clear();
  }
  void put_down(Worker& worker) {
    check(worker);
    demand(worker.side.memory().blocks_out() == 0, "message memory was not given back");
    demand(worker.side.memory().granted() == 0, "credit was not put back");
    demand(worker.engine.scratch().used() == 0, "scratch blocks were not given back");
    demand(worker.engine.next_timeout() == never, "a timer is armed after the end");
    outcome_.trace ^= std::rotl(worker.side.trace(), static_cast<int>(worker.engine.index()));
    outcome_.too_big += worker.nic.swallowed();
    for (const auto& c : {worker.nic.inner().tx_counters(), worker.nic.inner().rx_counters()}) {
      outcome_.lost += c.dropped;
      outcome_.repeated += c.duplicated;
      outcome_.corrupted += c.corrupted;
      outcome_.reordered += c.reordered;
    }
    const EngineCounters engine = worker.engine.counters();
    outcome_.overflowed += engine.nic.rx_missed;
    outcome_.handed_over += engine.handed_over;
    outcome_.probes += engine.paths.probes_sent;
    outcome_.path_changes += engine.path_changes;
    outcome_.drops += engine.drops;
  }

  // ---- setting up

  void prepare(std::uint32_t index) {
    Connection& c = connections_[index];
    c.plan = &plan_.connections[index];
    c.has_flow = c.close_called = {};
    c.memory = {};
    c.server_engine = 0;
    for (std::uint32_t end = 0; end < 2; ++end) {
      c.app[end] = std::make_unique<Application>(
          c.plan->script[end], c.memory[end], ContentKey{plan_.seed, index, end, 0},
          ContentKey{plan_.seed, index, 1 - end, 0}, prng_.next());
      if (plan_.application_has_no_room) c.app[end]->let_peer_lag();
    }
  }
  std::unique_ptr<EngineHost> make_host(std::uint32_t index) {
    auto host = std::make_unique<EngineHost>(all_, index, lives_, now_);
    if (healed_)
      for (auto& worker : host->workers) worker->side.heal();
    return host;
  }

  const EnginePlan plan_;
  Prng prng_;
  std::uint32_t audit_every_;
  Instant now_{};
  bool healed_ = false;
  std::uint32_t lives_ = 0;
  std::size_t next_incident_ = 0;
  std::uint64_t checks_ = 0;
  SimNetwork network_;
  PathFaults paths_;
  Clients clients_;
  std::vector<Connection> connections_;
  Surroundings all_;
  std::vector<std::unique_ptr<EngineHost>> hosts_;
  EngineOutcome outcome_;
};

}  // namespace proa::sim
