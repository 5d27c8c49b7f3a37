// Simulation, second level: one host: a NIC, and behind each of its queue pairs a thread's worth of
// stack and applications.
#pragma once
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <proa/engine/engine.hpp>
#include <proa/nic/lossy.hpp>
#include <proa/nic/pcap_tap.hpp>
#include <proa/nic/sim.hpp>

#include "engine_plan.hpp"
#include "engine_side.hpp"
#include "narrow_path.hpp"
#include "reset_watch.hpp"

namespace proa::sim {

/// What all hosts of a run have in common.
struct Surroundings {
  const EnginePlan& plan;
  SimNetwork& network;
  PcapSink& sink;
  Prng& prng;
  std::vector<Connection>& connections;
  Clients& clients;
};

/// A host in one of its lives: who restarts has a new one, with other queues perhaps.
class EngineHost {
 public:
  using TestNic = ResetWatch<NarrowPath<PcapTap<Lossy<SimNic>>>>;
  using TestEngine = Engine<TestNic, EngineSide>;

  /// One thread: its queue pair, its applications, its engine.
  struct Worker {
    Worker(Lossy<SimNic> queue, PcapSink& sink, const std::string& name, const EnginePlan& plan,
           Seat seat, std::vector<Connection>& connections, Clients& clients,
           std::uint64_t side_seed, const EngineOptions& options, Instant now)
        : nic(NarrowPath(PcapTap(std::move(queue), sink, name), plan.narrow[seat.host])),
          side(plan, seat, connections, clients, side_seed),
          engine(nic, side, options, now) {}

    [[nodiscard]] Instant wake_at() const {
      Instant at = std::min(engine.next_timeout(), nic.next_event());
      at = std::min({at, side.next_action(), repoll_at});
      return at == never ? never : std::max({at, late_until, rest_until});
    }

    TestNic nic;
    EngineSide side;
    TestEngine engine;
    Instant repoll_at = never;
    Instant late_until{}, rest_until{};
  };

  EngineHost(const Surroundings& in, std::uint32_t index_, std::uint32_t life, Instant now)
      : index(index_), port(in.network, port_options(in.plan, index_, life)) {
    EngineGroupOptions shared;
    shared.engines = port.queue_count();
    shared.handover_slots = in.plan.handover_slots;
    shared.payload_bytes_max = in.plan.mtu_bytes;
    const auto group = std::make_shared<EngineGroup>(shared);
    for (std::uint32_t i = 0; i < shared.engines; ++i) add(in, i, life, group, now);
  }

  [[nodiscard]] Instant wake_at() const {
    Instant at = never;
    for (const auto& worker : workers) at = std::min(at, worker->wake_at());
    return at;
  }
  [[nodiscard]] bool has_flows() const {
    return std::any_of(workers.begin(), workers.end(),
                       [](const auto& worker) { return worker->engine.flow_count() != 0; });
  }
  /// Whether a RESET for that flow came to its engine, as far as can be seen from here: what finds
  /// a full inbox does not.
  [[nodiscard]] bool saw_reset_of(std::uint32_t flow) const {
    const bool seen = std::any_of(workers.begin(), workers.end(), [&](const auto& worker) {
      return worker->nic.saw_reset_of(flow);
    });
    const bool hand_over_failed = std::any_of(workers.begin(), workers.end(), [](const auto& w) {
      return w->engine.counters().drops[Drop::handover_full] != 0;
    });
    return seen && !hand_over_failed;
  }

  std::uint32_t index;
  SimPort port;
  std::vector<std::unique_ptr<Worker>> workers;
  std::array<Instant, 2> hole_until{};  // tx, rx
  Instant down_until{};

 private:
  void add(const Surroundings& in, std::uint32_t i, std::uint32_t life,
           const std::shared_ptr<EngineGroup>& group, Instant now) {
    const std::string name = "host" + std::to_string(index) + (life > 0 ? "b" : "") +
                             (i > 0 ? "q" + std::to_string(i) : "");
    EngineOptions options = engine_options(in.plan, life, i);
    options.group = group;
    Lossy<SimNic> queue{port.nic(i), in.prng.next()};
    const std::uint64_t side_seed = in.prng.next();
    workers.push_back(std::make_unique<Worker>(std::move(queue), in.sink, name, in.plan,
                                               Seat{index, i, group->size()}, in.connections,
                                               in.clients, side_seed, options, now));
    for (std::uint32_t k = 0; k < EnginePlan::ports; ++k)
      if (in.plan.listens(k, i, group->size()))
        demand(workers[i]
                   ->engine.listen(0, EnginePlan::port_of(k), {in.plan.shared_listeners, 0})
                   .has_value(),
               "listen was refused");
  }
  [[nodiscard]] static SimPortOptions port_options(const EnginePlan& plan, std::uint32_t index,
                                                   std::uint32_t life) {
    SimPortOptions out = plan.port;
    out.mac = MacAddress{{0x02, 0x50, 0x72, 0x6f, 0x61, static_cast<std::uint8_t>(index + 1)}};
    out.queues = life > 0 ? plan.engines_reborn : plan.engines[index];
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(const EnginePlan& plan, std::uint32_t life,
                                             std::uint32_t i) const {
    InterfaceOptions interface;
    interface.mac = port.options().mac;
    if (plan.families[0]) interface.addresses.push_back({EnginePlan::address(index, false), 24});
    if (plan.families[1]) interface.addresses.push_back({EnginePlan::address(index, true), 64});
    interface.vlan = plan.vlan;
    interface.mtu_bytes = plan.mtu_bytes;
    auto checked = InterfacePlan::make(interface);
    if (!checked) fail(checked.error());
    EngineOptions out;
    out.interface = *checked;
    out.index = i;
    out.flows_max = 1024;
    out.scratch_bytes = std::uint64_t{64} << 20U;
    out.seed = plan.seed * 1000 + index * 10 + life + std::uint64_t{i} * 1'000'000'007U;
    out.flow.message_bytes_max = plan.message_bytes_max;
    out.flow.ecn = plan.ecn;
    out.flow.congestion = plan.congestion[index];
    out.flow.packet_bytes_max = plan.mtu_bytes;  // the engine takes the headers off
    out.flow.incarnation = static_cast<std::uint32_t>(out.seed * 0x9e37'79b9U);
    return out;
  }
};

}  // namespace proa::sim
