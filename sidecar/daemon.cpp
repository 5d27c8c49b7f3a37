// sidecar: the control thread.
#include "daemon.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <proa/wire/address_text.hpp>

#include "units_text.hpp"

namespace proa::sidecar {
namespace {

constexpr Duration report_limit = std::chrono::milliseconds{500};
constexpr Duration stop_limit = std::chrono::seconds{5};
constexpr Duration control_look = std::chrono::seconds{1};  // silent sessions are ended this often
constexpr std::size_t flows_shown_max = 4096;  // of each engine: it tells of them in one go

std::uint64_t memory_of(const ChannelGeometry& g) {
  return send_layout(g).bytes() + receive_layout(g).bytes();
}

/// The wish where there is one, up to what the operator allows, in whole pages.
std::uint64_t arena_for(std::uint64_t wish, std::uint64_t most) {
  if (wish == 0) return most;
  const std::uint64_t pages = (wish + Arena::page_bytes - 1) / Arena::page_bytes;
  return std::min(most, pages * Arena::page_bytes);
}

}  // namespace

Daemon::Daemon(const Config& config, Access access, std::vector<NamedInterface> interfaces, Log log)
    : config_(config),
      access_(std::move(access)),
      log_(log),
      interfaces_(std::move(interfaces)),
      started_(monotonic_now()) {
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

// --- what applications ask ------------------------------------------------------------------

ChannelGeometry Daemon::geometry_for(const AttachRequest& request) const noexcept {
  ChannelGeometry g = config_.applications.geometry;
  g.send_bytes = arena_for(request.send_bytes, g.send_bytes);
  g.receive_bytes = arena_for(request.receive_bytes, g.receive_bytes);
  if (request.flows_max != 0) g.flows_max = std::min(g.flows_max, request.flows_max);
  return g;
}

/// The interface of that name, of that address, or with a route to it; without a wish the first.
std::optional<std::uint32_t> Daemon::interface_for(const std::string& wish) const {
  if (wish.empty()) return 0;
  for (std::uint32_t i = 0; i < interfaces_.size(); ++i)
    if (interfaces_[i].name == wish) return i;
  const auto address = parse_ip(wish);
  if (!address) return std::nullopt;
  return interface_to(*address);
}

std::optional<std::uint32_t> Daemon::interface_to(const IpAddress& address) const {
  std::optional<std::uint32_t> routed;
  for (std::uint32_t i = 0; i < interfaces_.size(); ++i) {
    const auto plan = InterfacePlan::make(interfaces_[i].host.interface);
    if (!plan) continue;
    if (plan->owns(address)) return i;
    if (!routed && plan->source_for(address)) routed = i;
  }
  return routed;
}

/// Fewest channels first; the application's listeners and flows follow its channel.
std::optional<std::uint32_t> Daemon::roomiest_engine(std::uint32_t interface) const noexcept {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < engines_.size(); ++i) {
    const EngineSeat& seat = engines_[i];
    if (seat.interface != interface || seat.free_apps.empty()) continue;
    if (!best || seat.free_apps.size() > engines_[*best].free_apps.size()) best = i;
  }
  return best;
}

std::optional<Daemon::AttachAnswer> Daemon::attach(std::uint32_t session, const ControlPeer& peer,
                                                   const AttachRequest& request) {
  const auto refuse = [](Reason reason, std::string sentence) -> AttachAnswer {
    return tl::unexpected{AttachRefusal{reason, std::move(sentence)}};
  };
  const ChannelGeometry geometry = geometry_for(request);
  if (const char* why = impossible(geometry)) return refuse(Reason::invalid_argument, why);
  const auto interface = interface_for(request.interface);
  if (!interface)
    return refuse(Reason::invalid_argument,
                  "no interface of the sidecar is called " + request.interface +
                      ", has that address or a route to it (option interface)");
  const auto engine = roomiest_engine(*interface);
  if (!engine)
    return refuse(Reason::not_permitted,
                  "all channels of that interface are taken (quota channels); end an application");
  const std::uint64_t memory = memory_of(geometry);
  if (auto admitted = access_.admit(peer, memory); !admitted) {
    log_(LogLevel::warning, "refused {} (pid {}): {}", request.name, peer.pid,
         admitted.error().sentence);
    return AttachAnswer{tl::unexpected{admitted.error()}};
  }
  auto setup = ChannelSetup::begin(geometry);
  if (!setup) {
    access_.give_back(peer.uid, memory);
    log_(LogLevel::warning, "no channel for pid {}: {}", peer.pid, setup.error());
    return refuse(Reason::out_of_memory, setup.error());
  }
  const std::uint32_t channel = next_channel_++;
  Application& a = applications_[channel];
  a.session = session;
  a.engine = *engine;
  a.app = engines_[*engine].free_apps.back();
  engines_[*engine].free_apps.pop_back();
  a.peer = peer;
  a.name = request.name;
  a.memory_bytes = memory;
  a.setup = std::move(*setup);
  preparing_.push_back(channel);
  return std::nullopt;
}

std::optional<Daemon::ConfirmAnswer> Daemon::confirm(std::uint32_t session) {
  for (auto& [channel, a] : applications_) {
    if (a.session != session || !a.setup) continue;
    a.confirmed = true;
    if (auto sealed = a.setup->confirm(); !sealed) {
      control_->end(session);
      return ConfirmAnswer{tl::unexpected{AttachRefusal{Reason::not_permitted, sealed.error()}}};
    }
    preparing_.push_back(channel);
    return std::nullopt;
  }
  return ConfirmAnswer{
      tl::unexpected{AttachRefusal{Reason::invalid_argument, "attach comes first"}}};
}

void Daemon::prepare() {
  if (preparing_.empty()) return;
  const auto it = applications_.find(preparing_.front());
  if (it == applications_.end()) return preparing_.pop_front();  // it left meanwhile
  Application& a = it->second;
  const auto all = a.setup->step();
  if (all && !*all) return;
  preparing_.pop_front();
  if (!a.confirmed) return offer(it);
  const std::uint32_t session = a.session;
  const ConfirmAnswer answer = serve(a);
  control_->answer(session, answer);
  if (!answer) control_->end(session);
}

void Daemon::offer(Applications::iterator application) {
  Application& a = application->second;
  auto offer = a.setup->finish().and_then([&] { return a.setup->offer(); });
  if (offer)
    return control_->answer(a.session,
                            AttachAnswer{Offered{std::move(*offer), application->first}});
  log_(LogLevel::warning, "no channel for pid {}: {}", a.peer.pid, offer.error());
  const std::uint32_t session = a.session;
  forget(application);
  control_->answer(
      session, AttachAnswer{tl::unexpected{AttachRefusal{Reason::out_of_memory, offer.error()}}});
}

Daemon::ConfirmAnswer Daemon::serve(Application& a) {
  const auto fail = [&](std::string why) -> ConfirmAnswer {
    return tl::unexpected{AttachRefusal{Reason::out_of_memory, std::move(why)}};
  };
  auto server = a.setup->serve();
  if (!server) return fail(server.error());
  a.server = std::move(*server);
  if (!serve_at_its_engine(a, false)) {
    a.server.reset();
    return fail("the engine does not answer");
  }
  a.setup.reset();
  log_(LogLevel::debug, "{} (pid {}, uid {}) attached", a.name, a.peer.pid, a.peer.uid);
  return {};
}

bool Daemon::serve_at_its_engine(const Application& a, bool stays) {
  EngineCommand command;
  command.kind = EngineCommand::Kind::serve;
  command.app = a.app;
  command.user = a.peer.uid;
  command.channel = a.server.get();
  command.stays = stays;
  return link(a.engine).post(command);
}

/// An engine has let go of a channel: another interface reaches its first peer.
void Daemon::move(Applications::iterator application, const IpAddress& peer) {
  Application& a = application->second;
  if (a.leaving || a.session == 0) return forget(application);
  const auto interface = interface_to(peer);
  const auto engine = interface ? roomiest_engine(*interface) : std::nullopt;
  if (engine) {
    engines_[a.engine].free_apps.push_back(a.app);
    a.engine = *engine;
    a.app = engines_[*engine].free_apps.back();
    engines_[*engine].free_apps.pop_back();
  }
  if (!serve_at_its_engine(a, !engine)) control_->end(a.session);
}

std::optional<Reason> Daemon::listen(std::uint32_t session, std::uint32_t request,
                                     std::uint16_t port, bool shared) {
  return ask_engine(EngineCommand::Kind::listen, session, request, port, shared);
}

std::optional<Reason> Daemon::unlisten(std::uint32_t session, std::uint32_t request,
                                       std::uint16_t port) {
  return ask_engine(EngineCommand::Kind::unlisten, session, request, port, false);
}

std::optional<Reason> Daemon::ask_engine(EngineCommand::Kind kind, std::uint32_t session,
                                         std::uint32_t request, std::uint16_t port, bool shared) {
  const Application* a = of_session(session);
  if (a == nullptr || a->leaving || !a->server) return Reason::stack_closed;
  EngineCommand command;
  command.kind = kind;
  command.app = a->app;
  command.session = session;
  command.request = request;
  command.user = a->peer.uid;
  command.port = port;
  command.shared = shared;
  if (!link(a->engine).post(command)) return Reason::would_block;
  return std::nullopt;
}

// --- applications that go -------------------------------------------------------------------

Daemon::Application* Daemon::of_session(std::uint32_t session) noexcept {
  for (auto& [channel, application] : applications_)
    if (application.session == session) return &application;
  return nullptr;
}

void Daemon::gone(std::uint32_t session) {
  for (auto it = applications_.begin(); it != applications_.end(); ++it) {
    Application& a = it->second;
    if (a.session != session) continue;
    log_(LogLevel::debug, "{} (pid {}) is gone", a.name, a.peer.pid);
    a.session = 0;
    if (!a.server) return forget(it);
    EngineCommand command;
    command.kind = EngineCommand::Kind::abandon;
    command.app = a.app;
    if (!a.leaving && !link(a.engine).post(command))
      log_(LogLevel::error, "engine {} does not take commands; channel {} is kept", a.engine,
           it->first);
    a.leaving = true;
    return;
  }
}

void Daemon::forget(Applications::iterator application) {
  const Application& a = application->second;
  access_.give_back(a.peer.uid, a.memory_bytes);
  engines_[a.engine].free_apps.push_back(a.app);
  applications_.erase(application);
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
    case EngineAnswer::Kind::moved:
      if (it != applications_.end()) move(it, answer.peer);
      return;
    case EngineAnswer::Kind::retired:
      if (it != applications_.end()) forget(it);
      return;
    case EngineAnswer::Kind::reported:
      if (const auto found = reports_.find(answer.request); found != reports_.end())
        found->second.done = true;
      return;
    case EngineAnswer::Kind::conflict:
      log_(LogLevel::warning,
           "interface {}: another station uses an address of ours; give one of the two another "
           "(address_conflicts in `proa status` counts its claims)",
           interfaces_[engines_[engine].interface].name);
      return;
    case EngineAnswer::Kind::noticed:
      // A full transmit ring is how a fast sender meets a slow wire: no reason to worry.
      return log_(answer.notice.over || answer.notice.what == NicTrouble::tx_ring_full
                      ? LogLevel::info
                      : LogLevel::warning,
                  "engine {}: {}", engine, text(answer.notice));
    case EngineAnswer::Kind::stopped:
      engines_[engine].stopped = true;
      return;
  }
}

