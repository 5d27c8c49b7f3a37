// Simulation under load: many hosts with one or several whole engines each behind one switch, on
// virtual time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/engine/engine.hpp>
#include <proa/nic/sim.hpp>

#include "load_side.hpp"
#include "unruly_nic.hpp"

namespace proa::sim {

struct LoadOptions {
  std::uint64_t seed = 1;
  SimPortOptions port;        // of every host; set_link() of a port changes one
  std::uint32_t engines = 1;  // of every host, each with a queue pair of its port
  bool ipv6 = false;          // else IPv4
  FlowOptions flow;
  std::uint32_t mtu_bytes = 1500;
  // For sending, for receiving; each engine.
  std::uint64_t memory_bytes = std::uint64_t{256} << 20U;
  Duration turn_time = 500ns;              // a busy engine's: no host looks at its NIC more often
  std::vector<CongestionKind> congestion;  // by host; the rest uses flow.congestion
  UnrulyFaults nic;                        // of every host
};

class LoadFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What all engines of a host count.
struct HostCounters {
  NicCounters nic;
  DropCounters drops;
  std::uint64_t rx_bytes = 0, tx_ring_full = 0, tx_pool_empty = 0, flows_accepted = 0;
  std::uint64_t handed_over = 0;

  void add(const EngineCounters& one) noexcept {
    nic.rx_missed += one.nic.rx_missed;
    nic.rx_no_buffer += one.nic.rx_no_buffer;
    nic.tx_errors += one.nic.tx_errors;
    nic.link_downs = std::max(nic.link_downs, one.nic.link_downs);  // they have one cable
    drops += one.drops;
    rx_bytes += one.rx_bytes;
    tx_ring_full += one.tx_ring_full;
    tx_pool_empty += one.tx_pool_empty;
    flows_accepted += one.flows_accepted;
    handed_over += one.handed_over;
  }
};

/// What remains of a host after converge().
struct HostAtEnd {
  HostCounters counters;
  std::uint64_t corrupted = 0;  // frames, by its NIC
};

/// Hosts 0, 1, 2 ... Flows are added before the first run_until(), and belong to the engines of
/// their sender in turn. Throws LoadFailure where an oracle is not content.
template <class Policy = DefaultPolicy>
class LoadWorld {
 public:
  using EngineT = Engine<UnrulyNic, LoadSide, Policy>;

  LoadWorld(std::uint32_t hosts, const LoadOptions& options)
      : options_(options),
        network_(options.seed, SimSwitching::fixed, options.port.frame_bytes_max) {
    for (std::uint32_t i = 0; i < hosts; ++i) {
      hosts_.push_back(std::make_unique<Host>(*this, i));
      for (std::uint32_t e = 0; e < options.engines; ++e)
        workers_.push_back(std::make_unique<Worker>(*this, i, e));
    }
    for (auto& worker : workers_)
      if (!worker->engine.listen(0, port, {options.engines > 1, 0}))
        throw LoadFailure("listen was refused");
    wake_.resize(workers_.size(), Instant{});
  }

  void add(const LoadFlowOptions& flow) {
    flows_.push_back({});
    flows_.back().options = flow;
  }
  void run_until(Instant limit) {
    if (!connected_) connect();
    run([] { return false; }, limit);
  }
  void run_for(Duration time) { run_until(now_ + time); }
  /// False: it was not so by `limit`.
  template <class Done>
  bool run_while_not(Done done, Instant limit) {
    if (!connected_) connect();
    return run(done, limit);
  }
  /// Connects; all flows whose start was `never` submit their first message at the same time.
  void start_together(Duration connect_within = 10s) {
    const auto connected = [this] {
      return std::all_of(flows_.begin(), flows_.end(), [](const LoadFlow& f) { return f.open[0]; });
    };
    if (!run_while_not(connected, now_ + connect_within)) throw LoadFailure("not all connected");
    run_for(1ms);
    for (LoadFlow& flow : flows_) flow.options.start = std::min(flow.options.start, now_);
    std::fill(wake_.begin(), wake_.end(), now_);
  }

