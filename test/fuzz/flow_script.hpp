// Fuzzing: bytes decided into what a network and two applications do to one flow (TEST-MATRIX B2),
// judged by the simulator's applications and memory.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "../sim/application.hpp"
#include "../sim/transport_traits.hpp"
#include "input.hpp"
#include "tampered_wire.hpp"

namespace proa::fuzz {

using namespace std::chrono_literals;
using sim::Application;

/// Two hosts and one flow. Each step of the input does one thing; then the network heals and both
/// ends have to come to an end that the steps allow.
template <class Traits = sim::TransportTraits<>>
class FlowScript {
 public:
  using Flow = typename Traits::Flow;

  explicit FlowScript(Input in) : in_(in) {
    setup_from_input();
    for (std::uint32_t i = 0; i < 2; ++i) hosts_[i] = std::make_unique<Host>(plan_, i);
    for (std::uint32_t i = 0; i < 2; ++i) {
      memory_[i] = &hosts_[i]->memory;
      app_[i] = std::make_unique<Application>(script_[i], memory_[i], sim::ContentKey{1, 0, i, 0},
                                              sim::ContentKey{1, 0, 1 - i, 0}, in_.byte());
    }
    flow_[client] = Traits::connect(setup(client, now_ + 10s));
  }

  /// Throws sim::Failure when an oracle speaks.
  void run() {
    settle();
    for (std::uint32_t steps = 0; steps < steps_max && !in_.empty(); ++steps) {
      step();
      settle();
    }
    heal_and_end();
  }

 private:
  static constexpr std::uint32_t client = 0, server = 1;
  static constexpr std::uint32_t steps_max = 600;
  static constexpr std::uint32_t messages_max = 400;
  static constexpr std::uint32_t packets_per_settle = 400;
  static constexpr Duration healed_delay = 20us;
  static constexpr Duration patience = 2s;  // longer waits end flows, which is then allowed
  static constexpr Duration silence_limit = 200s;

  struct Host {
    Host(const sim::Plan& plan, std::uint32_t)
        : memory({std::uint64_t{16} << 20U, plan.receive_bytes, plan.message_bytes_max}),
          scratch(std::uint64_t{4} << 20U),
          options(Traits::options(plan)) {}
    sim::CheckedMemory memory;
    ScratchPool scratch;
    FlowOptions options;
    bool stalled = false;
    Instant stalled_since{}, woke_at{};
  };

  // ---- what the input decides

  void setup_from_input() {
    const std::uint8_t how = in_.byte();
    plan_.seed = in_.number<std::uint16_t>();
    plan_.packet_bytes = (how & 1U) != 0 ? 1472 : 1232;
    plan_.message_bytes_max = (how & 2U) != 0 ? 8U << 20U : 128U << 10U;
    plan_.receive_bytes = (how & 2U) != 0 ? std::uint64_t{32} << 20U : std::uint64_t{512} << 10U;
    for (auto& script : script_)
      if ((how & 4U) != 0) script.lease_max = 1ms;
    forging_ = (how & 8U) != 0;
  }
  void step() {
    const std::uint8_t choice = in_.byte();
    const std::uint32_t host = choice >> 7U;
    switch (choice & 15U) {
      case 0:
      case 1:
        return deliver(0);
      case 2:
        return deliver(wire_.pick(in_));
      case 3:
        return wire_.drop(wire_.pick(in_));
      case 4:
        return wire_.duplicate(wire_.pick(in_));
      case 5:
        return swap();
      case 6:
        return wire_.corrupt(wire_.pick(in_), 0, in_);
      case 7:
        return advance(Duration{1 + std::int64_t{in_.byte()} * 500});
      case 8:
        return advance(Duration{std::int64_t{in_.byte()} * 1'000'000});
      case 9:
        return fire_next();
      case 10:
      case 11:
        return send(host);
      case 12:
        return in_.byte() < 16 ? close(host) : deliver_all();
      case 13:
        return in_.byte() < 8 ? reset(host) : deliver_all();
      case 14:
        return toggle_stall(host);
      default:
        return forging_ ? forge() : wire_.drop(0);
    }
  }

  // ---- the network