void Daemon::wait_for_answers(Duration at_most) {
  std::vector<pollfd> watched;
  for (std::uint32_t i = 0; i < engines_.size(); ++i)
    watched.push_back({link(i).control_descriptor(), POLLIN, 0});
  ::poll(watched.data(), watched.size(), static_cast<int>(at_most / std::chrono::milliseconds{1}));
  take_answers();
}

// --- status ---------------------------------------------------------------------------------

std::string Daemon::status(const ControlPeer&, std::string_view query) {
  const Status status = gather();
  if (query == "json") return status_json(status);
  return status_text(status, query == "all");
}

Status Daemon::gather() {
  std::erase_if(reports_, [](const auto& entry) { return entry.second.done; });  // late ones
  const std::uint32_t first = next_report_;
  for (std::uint32_t i = 0; i < engines_.size(); ++i) {
    PendingReport& pending = reports_[next_report_];
    pending.report = std::make_unique<EngineReport>();
    pending.report->flows.reserve(flows_shown_max);
    pending.report->channels.reserve(config_.quotas.channels);
    EngineCommand command;
    command.kind = EngineCommand::Kind::report;
    command.request = next_report_++;
    command.report = pending.report.get();
    if (!link(i).post(command)) reports_.erase(command.request);
  }
  const Instant until = monotonic_now() + report_limit;
  const auto missing = [&](const auto& entry) {
    return entry.first >= first && !entry.second.done;
  };
  while (std::any_of(reports_.begin(), reports_.end(), missing) && monotonic_now() < until)
    wait_for_answers(std::chrono::milliseconds{50});

  Status s;
  s.pid = ::getpid();
  s.up_s = std::chrono::duration<double>(monotonic_now() - started_).count();
  s.socket = config_.control.socket;
  s.user = user_;
  s.sessions = control_->sessions();
  s.control = control_->counters();
  s.faults = faults_;
  std::uint32_t engine = 0;
  for (const NamedInterface& interface : interfaces_) {
    InterfaceStatus& shown = s.interfaces.emplace_back();
    shown.name = interface.name;
    shown.options = interface.host.interface;
    for (const auto& host : interface.host.engines) {
      shown.nic = host->nic_text();
      EngineStatus& e = shown.engines.emplace_back();
      const auto found = reports_.find(first + engine);
      e.index = engine++;
      e.answered = found != reports_.end() && found->second.done;
      if (e.answered) e.report = *found->second.report;
    }
  }
  for (const auto& [channel, a] : applications_)
    s.channels.push_back({channel, a.engine, a.app, a.name,
                          a.leaving  ? "leaving"
                          : a.server ? "serving"
                                     : "attaching",
                          a.peer, a.memory_bytes});
  return s;
}

}  // namespace proa::sidecar