  /// Stops the applications, heals every link and demands that everything converges: all messages
  /// delivered, every flow ended with its reason at both ends, all memory and packets back. The
  /// hosts are gone then.
  void converge(Duration limit = 60s) {
    network_.set_path_faults({});
    for (auto& worker : workers_) {
      worker->late_until = Instant{};
      worker->nic.behave();
    }
    for (auto& host : hosts_) {
      host->port.set_link_up(true);
      SimLinkOptions link = host->port.options().link;
      link.to_switch = link.to_port = {};
      link.mark_ppm = 0;
      host->port.set_link(link);
    }
    for (LoadFlow& flow : flows_) flow.stopped = true;
    const auto delivered = [this] {
      return std::all_of(flows_.begin(), flows_.end(), [](const LoadFlow& f) {
        return f.all_delivered() && f.acknowledged == f.submitted;
      });
    };
    if (!run(delivered, now_ + limit)) throw LoadFailure("not everything was delivered");
    close_all();
    const auto gone = [this] {
      return std::all_of(workers_.begin(), workers_.end(),
                         [](const auto& w) { return w->engine.flow_count() == 0; });
    };
    if (!run(gone, now_ + limit)) throw LoadFailure("an engine keeps a flow after its end");
    // Neighbours are told and asked for the last time, the engines of a host told what was learnt.
    for (const Duration rest : {Duration{60s}, Duration{1s}})
      run([] { return false; }, now_ + rest);
    judge_ends();
    judge_packets();
  }
  [[nodiscard]] const HostAtEnd& at_end(std::uint32_t host) const { return at_end_[host]; }

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] const std::vector<LoadFlow>& flows() const noexcept { return flows_; }
  [[nodiscard]] LoadFlow& flow(std::size_t i) noexcept { return flows_[i]; }
  [[nodiscard]] SimNetwork& network() noexcept { return network_; }
  [[nodiscard]] SimPort& port_of(std::uint32_t host) noexcept { return hosts_[host]->port; }
  /// The first of a host.
  [[nodiscard]] EngineT& engine(std::uint32_t host) noexcept {
    return workers_[first_of(host)]->engine;
  }
  [[nodiscard]] HostCounters counters(std::uint32_t host) const {
    HostCounters out;
    for (std::size_t w = first_of(host); w < first_of(host + 1); ++w)
      out.add(workers_[w]->engine.counters());
    return out;
  }
  [[nodiscard]] std::size_t flow_count(std::uint32_t host) const {
    std::size_t out = 0;
    for (std::size_t w = first_of(host); w < first_of(host + 1); ++w)
      out += workers_[w]->engine.flow_count();
    return out;
  }
  /// Frames that wait in the rings of a host.
  [[nodiscard]] std::size_t backlog(std::uint32_t host) const {
    std::size_t out = 0;
    for (std::uint32_t e = 0; e < options_.engines; ++e) out += hosts_[host]->port.backlog(e);
    return out;
  }
  /// Of the sending end.
  [[nodiscard]] FlowInfo info(std::size_t flow) const {
    const auto info = workers_[sender_of(flow)]->engine.info(flows_[flow].key[0]);
    if (!info) throw LoadFailure("a flow has ended too early");
    return *info;
  }
  /// The host's threads do not run until then.
  void stall(std::uint32_t host, Instant until) {
    for (std::size_t w = first_of(host); w < first_of(host + 1); ++w) {
      workers_[w]->late_until = until;
      wake_[w] = std::max(wake_[w], until);
    }
  }

 private:
  static constexpr std::uint16_t port = 7000;