  void deliver(std::size_t index) {
    if (index < wire_.size() && !hosts_[wire_[index].to]->stalled) arrive(wire_.take(index));
  }
  void deliver_all() {
    for (std::size_t left = wire_.size(); left > 0; --left) deliver(0);
  }
  void swap() {
    const std::size_t one = wire_.pick(in_);
    wire_.swap(one, wire_.pick(in_));
  }
  /// Somebody who knows everything writes packets of his own: only safety can be demanded then.
  void forge() {
    if (wire_.empty()) return;
    forged_ = true;
    for (auto& app : app_) {  // they judge no longer what comes, and send by submit()
      app->stop();
      app->finish();
    }
    const std::size_t i = wire_.pick(in_);
    wire_.overwrite(i, in_);
    if (wire_[i].bytes.size() > PacketHeader::size + Crc32c::trailer_bytes)
      Crc32c::seal(wire_[i].bytes);
  }
  void arrive(const Datagram& datagram) {
    auto& flow = flow_[datagram.to];
    if (!flow && datagram.to == server && !server_came_) {
      flow = Traits::accept(setup(server, now_ + 5s), datagram.bytes);
      server_came_ = flow != nullptr;
    }
    if (!flow) return;
    const Host& host = *hosts_[datagram.to];
    Arrival arrival;
    arrival.now = now_;
    if (host.woke_at == now_) arrival.uncertainty = now_ - host.stalled_since;
    const Drop why = Traits::deliver(*flow, arrival, datagram.bytes);
    if (datagram.corrupt && !forged_)
      sim::demand(why != Drop::none, "a corrupt datagram was accepted");
    audit(*flow);
  }

  // ---- time and applications

  void advance(Duration by) {
    waited_ += by;
    now_ += by;
    for (std::uint32_t i = 0; i < 2; ++i) fire(i);
  }
  void fire(std::uint32_t i) {
    if (!flow_[i] || hosts_[i]->stalled || flow_[i]->next_timeout() > now_) return;
    flow_[i]->handle_timeout(now_);
    audit(*flow_[i]);
  }
  void fire_next() {
    Instant at = never;
    for (std::uint32_t i = 0; i < 2; ++i)
      if (flow_[i] && !hosts_[i]->stalled) at = std::min(at, flow_[i]->next_timeout());
    if (at != never) advance(std::max(at - now_, Duration{}));
  }
  void send(std::uint32_t host) {
    auto& messages = script_[host].messages;
    if (closed_[host] || reset_ || messages.size() >= messages_max) return;
    const std::uint8_t kind = in_.byte();
    std::uint32_t length = in_.byte();
    if (kind % 16 == 1) length *= 64;
    if (kind % 16 == 2) length = std::min(length * 1024, plan_.message_bytes_max);
    if (kind % 64 == 3) length = plan_.message_bytes_max;
    messages.push_back({length, Duration{}, (kind & 128U) != 0});
    if (forged_) submit(host, length);
  }
  void submit(std::uint32_t host, std::uint32_t length) {
    auto& memory = hosts_[host]->memory;
    const auto block = flow_[host] ? memory.allocate_send(length) : std::nullopt;
    if (block && !flow_[host]->submit(now_, *block, true)) memory.release(*block);
  }
  void close(std::uint32_t host) {
    if (!flow_[host] || closed_[host] || !app_[host]->established() || app_[host]->ended()) return;
    closed_[host] = true;
    (void)flow_[host]->close(now_, now_ + 60s);
    app_[host]->stop();
    audit(*flow_[host]);
  }
  void reset(std::uint32_t host) {
    if (!flow_[host] || app_[host]->ended()) return;
    reset_ = true;
    flow_[host]->reset(now_, Reason::reset_by_application);
    for (auto& app : app_) app->stop();
    audit(*flow_[host]);
  }
  void toggle_stall(std::uint32_t host) {
    Host& h = *hosts_[host];
    h.stalled = !h.stalled;
    (h.stalled ? h.stalled_since : h.woke_at) = now_;
  }

  /// Applications, events, memory and transmissions of both hosts until all are quiet.
  void settle() {
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (hosts_[i]->stalled) continue;
      drain_events(i);
      if (flow_[i] && flow_[i]->wants_memory()) (void)flow_[i]->take_memory(now_, true);
      if (!forged_) (void)app_[i]->act(now_, flow_[i].get());
      drain_events(i);
      transmit(i);
      if (const char* why = hosts_[i]->memory.complaint()) sim::fail(why);
      sim::demand(hosts_[i]->memory.ledger_consistent(), "the memory ledger does not add up");
    }
  }
  void drain_events(std::uint32_t i) {
    auto& flow = flow_[i];
    if (!flow) return;
    for (FlowEvent event; flow->poll_event(event);) {
      if (!forged_) {
        app_[i]->on_event(now_, event, i == client, *app_[1 - i]);
      } else {
        on_forged_event(i, event);
      }
    }
  }
  /// What came may be anybody's; that it ends once and with a reason stays.
  void on_forged_event(std::uint32_t i, const FlowEvent& event) {
    if (event.kind == FlowEventKind::message) hosts_[i]->memory.release(event.message);
    if (event.kind == FlowEventKind::closed || event.kind == FlowEventKind::accepted ||
        event.kind == FlowEventKind::connected)
      app_[i]->on_event(now_, event, i == client, *app_[1 - i]);
  }
  void transmit(std::uint32_t i) {
    auto& flow = flow_[i];
    for (std::uint32_t n = 0; flow && n < packets_per_settle; ++n) {
      const bool wanted = flow->wants_transmit(now_);
      packet_.resize(plan_.packet_bytes);
      const std::size_t size = flow->poll_transmit(now_, packet_);
      if (size == 0) break;
      sim::demand(wanted, "poll_transmit wrote what wants_transmit denied");
      sim::demand(size <= packet_.size(), "a packet is larger than its room");
      packet_.resize(size);
      wire_.send({1 - i, now_ + healed_delay, false, packet_});
    }
    if (flow) audit(*flow);
  }

