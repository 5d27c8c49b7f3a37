// Simulation: two hosts, several flows between them, one wire, one clock, and the oracles.
// What happens when is the caller's business: World plays a seed's plan, the rows of TEST-MATRIX
// part A play theirs.
#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "narrator.hpp"
#include "scene_parts.hpp"
#include "wire.hpp"

namespace proa::sim {

/// `Traits` names the endpoint under test (see transport_traits.hpp and toy.hpp):
/// - Flow: the API of transport/flow.hpp; Options and options(plan): what flows of a host share;
/// - connect(setup): a client's flow; accept(setup, datagram): a server's, or null if the datagram
///   opens none; deliver(flow, arrival, datagram): hands a datagram to the flow;
/// - head_bytes, write_head(whole): what goes over the wire before each packet;
/// - describe(datagram): one line for --trace.
/// An oracle that is not content throws Failure.
template <class Traits>
class Scene {
 public:
  using Flow = typename Traits::Flow;
  using Setup = FlowSetup<typename Traits::Options>;

  Scene(const Plan& plan, const RunOptions& options)
      : plan_(plan),
        options_(options),
        narrator_(options.print),
        prng_(plan.seed),
        wire_(plan_, prng_.next()),
        packet_(Traits::head_bytes + plan.packet_bytes) {
    for (auto& host : hosts_) host = std::make_unique<Host>(plan_);
    for (std::uint32_t i = 0; i < plan_.pairs; ++i) pairs_.push_back(make_pair(i));
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() {  // what a failed run left behind
    for (auto& pair : pairs_)
      for (auto& app : pair.app) app->finish();
  }

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] Wire& wire() noexcept { return wire_; }
  [[nodiscard]] const Wire& wire() const noexcept { return wire_; }
  [[nodiscard]] std::uint32_t pairs() const noexcept { return plan_.pairs; }
  /// Null as long as the server has not heard of the client.
  [[nodiscard]] const Flow* flow(std::uint32_t host, std::uint32_t pair = 0) const noexcept {
    return pairs_[pair].flow[host].get();
  }
  [[nodiscard]] const Application& app(std::uint32_t host, std::uint32_t pair = 0) const noexcept {
    return *pairs_[pair].app[host];
  }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] std::uint64_t trace() const noexcept { return narrator_.trace(); }
  void note(const char* what) const { narrator_.note(now_, what); }

  /// Steps until `done`, or until nothing happens up to `limit`; true if done.
  template <class Done>
  bool run_until(Done done, Instant limit) {
    settle();
    while (!done()) {
      if (std::exchange(asked_, false)) settle();
      const Instant at = next_time();
      if (at > limit) {
        if (limit != never) now_ = std::max(now_, limit);
        return done();
      }
      step(at);
    }
    return true;
  }
  void run_for(Duration time) {
    (void)run_until([] { return false; }, now_ + time);
  }

  /// Closes one end; what is queued has `silence_limit` to arrive.
  void close(std::uint32_t host, std::uint32_t pair) {
    Flow& flow = *pairs_[pair].flow[host];
    demand(flow.close(now_, now_ + silence_limit).has_value(), "close was refused");
    asked_ = true;
    pairs_[pair].app[host]->stop();
    audit(flow);
  }
  void reset(std::uint32_t host, std::uint32_t pair) {
    pairs_[pair].flow[host]->reset(now_, Reason::reset_by_application);
  }
  void stop(std::uint32_t host, std::uint32_t pair) { pairs_[pair].app[host]->stop(); }

