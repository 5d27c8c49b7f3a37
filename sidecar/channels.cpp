// sidecar: the control thread's part in a channel, from attach to the end.
#include <algorithm>
#include <utility>

#include <proa/wire/address_text.hpp>

#include "daemon.hpp"
#include "engine_load.hpp"

namespace proa::sidecar {
namespace {

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

/// The lightest first; the application's listeners and flows follow its channel.
std::optional<std::uint32_t> Daemon::lightest_engine(std::uint32_t interface) const noexcept {
  std::optional<std::uint32_t> best;
  std::uint32_t least = 0;
  for (std::uint32_t i = 0; i < engines_.size(); ++i) {
    const EngineSeat& seat = engines_[i];
    if (seat.interface != interface || seat.free_apps.empty()) continue;
    const auto free = static_cast<std::uint32_t>(seat.free_apps.size());
    const std::uint32_t weight =
        weight_of(config_.quotas.channels - free, seat.host->link().load_percent());
    if (best && weight >= least) continue;
    best = i;
    least = weight;
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
  const auto engine = lightest_engine(*interface);
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
    return control_->answer(a.session, AttachAnswer{Offered{std::move(*offer), application->first,
                                                            engines_[a.engine].interface}});
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
  EngineCommand command;
  command.kind = EngineCommand::Kind::serve;
  command.app = a.app;
  command.user = a.peer.uid;
  command.channel = a.server.get();
  if (!link(a.engine).post(command)) {
    a.server.reset();
    return fail("the engine does not answer");
  }
  a.setup.reset();
  log_(LogLevel::debug, "{} (pid {}, uid {}) attached", a.name, a.peer.pid, a.peer.uid);
  return {};
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

}  // namespace proa::sidecar
