// Test support: a sidecar that sends everything back, with as many interfaces as it is told.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../ipc/control_pair.hpp"

namespace proa::test {

/// A thread that is control thread and engine in one; engines spin, so that the client may sleep.
struct EchoSidecar {
  explicit EchoSidecar(const char* name, std::vector<InterfaceInfo> interfaces = {}) {
    ControlServerOptions options;
    options.path = path = socket_path(name);
    options.mode = 0600;
    sidecar.told = std::move(interfaces);
    control = must(ControlServer::open(options, sidecar));
    sidecar.control = control.get();
    thread = std::thread{[this] {
      while (!stop.load())
        step(engines.empty() ? Duration{std::chrono::milliseconds{1}} : Duration{0});
    }};
  }
  ~EchoSidecar() { pause(); }

  /// From here on the test's thread calls step().
  void pause() {
    stop.store(true);
    if (thread.joinable()) thread.join();
  }
  void step(Duration at_most = {}) {
    control->serve(at_most);
    for (auto& [session, channel] : sidecar.channels)
      if (channel.server) engines.try_emplace(session, *channel.server).first->second.turn();
    std::erase_if(engines, [&](const auto& e) { return sidecar.channels.count(e.first) == 0; });
  }
  [[nodiscard]] std::string options() const { return "name=test timeout=60s socket=" + path; }

  std::string path;
  TestSidecar sidecar;
  std::unique_ptr<ControlServer> control;
  std::map<std::uint32_t, EchoEngine> engines;  // by session
  std::atomic<bool> stop{false};
  std::thread thread;
};

}  // namespace proa::test