  // ---- the end

  void heal_and_end() {
    for (auto& host : hosts_) host->stalled = false;
    wire_.heal(now_ + healed_delay);
    const bool must_arrive = !forged_ && !reset_ && waited_ <= patience;
    if (must_arrive && !closed_[0] && !closed_[1]) {
      run_until([&] { return everything_arrived(); }, 30s);
      if (!everything_arrived()) sim::fail("no convergence after healing");
    }
    run_until([&] { return app_[0]->established() || app_[0]->ended(); }, 15s);
    for (std::uint32_t i = 0; i < 2; ++i) close(i);
    run_until([&] { return all_finished(); }, silence_limit);
    judge_end();
  }
  template <class Done>
  void run_until(Done done, Duration limit) {
    const Instant end = now_ + limit;
    settle();
    for (std::uint32_t n = 0; n < 2'000'000 && !done(); ++n) {
      Instant at = wire_.next();
      for (std::uint32_t i = 0; i < 2; ++i) {
        if (flow_[i]) at = std::min(at, flow_[i]->next_timeout());
        at = std::min(at, app_[i]->next_action());
      }
      if (at > end) return;
      now_ = std::max(now_, at);
      while (wire_.next() <= now_) deliver(0);
      for (std::uint32_t i = 0; i < 2; ++i) fire(i);
      settle();
    }
    sim::demand(done(), "too many steps: something spins");
  }
  [[nodiscard]] bool everything_arrived() const {
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (app_[i]->ended())
        sim::fail("a flow ended by itself: " + std::string(text(app_[i]->reason())));
      if (!app_[i]->established() || !app_[i]->all_submitted() || !app_[i]->all_told() ||
          app_[1 - i]->received() != app_[i]->submitted())
        return false;
    }
    return true;
  }
  [[nodiscard]] bool all_finished() const {
    for (const auto& flow : flow_)
      if (flow && !flow->finished()) return false;
    return true;
  }
  void judge_end() {
    sim::demand(all_finished(), "a flow never ends");
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (!flow_[i]) continue;
      const bool must_be_told = i == client || app_[i]->established();
      sim::demand(!must_be_told || app_[i]->ended(), "an end was not told");
      sim::demand(forged_ || app_[i]->reason() != Reason::closed_by_application ||
                      app_[1 - i]->received() == app_[i]->submitted(),
                  "closed as if all was delivered");
      sim::demand(flow_[i]->next_timeout() == never, "a timer is armed after the end");
      flow_[i].reset();
    }
    for (std::uint32_t i = 0; i < 2; ++i) {
      app_[i]->finish();
      if (const char* why = hosts_[i]->memory.complaint()) sim::fail(why);
      sim::demand(hosts_[i]->memory.blocks_out() == 0, "message memory was not given back");
      sim::demand(hosts_[i]->memory.granted() == 0, "credit was not put back");
      sim::demand(hosts_[i]->scratch.arena().used() == 0, "scratch blocks were not given back");
    }
  }
  static void audit(const Flow& flow) {
    if (const char* why = flow.broken_invariant())
      sim::fail(std::string("broken invariant: ") + why);
  }
  typename Traits::Setup setup(std::uint32_t host, Instant deadline) {
    return {&hosts_[host]->options,
            &hosts_[host]->memory,
            &hosts_[host]->scratch,
            &plan_,
            0,
            plan_.seed + host,
            now_,
            deadline};
  }

  Input in_;
  sim::Plan plan_;
  bool forging_ = false, forged_ = false, reset_ = false, server_came_ = false;
  std::array<bool, 2> closed_{};
  Instant now_{1s};
  Duration waited_{};
  std::array<sim::Script, 2> script_;
  std::array<std::unique_ptr<Host>, 2> hosts_;
  std::array<sim::CheckedMemory*, 2> memory_{};
  std::array<std::unique_ptr<Application>, 2> app_;
  std::array<std::unique_ptr<Flow>, 2> flow_;
  TamperedWire wire_;
  std::vector<std::byte> packet_;
};

}  // namespace proa::fuzz
