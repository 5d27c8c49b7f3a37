// Simulation under load: many hosts with whole engines behind one switch, on virtual time.
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
  SimPortOptions port;  // of every host; set_link() of a port changes one
  FlowOptions flow;
  std::uint32_t mtu_bytes = 1500;
  std::uint64_t memory_bytes = std::uint64_t{256} << 20U;  // for sending, for receiving; each host
  Duration turn_time = 500ns;              // a busy engine's: no host looks at its NIC more often
  std::vector<CongestionKind> congestion;  // by host; the rest uses flow.congestion
  UnrulyFaults nic;                        // of every host
};

class LoadFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What remains of a host after converge().
struct HostAtEnd {
  EngineCounters counters;
  std::uint64_t corrupted = 0;  // frames, by its NIC
};

/// Hosts 0, 1, 2 ... Flows are added before the first run_until(). Throws LoadFailure where an
/// oracle is not content.
template <class Policy = DefaultPolicy>
class LoadWorld {
 public:
  using EngineT = Engine<UnrulyNic, LoadSide, Policy>;

  LoadWorld(std::uint32_t hosts, const LoadOptions& options)
      : options_(options),
        network_(options.seed, SimSwitching::fixed, options.port.frame_bytes_max) {
    for (std::uint32_t i = 0; i < hosts; ++i) {
      hosts_.push_back(std::make_unique<Host>(*this, i));
      if (!hosts_[i]->engine.listen(0, port)) throw LoadFailure("listen was refused");
    }
    wake_.resize(hosts, Instant{});
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
    for (auto& host : hosts_) {
      host->late_until = Instant{};
      host->port.set_link_up(true);
      host->nic.behave();
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
      return std::all_of(hosts_.begin(), hosts_.end(),
                         [](const auto& h) { return h->engine.flow_count() == 0; });
    };
    if (!run(gone, now_ + limit)) throw LoadFailure("an engine keeps a flow after its end");
    judge_ends();
    judge_packets();
  }
  [[nodiscard]] const HostAtEnd& at_end(std::uint32_t host) const { return at_end_[host]; }

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] const std::vector<LoadFlow>& flows() const noexcept { return flows_; }
  [[nodiscard]] LoadFlow& flow(std::size_t i) noexcept { return flows_[i]; }
  [[nodiscard]] SimNetwork& network() noexcept { return network_; }
  [[nodiscard]] SimPort& port_of(std::uint32_t host) noexcept { return hosts_[host]->port; }
  [[nodiscard]] EngineT& engine(std::uint32_t host) noexcept { return hosts_[host]->engine; }
  /// Of the sending end.
  [[nodiscard]] FlowInfo info(std::size_t flow) const {
    const auto info = hosts_[flows_[flow].options.from]->engine.info(flows_[flow].key[0]);
    if (!info) throw LoadFailure("a flow has ended too early");
    return *info;
  }
  /// The host's thread does not run until then.
  void stall(std::uint32_t host, Instant until) {
    hosts_[host]->late_until = until;
    wake_[host] = std::max(wake_[host], until);
  }
  /// Called at its own times: returns when next. For faults in the middle of a run.
  template <class Call>
  void run_with(Call call, Instant limit) {
    Instant next = call(now_);
    while (next <= limit) {
      run_until(next);
      next = call(now_);
    }
    run_until(limit);
  }

 private:
  static constexpr std::uint16_t port = 7000;

  struct Host {
    Host(LoadWorld& world, std::uint32_t index)
        : port(world.network_, world.port_options(index)),
          nic(port, world.options_.nic, world.options_.seed * 2003 + index),
          side(world.flows_, world.by_client_,
               {world.options_.memory_bytes, world.options_.memory_bytes,
                world.options_.flow.message_bytes_max}),
          engine(nic, side, world.engine_options(index), Instant{}) {}
    SimPort port;
    UnrulyNic nic;
    LoadSide side;
    EngineT engine;
    Instant late_until{}, rest_until{};
    bool drained = true;  // nothing was left in the ring after its last turn
  };

  [[nodiscard]] SimPortOptions port_options(std::uint32_t index) const {
    SimPortOptions out = options_.port;
    // No two cables are alike, and no seed's are another's.
    Prng length{options_.seed * 1009 + index};
    out.link.delay += Duration{static_cast<std::int64_t>(length.below(500))};
    out.mac = MacAddress{{0x02, 0x50, 0x72, 0x6f, 0x61, static_cast<std::uint8_t>(index + 1)}};
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(std::uint32_t index) const {
    InterfaceOptions interface;
    interface.mac = port_options(index).mac;
    interface.addresses = {{IpAddress::v4(0x0a00'0001U + index), 24}};
    interface.mtu_bytes = options_.mtu_bytes;
    const auto checked = InterfacePlan::make(interface);
    if (!checked) throw LoadFailure(checked.error());
    EngineOptions out;
    out.interface = *checked;
    out.flows_max = 1024;
    out.scratch_bytes = std::uint64_t{256} << 20U;
    out.seed = options_.seed * 1000 + index;
    out.flow = options_.flow;
    out.flow.packet_bytes_max = options_.mtu_bytes - 28;
    out.flow.incarnation = static_cast<std::uint32_t>(out.seed * 0x9e37'79b9U);
    if (index < options_.congestion.size()) out.flow.congestion = options_.congestion[index];
    return out;
  }

  void connect() {
    connected_ = true;
    for (std::uint32_t i = 0; i < flows_.size(); ++i) {
      LoadFlow& flow = flows_[i];
      Host& host = *hosts_[flow.options.from];
      const Endpoint peer{IpAddress::v4(0x0a00'0001U + flow.options.to), port};
      const auto key = host.engine.connect(now_, {0, i * 2}, peer, now_ + 30s);
      if (!key) throw LoadFailure("connect was refused");
      flow.key[0] = *key;
      by_client_[host.engine.info(*key)->local] = i;
      host.side.add_sender(i);
      wake_[flow.options.from] = now_;
    }
  }
  void close_all() {
    for (LoadFlow& flow : flows_) {
      if (!hosts_[flow.options.from]->engine.close(now_, flow.key[0], now_ + 30s))
        throw LoadFailure("close was refused");
      wake_[flow.options.from] = now_;
    }
  }
  void judge_ends() {
    for (const LoadFlow& flow : flows_)
      if (flow.reason[0] != Reason::closed_by_application ||
          flow.reason[1] != Reason::closed_by_peer)
        throw LoadFailure("a flow ended with '" + std::string(text(flow.reason[0])) + "' and '" +
                          std::string(text(flow.reason[1])) + "'");
    for (auto& host : hosts_) {
      if (const char* why = host->engine.broken_invariant()) throw LoadFailure(why);
      if (host->side.memory().blocks_out() != 0 || host->side.memory().granted() != 0)
        throw LoadFailure("message memory was not given back");
    }
  }

  void judge_packets() {
    for (auto& host : hosts_) at_end_.push_back({host->engine.counters(), host->nic.corrupted()});
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
      for (std::uint32_t i = 0; i < hosts_.size(); ++i)
        if (wake_[i] <= now_) take_turn(i);
    }
    return true;
  }
  /// Frames wait for whoever is not busy or away.
  void note_arrivals() {
    for (std::uint32_t i = 0; i < hosts_.size(); ++i)
      if (hosts_[i]->port.backlog(0) != 0) wake_[i] = std::min(wake_[i], ready_at(*hosts_[i]));
  }
  [[nodiscard]] Instant ready_at(const Host& host) const {
    return std::max({now_, host.rest_until, host.late_until});
  }
  void take_turn(std::uint32_t index) {
    Host& host = *hosts_[index];
    // A thread that polls all the time has looked one turn ago; one that was away has not, nor one
    // that left something in its ring.
    if (host.late_until != now_ && host.drained)
      host.engine.note_ring_empty_until(now_ - options_.turn_time);
    host.side.set_now(now_);
    host.engine.turn([this] { return now_; });
    if (const auto why = host.side.complaint(); !why.empty()) throw LoadFailure(why);
    host.rest_until = now_ + options_.turn_time;
    Instant at = std::min(host.engine.next_timeout(), host.side.next_action(now_));
    host.drained = host.port.backlog(0) == 0;
    if (!host.drained) at = now_;
    wake_[index] = at == never ? never : std::max(at, ready_at(host));
  }

  const LoadOptions options_;
  Instant now_{};
  bool connected_ = false;
  SimNetwork network_;
  std::vector<LoadFlow> flows_;
  std::map<Endpoint, std::uint32_t> by_client_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<HostAtEnd> at_end_;
  std::vector<Instant> wake_;  // of each host: when it takes its next turn
};

}  // namespace proa::sim