  /// The network heals: then everything arrives, or it never will.
  void heal_and_converge() {
    note("heal");
    wire_.heal();
    if (!run_until([&] { return everything_arrived(); }, now_ + convergence_limit))
      fail("no convergence after healing: " + missing(pairs_));
  }
  void demand_ends() {
    if (!run_until([&] { return all_ended(); }, now_ + silence_limit))
      fail("a flow has not told its application that it ended");
  }
  /// No timer is armed, all memory is back.
  void demand_rest() {
    if (!run_until([&] { return all_finished(pairs_); }, now_ + silence_limit))
      fail("a flow still has something to do after its end");
    for (auto& pair : pairs_)
      for (auto& flow : pair.flow)
        if (flow) demand(flow->next_timeout() == never, "a timer is armed after the end");
    for (auto& pair : pairs_) {
      for (auto& app : pair.app) app->finish();
      for (auto& flow : pair.flow) flow.reset();
    }
    for (auto& host : hosts_) {
      check_memory(*host);
      demand(host->memory.blocks_out() == 0, "message memory was not given back");
      demand(host->memory.granted() == 0, "credit was not put back");
      demand(host->scratch.arena().used() == 0, "scratch blocks were not given back");
    }
  }
  /// How every run of TEST-MATRIX ends: heal, converge, close, end with a reason, rest.
  void conclude() {
    heal_and_converge();
    for (std::uint32_t pair = 0; pair < pairs(); ++pair) close(client, pair);
    demand_ends();
    for (const auto& pair : pairs_) {
      demand(pair.app[client]->reason() == Reason::closed_by_application, "wrong reason");
      demand(pair.app[server]->reason() == Reason::closed_by_peer, "wrong reason");
    }
    demand_rest();
  }

  /// The same in the middle of the script: what was submitted arrives.
  void conclude_early() {
    for (auto& pair : pairs_)
      for (auto& app : pair.app) app->cut_script();
    conclude();
  }

  [[nodiscard]] bool everything_received() const {
    for (const auto& pair : pairs_)
      for (std::uint32_t host = 0; host < 2; ++host)
        if (!pair.app[host]->all_submitted() ||
            pair.app[1 - host]->received() != pair.app[host]->submitted())
          return false;
    return true;
  }
  [[nodiscard]] bool everything_arrived() const {
    for (const auto& pair : pairs_)
      for (const auto& app : pair.app) {
        if (app->ended()) fail("a flow ended by itself: " + std::string(text(app->reason())));
        if (!app->established() || !app->all_told()) return false;
      }
    return everything_received();
  }
  [[nodiscard]] bool all_ended() const {
    for (std::uint32_t pair = 0; pair < pairs(); ++pair)
      for (std::uint32_t host = 0; host < 2; ++host)
        if (must_be_told(host, pair) && !app(host, pair).ended()) return false;
    return true;
  }
  /// A server's application hears of the end of what it was told of; a half-open flow it never saw.
  [[nodiscard]] bool must_be_told(std::uint32_t host, std::uint32_t pair) const {
    if (!flow(host, pair)) return false;
    return host == client || app(host, pair).established() || !flow(host, pair)->finished();
  }

 protected:
  static constexpr Duration convergence_limit = 20s;  // of virtual time after healing
  static constexpr Duration silence_limit = 60s;      // twice the idle limit

 private:
  static constexpr std::uint32_t transmit_budget = 20'000;  // packets of one flow at one instant
  static constexpr std::uint32_t same_instant_max = 20'000;
  static constexpr std::uint64_t steps_max = 5'000'000;
  using Host = SceneHost<Traits>;
  using Pair = ScenePair<Traits>;

  void step(Instant at) {
    demand(++steps_ < steps_max, "too many steps: something spins");
    if (at <= now_)
      demand(++same_instant_ < same_instant_max, "time stands still");
    else
      same_instant_ = 0;
    now_ = std::max(now_, at);
    demand_timers();
    maybe_stall();
    deliver();
    for (std::uint32_t host = 0; host < 2; ++host)
      if (!stalled(host)) fire_timers(host);
    settle();
  }
  /// Applications, memory, events and transmissions of both hosts until all are quiet.
  void settle() {
    for (std::uint32_t host = 0; host < 2; ++host) {
      hosts_[host]->settled = !stalled(host);
      if (stalled(host)) continue;
      for (std::uint32_t pair = 0; pair < pairs_.size(); ++pair) drain_events(host, pair);
      offer_memory(host);
      for (std::uint32_t pair = 0; pair < pairs_.size(); ++pair) {
        drain_events(host, pair);
        act(host, pair);
        drain_events(host, pair);
        transmit(host, pair);
      }
      check_memory(*hosts_[host]);
    }
  }

