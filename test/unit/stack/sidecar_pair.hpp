// Two stacks in this thread, each with a sidecar of its own on another; simulated NICs, real time.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <proa/base/clock.hpp>
#include <proa/engine/engine.hpp>
#include <proa/ipc/control_server.hpp>
#include <proa/nic/sim.hpp>
#include <proa/sidecar.hpp>

#include "../../../sidecar/app_side.hpp"

namespace stack_tests {

using namespace proa;
using namespace std::chrono_literals;

/// proad without threads, files and quotas: one engine, its channels, its control socket.
class SimSidecar final : public ControlHandler {
 public:
  SimSidecar(SimPort& port, std::uint8_t number, const std::string& path)
      : nic_(port.nic(0)), side_(8, 1024), engine_(nic_, side_, options(nic_, number), clock_()) {
    ControlServerOptions control;
    control.path = path;
    control.mode = 0600;
    control_ = ControlServer::open(control, *this).value();
  }

  void step() {
    control_->serve({});
    engine_.turn(clock_);
    for (auto it = channels_.begin(); it != channels_.end();) {
      Channel& c = *it->second;
      if (c.gone && engine_.flow_count(c.app) == 0 && c.server->idle()) {
        side_.unseat(c.app);
        it = channels_.erase(it);
      } else {
        ++it;
      }
    }
  }

  std::optional<AttachAnswer> attach(std::uint32_t session, const ControlPeer&,
                                     const AttachRequest&) override {
    ChannelGeometry g;
    g.send_bytes = g.receive_bytes = std::uint64_t{32} << 20;
    g.flows_max = 256;
    auto c = std::make_unique<Channel>(ChannelSetup::make(g).value());
    while (side_.seated(c->app)) ++c->app;
    auto offer = c->setup.offer().value();
    channels_[session] = std::move(c);
    return Offered{std::move(offer), session};
  }
  std::optional<ConfirmAnswer> confirm(std::uint32_t session) override {
    Channel& c = *channels_.at(session);
    c.server = c.setup.serve().value();
    side_.seat(c.app, *c.server, 0);
    return ConfirmAnswer{};
  }
  std::optional<Reason> listen(std::uint32_t session, std::uint32_t, std::uint16_t port,
                               bool shared) override {
    const auto done = engine_.listen(channels_.at(session)->app, port, {shared, 0});
    return done ? Reason::none : done.error();
  }
  std::optional<Reason> unlisten(std::uint32_t session, std::uint32_t,
                                 std::uint16_t port) override {
    return engine_.unlisten(channels_.at(session)->app, port) ? Reason::none
                                                              : Reason::invalid_argument;
  }
  std::string status(const ControlPeer&, std::string_view) override { return {}; }
  void gone(std::uint32_t session) override {
    Channel& c = *channels_.at(session);
    c.gone = true;
    c.server->abandon();
    engine_.abandon(clock_(), c.app, Reason::application_gone);
  }

 private:
  struct Channel {
    explicit Channel(ChannelSetup s) : setup(std::move(s)) {}
    ChannelSetup setup;
    std::unique_ptr<ChannelServer> server;
    std::uint32_t app = 0;
    bool gone = false;
  };
  static EngineOptions options(const SimNic& nic, std::uint8_t number) {
    InterfaceOptions interface;
    interface.mac = nic.capabilities().mac;
    interface.addresses.push_back({IpAddress::v4(10, 0, 0, number), 24});
    EngineOptions engine;
    engine.apps_max = 8;
    engine.seed = number;
    engine.flow.incarnation = number;
    engine.interface = InterfacePlan::make(std::move(interface)).value();
    return engine;
  }

  SimNic nic_;
  CycleClock clock_;
  proa::sidecar::ChannelAppSide side_;
  std::map<std::uint32_t, std::unique_ptr<Channel>> channels_;  // by session
  Engine<SimNic, proa::sidecar::ChannelAppSide> engine_;        // goes before what it uses
  std::unique_ptr<ControlServer> control_;
};

/// A fixture of the placement tests: two stacks `a` and `b` that reach each other.
class SidecarPair {
 public:
  using Net = Stack<Sidecar>;

  SidecarPair() : network_(1), ports_{port(1), port(2)}, sidecars_{sidecar(1), sidecar(2)} {
    thread_ = std::thread{[this] {
      while (!stop_.load()) {
        sidecars_[0]->step();
        sidecars_[1]->step();
        std::this_thread::yield();
      }
    }};
    a.emplace(options(1));
    b.emplace(options(2));
  }
  ~SidecarPair() {
    a.reset();
    b.reset();
    stop_.store(true);
    thread_.join();
  }

  Net::Options options(std::uint8_t number) const {
    return Net::Options::parse("spin=0us socket=" + path(number)).value();
  }
  static Endpoint at_a(std::uint16_t port) { return {IpAddress::v4(10, 0, 0, 1), port}; }
  static Endpoint at_b(std::uint16_t port) { return {IpAddress::v4(10, 0, 0, 2), port}; }
  /// Lets time pass for both, in which nobody polls for events.
  static void run(Duration how_long) {
    const Instant end = monotonic_now() + how_long;
    do std::this_thread::yield();
    while (monotonic_now() < end);
  }

 private:
  static std::string path(std::uint8_t number) {
    return "/tmp/proa-test-pair-" + std::to_string(::getpid()) + "-" + std::to_string(number);
  }
  std::unique_ptr<SimPort> port(std::uint8_t number) {
    return std::make_unique<SimPort>(
        network_,
        SimPortOptions{.mac = MacAddress{{2, 0, 0, 0, 0, number}}, .link = {.delay = 1us}});
  }
  std::unique_ptr<SimSidecar> sidecar(std::uint8_t number) {
    return std::make_unique<SimSidecar>(*ports_[number - 1U], number, path(number));
  }

  SimNetwork network_;
  std::unique_ptr<SimPort> ports_[2];
  std::unique_ptr<SimSidecar> sidecars_[2];
  std::atomic<bool> stop_{false};
  std::thread thread_;

 public:
  std::optional<Net> a, b;
};

}  // namespace stack_tests
