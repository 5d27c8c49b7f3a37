// sidecar: the control thread: start, turns, end, and what the engines answer.
#include "daemon.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace proa::sidecar {
namespace {

constexpr Duration stop_limit = std::chrono::seconds{5};
constexpr Duration control_look = std::chrono::seconds{1};  // silent sessions are ended this often

}  // namespace

Daemon::Daemon(const Config& config, Access access, std::vector<NamedInterface> interfaces, Log log)
    : config_(config),
      access_(std::move(access)),
      log_(log),
      interfaces_(std::move(interfaces)),
      started_(monotonic_now()) {
  for (const NamedInterface& one : interfaces_) {
    const auto plan = InterfacePlan::make(one.host.interface);
    told_.push_back((plan ? plan->options : one.host.interface).info(one.name));
  }
  for (std::uint32_t i = 0; i < interfaces_.size(); ++i)
    for (auto& host : interfaces_[i].host.engines) {
      EngineSeat seat{host.get(), i, {}, false};
      for (std::uint32_t app = config_.quotas.channels; app-- > 0;) seat.free_apps.push_back(app);
      engines_.push_back(std::move(seat));
    }
}

// Engines first: their flows use the channels' memory.
Daemon::~Daemon() {
  control_.reset();
  engines_.clear();
  interfaces_.clear();
}

tl::expected<void, std::string> Daemon::open() {
  ControlServerOptions options;
  options.path = config_.control.socket;
  // A connection more than channels for every user: the operator's.
  options.sessions_per_uid = config_.quotas.channels_per_user + 8;
  options.sessions_max = config_.quotas.channels * static_cast<std::uint32_t>(engines_.size()) + 64;
  auto control = ControlServer::open(options, *this);
  if (!control) return tl::unexpected{control.error() + " (--socket)"};
  control_ = std::move(*control);
  return {};
}

void Daemon::run(int stop_descriptor, const std::string& user) {
  user_ = user;
  for (EngineSeat& engine : engines_) engine.host->start();
  std::vector<pollfd> watched{{stop_descriptor, POLLIN, 0}, {control_->descriptor(), POLLIN, 0}};
  for (std::uint32_t i = 0; i < engines_.size(); ++i)
    watched.push_back({link(i).control_descriptor(), POLLIN, 0});
  const int look_ms = static_cast<int>(control_look / std::chrono::milliseconds{1});
  while (watched[0].revents == 0) {
    ::poll(watched.data(), watched.size(), preparing_.empty() ? look_ms : 0);
    take_answers();
    control_->serve(Duration{});
    prepare();
  }
  stop_engines();
}

void Daemon::stop_engines() {
  log_(LogLevel::info, "stopping: {} channels", applications_.size());
  for (std::uint32_t i = 0; i < engines_.size(); ++i)
    link(i).post({});  // EngineCommand's default is `stop`
  const Instant until = monotonic_now() + stop_limit;
  const auto running = [](const EngineSeat& engine) { return !engine.stopped; };
  while (std::any_of(engines_.begin(), engines_.end(), running) && monotonic_now() < until)
    wait_for_answers(std::chrono::milliseconds{100});
  for (EngineSeat& engine : engines_)
    if (engine.stopped) engine.host->join();
}

// --- what engines answer --------------------------------------------------------------------

void Daemon::take_answers() {
  for (std::uint32_t i = 0; i < engines_.size(); ++i) {
    link(i).hush_control();
    EngineAnswer answer;
    while (link(i).take(answer)) take_answer(i, answer);
  }
}

void Daemon::take_answer(std::uint32_t engine, const EngineAnswer& answer) {
  const auto it = std::find_if(applications_.begin(), applications_.end(), [&](const auto& entry) {
    return entry.second.server && entry.second.engine == engine && entry.second.app == answer.app;
  });
  switch (answer.kind) {
    case EngineAnswer::Kind::listened:
      return control_->answer(answer.session, answer.request, answer.reason);
    case EngineAnswer::Kind::broken:
      ++faults_[static_cast<std::size_t>(answer.fault)];
      if (it == applications_.end()) return;
      log_(LogLevel::warning, "channel {} of {} (pid {}) is closed: {}", it->first, it->second.name,
           it->second.peer.pid,
           answer.fault == ChannelFault::none ? "it left" : text(answer.fault));
      it->second.leaving = true;
      if (it->second.session != 0) control_->end(it->second.session);
      return;
    case EngineAnswer::Kind::retired:
      if (it != applications_.end()) forget(it);
      return;
    case EngineAnswer::Kind::reported:
      if (const auto found = reports_.find(answer.request); found != reports_.end())
        found->second.done = true;
      return;
    case EngineAnswer::Kind::conflict:
      return tell_conflict(interfaces_[engines_[engine].interface]);
    case EngineAnswer::Kind::noticed:
      return tell_notice(interfaces_[engines_[engine].interface], engine, answer.notice);
    case EngineAnswer::Kind::stopped:
      engines_[engine].stopped = true;
      return;
  }
}

/// Every engine may have heard the other station.
void Daemon::tell_conflict(NamedInterface& interface) {
  if (std::exchange(interface.conflict_told, true)) return;
  log_(LogLevel::warning,
       "interface {}: another station uses an address of ours; give one of the two another "
       "(address_conflicts in `proa status` counts its claims)",
       interface.name);
}

void Daemon::tell_notice(NamedInterface& interface, std::uint32_t engine, const NicNotice& notice) {
  const auto news = interface.troubles.heard(engine, notice);
  if (!news) return;
  // A full transmit ring is how a fast sender meets a slow wire: no reason to worry.
  const bool harmless = news->over || news->what == NicTrouble::tx_ring_full;
  log_(harmless ? LogLevel::info : LogLevel::warning, "interface {}: {}", interface.name,
       text(*news));
}

void Daemon::wait_for_answers(Duration at_most) {
  std::vector<pollfd> watched;
  for (std::uint32_t i = 0; i < engines_.size(); ++i)
    watched.push_back({link(i).control_descriptor(), POLLIN, 0});
  ::poll(watched.data(), watched.size(), static_cast<int>(at_most / std::chrono::milliseconds{1}));
  take_answers();
}

}  // namespace proa::sidecar