  [[nodiscard]] Instant next_time() const {
    Instant at = wire_.next();
    for (std::uint32_t host = 0; host < 2; ++host) {
      Instant own = never;
      for (const auto& pair : pairs_) {
        if (pair.flow[host]) own = std::min(own, pair.flow[host]->next_timeout());
        own = std::min(own, pair.app[host]->next_action());
      }
      if (stalled(host)) own = hosts_[host]->stalled_until;  // then there may be much to do
      at = std::min(at, own);
    }
    return at;
  }

  /// What was at rest may want to transmit because time passed only if a timer says so: else an
  /// engine would not know when to ask.
  void demand_timers() const {
    for (const auto& pair : pairs_)
      for (std::uint32_t host = 0; host < 2; ++host) {
        const auto& flow = pair.flow[host];
        if (flow && hosts_[host]->settled && flow->next_timeout() > now_)
          demand(!flow->wants_transmit(now_), "a flow wants to transmit and set no timer for it");
      }
  }

  // ---- what happens in a step

  void maybe_stall() {
    if (plan_.stall_ppm == 0 || !prng_.chance(plan_.stall_ppm, 1'000'000)) return;
    Host& host = *hosts_[prng_.below(2)];
    host.stalled_since = now_;
    host.stalled_until = now_ + Duration{static_cast<std::int64_t>(prng_.below(
                                    static_cast<std::uint64_t>(plan_.stall_max.count())))};
  }
  [[nodiscard]] bool stalled(std::uint32_t host) const noexcept {
    return now_ < hosts_[host]->stalled_until;
  }
  void deliver() {
    while (wire_.next() <= now_) {
      Datagram datagram = wire_.take();
      if (stalled(datagram.to)) {
        const Instant until = hosts_[datagram.to]->stalled_until;
        wire_.put_off(std::move(datagram), until);
        continue;
      }
      deliver_one(datagram);
      wire_.recycle(std::move(datagram));
    }
  }
  void deliver_one(const Datagram& datagram) {
    Pair& pair = pairs_[datagram.pair];
    narrator_.mix(now_, datagram.id);
    narrator_.mix(now_, (std::uint64_t{datagram.to} << 32U) | datagram.bytes->size());
    auto& flow = pair.flow[datagram.to];
    if (!flow && datagram.to == server && !pair.server_came && plan_.mode != Mode::nobody)
      flow = accept(datagram);
    if (!flow) return;
    Host& host = *hosts_[datagram.to];
    Arrival arrival;
    arrival.now = now_;
    if (host.stalled_until == now_) arrival.uncertainty = now_ - host.stalled_since;
    const Drop drop = Traits::deliver(*flow, arrival, *datagram.bytes);
    if (datagram.corrupt) demand(drop != Drop::none, "a corrupt datagram was accepted");
    if (datagram.foreign) demand(drop != Drop::none, "another incarnation's packet was accepted");
    narrator_.delivered(now_, datagram, drop);
    audit(*flow);
    drain_events(datagram.to, datagram.pair);
  }
  std::unique_ptr<Flow> accept(const Datagram& datagram) {
    auto flow = Traits::accept(setup(server, datagram.pair, now_ + 5s), *datagram.bytes);
    if (flow) pairs_[datagram.pair].server_came = true;
    return flow;
  }
  void fire_timers(std::uint32_t host) {
    for (auto& pair : pairs_) {
      auto& flow = pair.flow[host];
      if (!flow || flow->next_timeout() > now_) continue;
      flow->handle_timeout(now_);
      audit(*flow);
    }
  }
  void drain_events(std::uint32_t host, std::uint32_t index) {
    Pair& pair = pairs_[index];
    auto& flow = pair.flow[host];
    if (!flow) return;
    for (;;) {
      const bool said = flow->has_event();
      const auto event = flow->poll_event();
      demand(said == event.has_value(), "has_event and poll_event disagree");
      if (!event) return;
      narrator_.happened(now_, host, index, *event);
      pair.app[host]->on_event(now_, *event, host == client, *pair.app[1 - host]);
    }
  }
  /// First come, first served, as the engine does: only the oldest may take the block kept back.
  void offer_memory(std::uint32_t host) {
    auto& queue = hosts_[host]->waiting_for_memory;
    for (std::uint32_t i = 0; i < pairs_.size(); ++i) {
      const auto& flow = pairs_[i].flow[host];
      const bool queued = std::find(queue.begin(), queue.end(), i) != queue.end();
      if (flow && flow->wants_memory() && !queued) queue.push_back(i);
    }
    while (!queue.empty()) {
      auto& flow = pairs_[queue.front()].flow[host];
      if (flow && flow->wants_memory() && !flow->take_memory(now_, true)) return;
      if (flow) audit(*flow);
      if (flow && flow->wants_memory()) return;
      queue.erase(queue.begin());
    }
  }
  void act(std::uint32_t host, std::uint32_t index) {
    Pair& pair = pairs_[index];
    if (pair.app[host]->act(now_, pair.flow[host].get()) && pair.flow[host])
      audit(*pair.flow[host]);
  }
  void transmit(std::uint32_t host, std::uint32_t index) {
    auto& flow = pairs_[index].flow[host];
    if (!flow) return;
    for (std::uint32_t n = 0;; ++n) {
      demand(n < transmit_budget, "poll_transmit does not end");
      const bool wanted = flow->wants_transmit(now_);
      const std::span<std::byte> room = std::span{packet_}.subspan(Traits::head_bytes);
      const std::size_t size = flow->poll_transmit(now_, room);
      if (size == 0) break;
      demand(wanted, "poll_transmit wrote what wants_transmit denied");
      demand(size <= room.size(), "a packet is larger than its room");
      audit(*flow);
      const std::span<std::byte> bytes{packet_.data(), Traits::head_bytes + size};
      Traits::write_head(bytes);
      narrator_.sent(now_, host, index, bytes);
      wire_.send(now_, 1 - host, index, bytes);
    }
    audit(*flow);
  }

