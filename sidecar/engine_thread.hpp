// sidecar: the engine's thread: turns, commands of the control thread, sleeping.
#pragma once
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/engine/engine.hpp>
#include <proa/stack/lazy_timer.hpp>

#include "app_side.hpp"
#include "engine_host.hpp"
#include "engine_load.hpp"
#include "idler.hpp"

namespace proa::sidecar {

template <Nic NicT>
class EngineThread final : public EngineHost {
 public:
  EngineThread(NicT nic, std::string nic_text, const EngineHostOptions& options)
      : options_(options),
        nic_text_(std::move(nic_text)),
        nic_(std::move(nic)),
        apps_(options.engine.apps_max, options.flows_per_user),
        idler_(options.idle, options.spin_for),
        engine_(nic_, apps_, options.engine, clock_()),
        load_(engine_.now()),
        leaving_(options.engine.apps_max) {
    if (timer_.descriptor() < 0)
      throw std::runtime_error{"no descriptor for a timer; raise the limit of open files"};
    if (engine_.group().takes_handovers()) bell_ = engine_.group().bell(engine_.index());
    watched_.reserve(fixed_descriptors + options.engine.apps_max);
  }
  ~EngineThread() override { join(); }

  void start() override {
    thread_ = std::thread{[this] { run(); }};
  }
  void join() override {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] EngineLink& link() noexcept override { return link_; }
  [[nodiscard]] std::string nic_text() const override { return nic_text_; }

 private:
  using EngineT = Engine<NicT, ChannelAppSide>;
  static constexpr std::size_t nic_descriptors_max = 8;
  static constexpr std::size_t fixed_descriptors = 3 + nic_descriptors_max;
  // The peers of a stopping sidecar are told; whoever does not answer by then learns it later.
  static constexpr Duration farewell = std::chrono::milliseconds{200};

  void run() noexcept {
    settle_on_core();
    while (true) {
      take_commands();
      if (stopped_) break;
      const TurnReport report = engine_.turn(clock_);
      tend_channels();
      load_.turned(engine_.now(), !report.idle());
      if (engine_.interface().counters().address_conflicts != 0 && !conflict_told_) [[unlikely]]
        tell_conflict();
      if (engine_.now() >= look_at_) [[unlikely]]
        look_around();
      if (!report.idle()) {
        idler_.worked(engine_.now());
      } else {
        const bool tired = idler_.rest(engine_.now());
        if (tired) sleep();
        if (tired || idler_.gives_way()) load_.waited(clock_());
      }
    }
    // Its peers hear nothing from here on; the control thread may free the channels.
    link_.answer({EngineAnswer::Kind::stopped});
  }

  void tell_conflict() noexcept {
    if (!link_.can_answer()) return;
    link_.answer({EngineAnswer::Kind::conflict});
    conflict_told_ = true;
  }

