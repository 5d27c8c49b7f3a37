// Simulation, second level: the applications' side of one engine: scripted connections.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <proa/engine/app_side.hpp>

#include "application.hpp"
#include "engine_plan.hpp"

namespace proa::sim {

/// A connection of the run: what both ends know, and the world between them.
struct Connection {
  const ConnectionPlan* plan = nullptr;
  std::array<std::unique_ptr<Application>, 2> app;  // [0] client, [1] server
  std::array<FlowKey, 2> key{};
  std::array<bool, 2> has_flow{}, close_called{};
  std::array<bool, 2> gone{};              // that end's host crashed
  std::array<CheckedMemory*, 2> memory{};  // of the engine that end is on; null: not yet on any
  std::uint32_t server_engine = 0;         // who accepted it
  bool started = false;
  std::uint32_t attempts = 0;
  std::uint32_t reset_flow = 0;  // id at the other end of the flow that was reset; 0: none
  std::optional<Instant> retry_at;

  [[nodiscard]] bool over() const noexcept {
    return started && !retry_at && end_over(0) && end_over(1);
  }
  [[nodiscard]] bool end_over(std::uint32_t end) const noexcept {
    return gone[end] || !has_flow[end] || app[end]->ended();
  }
};

/// Which connection a new flow belongs to, by the client's address and port and by the port that it
/// wants: engines of one host choose client ports without asking each other.
using Clients = std::map<std::pair<Endpoint, std::uint16_t>, std::uint32_t>;

/// Where an engine sits.
struct Seat {
  std::uint32_t host = 0, engine = 0, engines = 1;
};

/// Models AppSideOf for one engine of a host. The host's clients take turns over its engines;
/// servers are where the listener is that was chosen.
class EngineSide {
 public:
  using Memory = CheckedMemory;

