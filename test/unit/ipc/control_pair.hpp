// Test support: a sidecar's control side with channels that nobody's engine serves but an echo.
#pragma once
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/ipc/control_client.hpp>
#include <proa/ipc/control_server.hpp>

#include "channel_pair.hpp"

namespace proa::test {

inline std::string socket_path(const char* what) {
  return "/tmp/proa-test-" + std::string{what} + "-" + std::to_string(::getpid()) + ".sock";
}

/// Grants every attach the small geometry; knows who listens where.
struct TestSidecar : ControlHandler {
  struct Channel {
    std::optional<ChannelSetup> setup;
    std::unique_ptr<ChannelServer> server;
  };

  std::optional<AttachAnswer> attach(std::uint32_t session, const ControlPeer& who,
                                     const AttachRequest& request) override {
    peer = who;
    if (request.name == "unwanted")
      return tl::unexpected<AttachRefusal>{{Reason::not_permitted, "not on this boat"}};
    auto setup = ChannelSetup::make(small_geometry());
    if (!setup) return tl::unexpected<AttachRefusal>{{Reason::out_of_memory, setup.error()}};
    auto offer = setup->offer();
    if (!offer) return tl::unexpected<AttachRefusal>{{Reason::out_of_memory, offer.error()}};
    channels[session].setup = std::move(*setup);
    std::uint32_t interface = 0;
    while (interface + 1 < told.size() && told[interface].name != request.interface) ++interface;
    if (request.interface.empty()) interface = 0;
    if (request.name != "late") return Offered{std::move(*offer), session, interface};
    late = [this, session,
            answer = std::make_shared<AttachAnswer>(Offered{std::move(*offer), session})] {
      control->answer(session, *answer);
    };
    late_at = monotonic_now() + late_by;
    return std::nullopt;
  }
  std::optional<ConfirmAnswer> confirm(std::uint32_t session) override {
    if (late_at != never && late == nullptr) {  // the application that attached late, again
      late = [this, session] {
        late_at = never;
        control->answer(session, *confirm(session));
      };
      late_at = monotonic_now() + late_by;
      return std::nullopt;
    }
    auto server = channels.at(session).setup->serve();
    if (!server) return tl::unexpected<AttachRefusal>{{Reason::out_of_memory, server.error()}};
    channels[session].server = std::move(*server);
    return ConfirmAnswer{};
  }
  std::optional<Reason> listen(std::uint32_t session, std::uint32_t request, std::uint16_t port,
                               bool) override {
    if (port == 99) {  // decided later
      control->answer(session, request, Reason::not_permitted);
      return std::nullopt;
    }
    return listeners.emplace(port, session).second ? Reason::none : Reason::port_in_use;
  }
  std::optional<Reason> unlisten(std::uint32_t session, std::uint32_t,
                                 std::uint16_t port) override {
    const auto it = listeners.find(port);
    if (it == listeners.end() || it->second != session) return Reason::invalid_argument;
    listeners.erase(it);
    return Reason::none;
  }
  [[nodiscard]] std::span<const InterfaceInfo> interfaces() const override { return told; }
  std::string status(const ControlPeer&, std::string_view query) override {
    return query == "long" ? std::string(6'000'000, 'x')
                           : "channels: " + std::to_string(channels.size());
  }
  void gone(std::uint32_t session) override {
    channels.erase(session);
    std::erase_if(listeners, [session](const auto& l) { return l.second == session; });
    ++gone_count;
  }

  /// After each ControlServer::serve(): what was decided later.
  void look() {
    if (late != nullptr && monotonic_now() >= late_at) std::exchange(late, nullptr)();
  }

  static constexpr Duration late_by = std::chrono::milliseconds{3500};
  std::function<void()> late;
  Instant late_at = never;
  ControlServer* control = nullptr;
  std::vector<InterfaceInfo> told;  // what interfaces() says
  ControlPeer peer;
  std::map<std::uint32_t, Channel> channels;
  std::map<std::uint16_t, std::uint32_t> listeners;
  std::atomic<std::uint32_t> gone_count{0};
};

/// The control thread.
struct ControlThread {
  explicit ControlThread(ControlServerOptions options) {
    server = must(ControlServer::open(options, sidecar));
    sidecar.control = server.get();
    thread = std::thread{[this] {
      while (!stop.load()) {
        server->serve(std::chrono::milliseconds{5});
        sidecar.look();
      }
    }};
  }
  ~ControlThread() { join(); }
  void join() {
    stop.store(true);
    if (thread.joinable()) thread.join();
  }

  TestSidecar sidecar;
  std::unique_ptr<ControlServer> server;
  std::atomic<bool> stop{false};
  std::thread thread;
};

}  // namespace proa::test
