// Simulation: a scene that plays the plan of one seed to one of the five ends.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "scene.hpp"

namespace proa::sim {

struct Outcome {
  std::string failure;  // empty: every oracle was content
  std::uint64_t trace = 0;
  Instant ended{};
  std::uint64_t messages = 0, steps = 0;
  WireCounters wire;
};

template <class Traits>
class World : private Scene<Traits> {
 public:
  using Base = Scene<Traits>;
  World(const Plan& plan, const RunOptions& options)
      : Base(plan, options), closed_by_us_(plan.pairs) {}

  Outcome run() {
    Outcome out;
    try {
      run_mode();
    } catch (const Failure& failure) {
      out.failure = failure.what();
    }
    out.trace = this->trace();
    out.ended = this->now();
    out.steps = this->steps();
    out.wire = this->wire().counters();
    for (std::uint32_t pair = 0; pair < this->pairs(); ++pair)
      out.messages += this->app(client, pair).received() + this->app(server, pair).received();
    return out;
  }

 private:
  [[nodiscard]] const Plan& plan() const noexcept { return Base::plan(); }

  void run_mode() {
    const Instant chaos_ends = Instant{} + plan().chaos;
    switch (plan().mode) {
      case Mode::converge:
        if (!this->run_until([&] { return this->everything_arrived(); }, chaos_ends))
          this->heal_and_converge();
        this->wire().heal();
        close_all();
        break;
      case Mode::early_close:
        close_early(chaos_ends);
        break;
      case Mode::reset:
        (void)this->run_until([] { return false; }, plan().end_at);
        reset_all();
        this->wire().heal();
        break;
      case Mode::partition:
        (void)this->run_until([] { return false; }, plan().end_at);
        this->wire().cut();
        break;
      case Mode::nobody:
        this->wire().cut();
        break;
    }
    finish();
  }
  void finish() {
    this->demand_ends();
    if (plan().mode == Mode::early_close)
      demand(this->everything_received(), "closed before delivery");
    for (std::uint32_t pair = 0; pair < this->pairs(); ++pair) judge_reasons(pair);
    this->demand_rest();
  }

  void close_early(Instant chaos_ends) {
    const auto done = [&] { return close_when_submitted(); };
    if (!this->run_until(done, chaos_ends)) this->wire().heal();
    if (!this->run_until(done, this->now() + Base::convergence_limit))
      fail("not everything could be submitted");
    this->wire().heal();
  }
  bool close_when_submitted() {
    bool all = true;
    for (std::uint32_t pair = 0; pair < this->pairs(); ++pair) {
      if (closed_by_us_[pair]) continue;
      const auto& app = this->app(plan().closer, pair);
      if (app.established() && app.all_submitted())
        close_one(plan().closer, pair);
      else
        all = false;
    }
    return all;
  }
  void close_all() {
    for (std::uint32_t pair = 0; pair < this->pairs(); ++pair)
      for (std::uint32_t host = 0; host < 2; ++host)
        if (plan().closer == 2 || plan().closer == host) close_one(host, pair);
  }
  void close_one(std::uint32_t host, std::uint32_t pair) {
    this->close(host, pair);
    closed_by_us_[pair] = true;
  }
  void reset_all() {
    for (std::uint32_t pair = 0; pair < this->pairs(); ++pair) {
      const bool by_server = plan().closer == 1 && this->app(server, pair).established();
      const std::uint32_t host = by_server ? server : client;
      if (this->flow(host, pair) && !this->app(host, pair).ended()) this->reset(host, pair);
      for (std::uint32_t side = 0; side < 2; ++side) this->stop(side, pair);
    }
  }

  /// Each end's reason is one that its mode allows.
  void judge_reasons(std::uint32_t pair) const {
    for (std::uint32_t host = 0; host < 2; ++host) {
      if (!this->must_be_told(host, pair)) continue;
      const Reason reason = this->app(host, pair).reason();
      if (!allowed(reason, host))
        fail("host " + std::to_string(host) + " was told '" + std::string(text(reason)) + "'");
    }
  }
  [[nodiscard]] bool allowed(Reason reason, std::uint32_t host) const noexcept {
    const bool closer = plan().closer == 2 || plan().closer == host;
    switch (plan().mode) {
      case Mode::converge:
      case Mode::early_close:
        if (plan().closer == 2 && reason == Reason::closed_by_peer) return true;
        return reason == (closer ? Reason::closed_by_application : Reason::closed_by_peer);
      case Mode::reset:
        return reason == Reason::reset_by_application || reason == Reason::reset_by_peer ||
               (host == server && reason == Reason::handshake_timeout);
      case Mode::partition:
        return reason == Reason::idle_timeout || reason == Reason::peer_unreachable ||
               reason == Reason::handshake_timeout;
      case Mode::nobody:
        return reason == Reason::handshake_timeout;
    }
    return false;
  }

  std::vector<bool> closed_by_us_;
};

}  // namespace proa::sim