  EngineSide(const EnginePlan& plan, Seat seat, std::vector<Connection>& connections,
             Clients& clients, std::uint64_t seed)
      : plan_(&plan),
        seat_(seat),
        connections_(&connections),
        clients_(&clients),
        prng_(seed),
        memory_(HeapMemory::Options{std::uint64_t{64} << 20U, plan.receive_bytes,
                                    plan.message_bytes_max}) {}

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant now) noexcept {
    now_ = now;
    std::uint32_t handled = 0;
    try {
      for (std::uint32_t i = 0; i < connections_->size(); ++i)
        for (std::uint32_t end = 0; end < 2; ++end)
          if (is_here(i, end)) handled += act(engine, i, end) ? 1 : 0;
    } catch (const Failure& failure) {
      note(failure.what());
    }
    return handled;
  }
  std::optional<AppCookie> accept(std::uint32_t app, FlowKey key, const Endpoint& local,
                                  const Endpoint& peer) noexcept {
    const auto found = clients_->find({peer, local.port});
    if (app != 0 || found == clients_->end()) {
      note("a flow was accepted from nobody");
      return std::nullopt;
    }
    Connection& connection = (*connections_)[found->second];
    if (connection.plan->to != seat_.host) note("a flow was accepted by another host");
    if (!plan_->listens(local.port - EnginePlan::port_of(0), seat_.engine, seat_.engines))
      note("a flow was accepted by an engine that does not listen there");
    if (connection.has_flow[1] && !plan_->crashes) note("a connection was accepted twice");
    if (connection.has_flow[1] || connection.gone[1]) return std::nullopt;
    connection.has_flow[1] = true;
    connection.key[1] = key;
    connection.memory[1] = &memory_;
    connection.server_engine = seat_.engine;
    return AppCookie{0, found->second * 2 + 1};
  }
  bool room(std::uint32_t) noexcept {
    const bool has_room = !plan_->application_has_no_room || healed_ || !prng_.chance(1, 4);
    refused_room_ = refused_room_ || !has_room;
    return has_room;
  }
  /// Whether room was refused since the last call: events wait in their flows, poll again.
  [[nodiscard]] bool take_refused_room() noexcept { return std::exchange(refused_room_, false); }
  void deliver(AppCookie cookie, FlowKey key, const FlowEvent& event) noexcept {
    const std::uint32_t end = cookie.handle % 2;
    Connection& connection = (*connections_)[cookie.handle / 2];
    if (!(connection.key[end] == key)) note("an event of a flow with another key");
    trace_ = (trace_ ^ cookie.handle ^ (static_cast<std::uint64_t>(event.kind) << 32U)) *
             0x100'0000'01b3U;
    try {
      connection.app[end]->on_event(now_, event, end == 0, *connection.app[1 - end]);
    } catch (const Failure& failure) {
      note("connection " + std::to_string(cookie.handle / 2) + ": " + failure.what());
    }
  }
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}

  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  [[nodiscard]] Memory& memory() noexcept { return memory_; }
  [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }
  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  void heal() noexcept { healed_ = true; }
  void set_now(Instant now) noexcept { now_ = now; }

  /// When one of this engine's applications wants to act.
  [[nodiscard]] Instant next_action() const {
    Instant at = never;
    for (std::uint32_t i = 0; i < connections_->size(); ++i) {
      const Connection& c = (*connections_)[i];
      if (is_here(i, 0)) {
        if (!c.started) at = std::min(at, c.plan->start);
        if (c.retry_at) at = std::min(at, *c.retry_at);
      }
      for (std::uint32_t end = 0; end < 2; ++end)
        if (is_here(i, end) && !c.gone[end]) at = std::min(at, next_of(c, end));
    }
    return at;
  }

 private:
  /// What Application::act() calls.
  template <class EngineT>
  struct FlowHandle {
    EngineT* engine;
    FlowKey key;
    Expected<MessageNumber> submit(Instant now, const MessageBlock& block, bool notify) noexcept {
      return engine->submit(now, key, block, notify);
    }
  };

  [[nodiscard]] bool is_here(std::uint32_t connection, std::uint32_t end) const {
    const Connection& c = (*connections_)[connection];
    if ((end == 0 ? c.plan->from : c.plan->to) != seat_.host) return false;
    return seat_.engine == (end == 0 ? connection % seat_.engines : c.server_engine);
  }
  [[nodiscard]] bool resets_next(const Connection& c, std::uint32_t end) const noexcept {
    return c.plan->fate == Fate::reset && end == c.plan->closer % 2 && !c.close_called[end] &&
           c.app[end]->established() && !c.app[end]->ended();
  }
  /// Whether it is time for this end to close.
  [[nodiscard]] bool closes_now(const Connection& c, std::uint32_t end) const noexcept {
    if (c.close_called[end] || !c.has_flow[end] || c.app[end]->ended()) return false;
    if (c.plan->closer != 2 && c.plan->closer != end) return false;
    if (!c.app[end]->established() || !c.app[end]->all_submitted()) return false;
    if (c.plan->fate == Fate::early_close) return true;
    return c.plan->fate == Fate::deliver && all_arrived(c);
  }
  [[nodiscard]] static bool all_arrived(const Connection& c) noexcept {
    for (std::uint32_t end = 0; end < 2; ++end)
      if (!c.app[end]->established() || !c.app[end]->all_submitted() || !c.app[end]->all_told() ||
          c.app[1 - end]->received() != c.app[end]->submitted())
        return false;
    return true;
  }
  [[nodiscard]] Instant next_of(const Connection& c, std::uint32_t end) const {
    Instant at = c.app[end]->next_action();
    if (resets_next(c, end)) at = std::min(at, c.plan->reset_at);
    if (closes_now(c, end)) at = Instant{};
    return at;
  }

  template <class EngineT>
  bool act(EngineT& engine, std::uint32_t index, std::uint32_t end) {
    Connection& c = (*connections_)[index];
    if (c.gone[end]) return false;
    bool acted = end == 0 && start(engine, index);
    if (!c.has_flow[end]) return c.app[end]->act(now_, static_cast<FlowHandle<EngineT>*>(nullptr));
    FlowHandle<EngineT> handle{&engine, c.key[end]};
    acted = c.app[end]->act(now_, &handle) || acted;
    if (resets_next(c, end) && now_ >= c.plan->reset_at) {
      c.close_called[end] = true;
      engine.for_each_flow([&](FlowKey key, AppCookie, const auto& flow) {
        if (key == c.key[end]) c.reset_flow = flow.identity().peer_id;
      });
      demand(engine.reset(now_, c.key[end], Reason::reset_by_application).has_value(),
             "reset was refused");
      for (auto& app : c.app) app->stop();
      return true;
    }
    if (!closes_now(c, end)) return acted;
    c.close_called[end] = true;
    demand(engine.close(now_, c.key[end], now_ + 60s).has_value(), "close was refused");
    c.app[end]->stop();
    return true;
  }
  template <class EngineT>
  bool start(EngineT& engine, std::uint32_t index) {
    Connection& c = (*connections_)[index];
    const bool due = (!c.started && now_ >= c.plan->start) || (c.retry_at && now_ >= *c.retry_at);
    if (!due) return false;
    c.started = true;
    c.retry_at.reset();
    ++c.attempts;
    const bool nobody = c.plan->fate == Fate::nobody;
    const std::uint32_t host = nobody ? 199 : c.plan->to;
    const Endpoint peer{
        EnginePlan::address(host, plan_->over_ipv6(index)),
        c.plan->fate == Fate::refused ? std::uint16_t{9} : EnginePlan::port_of(seat_.engine)};
    const auto key = engine.connect(now_, {0, index * 2}, peer, now_ + (nobody ? 2s : 10s));
    demand(key.has_value(), "connect was refused");
    c.key[0] = *key;
    c.has_flow[0] = true;
    c.memory[0] = &memory_;
    const auto info = engine.info(*key);
    demand(info.has_value(), "a new flow has no info");
    (*clients_)[{info->local, peer.port}] = index;
    return true;
  }
  void note(const std::string& why) {
    if (complaint_.empty()) complaint_ = why;
  }

  const EnginePlan* plan_;
  Seat seat_;
  std::vector<Connection>* connections_;
  Clients* clients_;
  Prng prng_;
  CheckedMemory memory_;
  Instant now_{};
  bool healed_ = false;
  bool refused_room_ = false;
  std::string complaint_;
  std::uint64_t trace_ = 0xcbf2'9ce4'8422'2325U;
};

}  // namespace proa::sim