  // ---- oracles

  void audit(const Flow& flow) {
    if (++calls_ % options_.audit_every != 0) return;
    if (const char* why = flow.broken_invariant()) fail(std::string("broken invariant: ") + why);
  }
  void check_memory(const Host& host) const {
    if (const char* why = host.memory.complaint()) fail(why);
    if (calls_ % options_.audit_every == 0)
      demand(host.memory.ledger_consistent(), "the memory ledger does not add up");
  }

  // ---- setting up

  Setup setup(std::uint32_t host, std::uint32_t pair, Instant deadline) {
    return {&hosts_[host]->options,
            &hosts_[host]->memory,
            &hosts_[host]->scratch,
            &plan_,
            pair,
            prng_.next(),
            now_,
            deadline};
  }
  Pair make_pair(std::uint32_t index) {
    Pair pair;
    for (std::uint32_t host = 0; host < 2; ++host)
      pair.app[host] =
          std::make_unique<Application>(plan_.script[index][host], hosts_[host]->memory_pointer,
                                        ContentKey{plan_.seed, index, host, 0},
                                        ContentKey{plan_.seed, index, 1 - host, 0}, prng_.next());
    pair.flow[client] = Traits::connect(setup(client, index, now_ + 10s));
    return pair;
  }

  const Plan plan_;
  RunOptions options_;
  Narrator<Traits> narrator_;
  Prng prng_;
  Wire wire_;
  std::vector<std::byte> packet_;
  Instant now_{};
  bool asked_ = false;  // something was asked of a flow outside settle()
  std::uint32_t same_instant_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t steps_ = 0;
  std::array<std::unique_ptr<Host>, 2> hosts_;
  std::vector<Pair> pairs_;
};

}  // namespace proa::sim