  struct Host {
    Host(LoadWorld& world, std::uint32_t index)
        : port(world.network_, world.port_options(index)),
          group(std::make_shared<EngineGroup>(
              EngineGroupOptions{.engines = world.options_.engines, .payload_bytes_max = 1500})) {}
    SimPort port;
    std::shared_ptr<EngineGroup> group;
  };
  /// A thread with its engine.
  struct Worker {
    Worker(LoadWorld& world, std::uint32_t host, std::uint32_t index)
        : port(world.hosts_[host]->port),
          nic(port, index, world.options_.nic, world.options_.seed * 2003 + host + 101 * index),
          side(world.flows_, world.by_client_,
               {world.options_.memory_bytes, world.options_.memory_bytes,
                world.options_.flow.message_bytes_max}),
          engine(nic, side, world.engine_options(host, index), Instant{}) {}
    SimPort& port;
    UnrulyNic nic;
    LoadSide side;
    EngineT engine;
    Instant late_until{}, rest_until{};
    bool drained = true;  // nothing was left in the ring after its last turn
  };

  [[nodiscard]] std::size_t first_of(std::uint32_t host) const noexcept {
    return std::size_t{host} * options_.engines;
  }
  /// The worker of the sending end.
  [[nodiscard]] std::size_t sender_of(std::size_t flow) const noexcept {
    return first_of(flows_[flow].options.from) + flow % options_.engines;
  }
  [[nodiscard]] IpAddress address_of(std::uint32_t host) const noexcept {
    IpAddress out{{0xfd}};
    out.octets[14] = static_cast<std::uint8_t>((host + 1) >> 8U);
    out.octets[15] = static_cast<std::uint8_t>(host + 1);
    return options_.ipv6 ? out : IpAddress::v4(0x0a00'0001U + host);
  }
  [[nodiscard]] SimPortOptions port_options(std::uint32_t index) const {
    SimPortOptions out = options_.port;
    // No two cables are alike, and no seed's are another's.
    Prng length{options_.seed * 1009 + index};
    out.link.delay += Duration{static_cast<std::int64_t>(length.below(500))};
    out.mac = MacAddress{{0x02, 0x50, 0x72, 0x6f, 0x61, static_cast<std::uint8_t>(index + 1)}};
    out.queues = options_.engines;
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(std::uint32_t host, std::uint32_t index) const {
    InterfaceOptions interface;
    interface.mac = port_options(host).mac;
    interface.addresses = {{address_of(host), static_cast<std::uint8_t>(options_.ipv6 ? 64 : 24)}};
    interface.mtu_bytes = options_.mtu_bytes;
    interface.announce = index == 0;
    const auto checked = InterfacePlan::make(interface);
    if (!checked) throw LoadFailure(checked.error());
    EngineOptions out;
    out.interface = *checked;
    out.index = index;
    out.group = hosts_[host]->group;
    out.flows_max = 1024;
    out.scratch_bytes = std::uint64_t{256} << 20U;
    out.seed = options_.seed * 1000 + host + 500 * index;
    out.flow = options_.flow;
    out.flow.packet_bytes_max = options_.mtu_bytes;  // the engine takes the headers off
    out.flow.incarnation = static_cast<std::uint32_t>(out.seed * 0x9e37'79b9U);
    if (host < options_.congestion.size()) out.flow.congestion = options_.congestion[host];
    return out;
  }

  void connect() {
    connected_ = true;
    for (std::uint32_t i = 0; i < flows_.size(); ++i) {
      LoadFlow& flow = flows_[i];
      Worker& worker = *workers_[sender_of(i)];
      const Endpoint peer{address_of(flow.options.to), port};
      for (bool alone = false; !alone;) {
        const auto key = worker.engine.connect(now_, {0, i * 2}, peer, now_ + 30s);
        if (!key) throw LoadFailure("connect was refused");
        flow.key[0] = *key;
        alone = by_client_.emplace(worker.engine.info(*key)->local, i).second;
        // Two engines may choose one port; servers here tell flows apart by it.
        if (!alone && !worker.engine.close(now_, *key, now_))
          throw LoadFailure("close was refused");
      }
      worker.side.add_sender(i);
      wake_[sender_of(i)] = now_;
    }
  }
  void close_all() {
    for (std::size_t i = 0; i < flows_.size(); ++i) {
      const std::size_t w = sender_of(i);
      if (!workers_[w]->engine.close(now_, flows_[i].key[0], now_ + 30s))
        throw LoadFailure("close was refused");
      wake_[w] = now_;
    }
  }
  void judge_ends() {
    for (const LoadFlow& flow : flows_)
      if (flow.reason[0] != Reason::closed_by_application ||
          flow.reason[1] != Reason::closed_by_peer)
        throw LoadFailure("a flow ended with '" + std::string(text(flow.reason[0])) + "' and '" +
                          std::string(text(flow.reason[1])) + "'");
    for (auto& worker : workers_) {
      if (const char* why = worker->engine.broken_invariant()) throw LoadFailure(why);
      if (worker->side.memory().blocks_out() != 0 || worker->side.memory().granted() != 0)
        throw LoadFailure("message memory was not given back");
      if (worker->engine.scratch().used() != 0)
        throw LoadFailure("scratch blocks were not given back");
      if (worker->engine.next_timeout() != never)
        throw LoadFailure("a timer is armed after the end");
    }
  }

  void judge_packets() {
    for (std::uint32_t i = 0; i < hosts_.size(); ++i) {
      at_end_.push_back({counters(i), 0});
      for (std::size_t w = first_of(i); w < first_of(i + 1); ++w)
        at_end_[i].corrupted += workers_[w]->nic.corrupted();
    }
    workers_.clear();
    hosts_.clear();
    network_.advance(never);
    if (network_.buffers_made() != network_.buffers_free())
      throw LoadFailure("packets were not given back");
  }

  template <class Done>
  bool run(Done done, Instant limit) {
    while (!done()) {
      const Instant at =
          std::min(network_.next_event(), *std::min_element(wake_.begin(), wake_.end()));
      if (at > limit) {
        now_ = std::max(now_, limit);
        network_.advance(now_);
        note_arrivals();
        return false;
      }
      now_ = std::max(now_, at);
      network_.advance(now_);
      note_arrivals();
      for (std::size_t w = 0; w < workers_.size(); ++w)
        if (wake_[w] <= now_) take_turn(w);
    }
    return true;
  }
  /// Frames wait for whoever is not busy or away, and what another engine handed over.
  void note_arrivals() {
    for (std::size_t w = 0; w < workers_.size(); ++w) {
      const Worker& worker = *workers_[w];
      if (worker.port.backlog(worker.engine.index()) != 0 ||
          (options_.engines > 1 && worker.engine.needs_turn()))
        wake_[w] = std::min(wake_[w], ready_at(worker));
    }
  }
  [[nodiscard]] Instant ready_at(const Worker& worker) const {
    return std::max({now_, worker.rest_until, worker.late_until});
  }
  void take_turn(std::size_t w) {
    Worker& worker = *workers_[w];
    // A thread that polls all the time has looked one turn ago; one that was away has not, nor one
    // that left something in its ring.
    if (worker.late_until != now_ && worker.drained)
      worker.engine.note_ring_empty_until(now_ - options_.turn_time);
    worker.side.set_now(now_);
    worker.engine.turn([this] { return now_; });
    if (const auto why = worker.side.complaint(); !why.empty()) throw LoadFailure(why);
    worker.rest_until = now_ + options_.turn_time;
    Instant at = std::min(worker.engine.next_timeout(), worker.side.next_action(now_));
    worker.drained = worker.port.backlog(worker.engine.index()) == 0;
    if (!worker.drained) at = now_;
    wake_[w] = at == never ? never : std::max(at, ready_at(worker));
  }

  const LoadOptions options_;
  Instant now_{};
  bool connected_ = false;
  SimNetwork network_;
  std::vector<LoadFlow> flows_;
  std::map<Endpoint, std::uint32_t> by_client_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<std::unique_ptr<Worker>> workers_;  // each host's, one after the other
  std::vector<HostAtEnd> at_end_;
  std::vector<Instant> wake_;  // of each worker: when it takes its next turn
};

}  // namespace proa::sim