  void settle_on_core() noexcept {
    ::prctl(PR_SET_NAME, "proa-engine");
    if (options_.core < 0) return;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<std::size_t>(options_.core), &cores);
    // A core that is not there was refused at start.
    static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof cores, &cores));
  }

  /// Once a second, asleep or not: a load that is over is told within two.
  void look_around() noexcept {
    const std::uint32_t percent = load_.take_percent(engine_.now());
    if (look_at_ != Instant{}) link_.tell_load(percent);  // the first look is not of a second
    look_at_ = engine_.now() + look_every;
    look_at_nic();
  }

  /// Counters of some drivers cost a system call: not in every turn.
  void look_at_nic() noexcept {
    nic_watch_.look(engine_.now(), nic_.link_up(), engine_.counters(), [&](const NicNotice& one) {
      if (!link_.can_answer()) return false;
      EngineAnswer answer{EngineAnswer::Kind::noticed};
      answer.notice = one;
      link_.answer(answer);
      return true;
    });
  }

  // --- commands ---

  void take_commands() noexcept {
    EngineCommand command;
    while (link_.waiting() && link_.next(command)) obey(command);
  }

  void obey(const EngineCommand& c) noexcept {
    using Kind = EngineCommand::Kind;
    switch (c.kind) {
      case Kind::serve:
        leaving_[c.app] = {};
        return apps_.seat(c.app, *c.channel, c.user);
      case Kind::abandon:
        return abandon(c.app, Reason::application_gone);
      case Kind::listen: {
        const auto done = engine_.listen(c.app, c.port, {c.shared, c.user});
        return link_.answer({EngineAnswer::Kind::listened, done ? Reason::none : done.error(),
                             ChannelFault::none, c.app, c.session, c.request});
      }
      case Kind::unlisten: {
        const bool done = engine_.unlisten(c.app, c.port);
        return link_.answer({EngineAnswer::Kind::listened,
                             done ? Reason::none : Reason::invalid_argument, ChannelFault::none,
                             c.app, c.session, c.request});
      }
      case Kind::report:
        fill(*c.report);
        return link_.answer(
            {EngineAnswer::Kind::reported, Reason::none, ChannelFault::none, 0, 0, c.request});
      case Kind::stop:
        return say_farewell();
    }
  }

  void say_farewell() noexcept {
    reset_flows([](AppCookie) { return true; }, Reason::stack_shutdown);
    const Instant until = clock_() + farewell;
    while (clock_() < until && is_telling()) {
      engine_.turn(clock_);
      ::sched_yield();
    }
    stopped_ = true;
  }

  /// Some peer has not acknowledged its RESET, or something waits to be sent.
  [[nodiscard]] bool is_telling() noexcept {
    bool telling = engine_.needs_turn();
    engine_.for_each_flow([&](FlowKey, AppCookie, const auto& flow) {
      telling = telling || flow.state() == FlowState::resetting;
    });
    return telling;
  }

  /// Rare, so it may take memory: resetting changes the table that is walked.
  template <class Wanted>
  void reset_flows(Wanted&& wanted, Reason why) noexcept {
    std::vector<FlowKey> keys;
    engine_.for_each_flow([&](FlowKey key, AppCookie cookie, const auto&) {
      if (wanted(cookie)) keys.push_back(key);
    });
    for (const FlowKey key : keys) static_cast<void>(engine_.reset(engine_.now(), key, why));
  }

  // --- applications that leave ---

  struct Leaving {
    bool now = false;
    bool told = false;  // the control thread, that the channel is broken
    bool lingered = false;
    Instant until = never;
  };

  void abandon(std::uint32_t app, Reason why) noexcept {
    Leaving& leaving = leaving_[app];
    if (!apps_.seated(app) || leaving.now) return;  // given back before the command came
    leaving = {true, false, false, clock_() + options_.linger};
    ++leaving_count_;
    apps_.pull_last(engine_, clock_(), app);  // its exit may be known before its last words
    apps_.channel(app).abandon();
    engine_.abandon(engine_.now(), app, why);
  }

  /// A channel that was caught or left by itself is abandoned; an abandoned one whose flows have
  /// ended is given back.
  void tend_channels() noexcept {
    if (!apps_.attention() && leaving_count_ == 0) [[likely]]
      return;
    apps_.attended();
    for (std::size_t i = 0; i < apps_.taken().size();) {
      const std::uint32_t app = apps_.taken()[i];
      tend(app);
      if (i < apps_.taken().size() && apps_.taken()[i] == app) ++i;  // else it was given back
    }
  }

  void tend(std::uint32_t app) noexcept {
    ChannelServer& channel = apps_.channel(app);
    Leaving& leaving = leaving_[app];
    if (!leaving.now) {
      if (channel.serving() && !apps_.left(app)) return;
      const bool caught = channel.fault() != ChannelFault::none;
      abandon(app, caught ? Reason::channel_violation : Reason::application_gone);
      leaving.told = true;
    }
    if (leaving.told && link_.can_answer()) {
      link_.answer({EngineAnswer::Kind::broken, Reason::none, channel.fault(), app});
      leaving.told = false;
    }
    if (!leaving.lingered && engine_.now() >= leaving.until) {
      leaving.lingered = true;
      reset_flows([app](AppCookie cookie) { return cookie.app == app; }, Reason::application_gone);
    }
    if (leaving.told || engine_.flow_count(app) != 0 || !channel.idle() || !link_.can_answer())
      return;
    --leaving_count_;
    leaving = {};
    apps_.unseat(app);
    link_.answer({EngineAnswer::Kind::retired, Reason::none, ChannelFault::none, app});
  }

  // --- sleeping ---

  void sleep() noexcept {
    const Instant now = clock_();
    // An idle turn although something waits: the NIC takes nothing, its ring is full or link down.
    const bool blocked = engine_.needs_turn();
    const Instant wake_at = blocked ? never : engine_.next_timeout();
    if (wake_at <= now) return;
    watched_.clear();
    watched_.push_back({link_.engine_descriptor(), POLLIN, 0});
    watched_.push_back({timer_.descriptor(), POLLIN, 0});
    watched_.push_back({bell_, POLLIN, 0});
    std::array<int, nic_descriptors_max> nic{};
    const std::size_t of_nic = nic_.wait_descriptors(std::span{nic});
    for (std::size_t i = 0; i < of_nic; ++i) watched_.push_back({nic[i], POLLIN, 0});
    Duration at_most = wake_at == never ? longest_sleep : std::min(longest_sleep, wake_at - now);
    if (leaving_count_ != 0) at_most = std::min(at_most, leaving_look);
    if (of_nic == 0 || blocked) at_most = std::min(at_most, idler_.next_nap());
    const std::size_t first_bell = watched_.size();
    const bool quiet = (of_nic == 0 || nic_.arm_wait()) && engine_.arm_handover() &&
                       apps_.arm(watched_) && !link_.waiting();
    if (quiet) wait(now, now + at_most, of_nic == 0 || blocked);
    apps_.disarm(std::span{watched_}.subspan(first_bell));
    engine_.disarm_handover();
    if (of_nic != 0) nic_.disarm_wait();
    engine_.note_slept();
  }

  void wait(Instant now, Instant until, bool nap) noexcept {
    timer_.set(now, until);
    ++sleeps_;
    if (nap) ++naps_;
    if (::ppoll(watched_.data(), watched_.size(), nullptr, nullptr) > 0) {
      if (watched_[0].revents != 0) link_.hush_engine();
      if (watched_[1].revents != 0) timer_.went_off();
    }
    // What came while it slept has woken it: it has not lain there as long as the sleep.
    if (!nap) engine_.note_ring_empty_until(clock_() - usual_wake_up);
  }

  // --- report ---

  void fill(EngineReport& out) noexcept {
    out.counters = engine_.counters();
    out.interface = std::as_const(engine_).interface().counters();
    out.neighbours = std::as_const(engine_).interface().neighbour_count();
    out.sleeps = sleeps_;
    out.naps = naps_;
    out.gives_way = idler_.gives_way();
    out.busy_percent = link_.load_percent();
    out.link_up = nic_.link_up();
    engine_.for_each_flow([&](FlowKey, AppCookie cookie, const auto& flow) {
      if (out.flows.size() < out.flows.capacity()) out.flows.push_back({cookie.app, flow.info()});
    });
    for (const std::uint32_t app : apps_.taken()) {
      if (out.channels.size() == out.channels.capacity()) break;
      ChannelServer& channel = apps_.channel(app);
      out.channels.push_back({app, engine_.flow_count(app), channel.leases_out(),
                              channel.requests_served(), channel.events_written(),
                              channel.serving()});
    }
  }

  static constexpr Duration longest_sleep = std::chrono::seconds{1};
  static constexpr Duration look_every = std::chrono::seconds{1};
  static constexpr Duration leaving_look = std::chrono::milliseconds{1};

  EngineHostOptions options_;
  std::string nic_text_;
  CycleClock clock_;
  EngineLink link_;
  NicT nic_;
  ChannelAppSide apps_;
  Idler idler_;
  EngineT engine_;
  EngineLoad load_;
  NicWatch nic_watch_;
  Instant look_at_{};
  std::vector<Leaving> leaving_;  // by application
  std::uint32_t leaving_count_ = 0;
  std::vector<pollfd> watched_;
  LazyTimer timer_;
  std::uint64_t sleeps_ = 0, naps_ = 0;
  int bell_ = -1;  // of the group: another engine has handed something over
  bool stopped_ = false;
  bool conflict_told_ = false;
  std::thread thread_;
};

}  // namespace proa::sidecar
