// Test support: a small sidecar in one thread, an honest neighbour, and hostile applications as
// processes of their own.
#pragma once
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control_pair.hpp"

namespace proa::test {

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all{"/proc/self/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Serves channels with an echo engine each; whoever misbehaves is put ashore and counted.
struct Boat : TestSidecar {
  struct Served {
    std::unique_ptr<ChannelServer> server;
    std::unique_ptr<EchoEngine> engine;
  };

  explicit Boat(const char* name) {
    ControlServerOptions options;
    options.path = socket_path(name);
    options.mode = 0600;
    path = options.path;
    harbour = must(ControlServer::open(options, *this));
    control = harbour.get();
  }

  std::optional<ConfirmAnswer> confirm(std::uint32_t session) override {
    auto done = TestSidecar::confirm(session);
    if (!done || !*done) return done;
    Served& s = served[session];
    s.server = std::move(channels.at(session).server);
    s.engine = std::make_unique<EchoEngine>(*s.server);
    ++confirmed;
    return done;
  }
  void gone(std::uint32_t session) override {
    TestSidecar::gone(session);
    const auto it = served.find(session);
    if (it == served.end()) return;
    it->second.server->abandon();
    it->second.engine->drop_all();
    if (!it->second.server->idle()) ++not_idle;
    served.erase(it);
  }

  /// Control messages, then one turn for every channel, as the engine and control threads would.
  void step() {
    harbour->serve({});
    for (auto& [session, s] : served) {
      s.engine->turn();
      if (s.server->fault() == ChannelFault::none) continue;
      ++faults[static_cast<std::size_t>(s.server->fault())];
      harbour->end(session);
    }
    harbour->serve({});
  }
  [[nodiscard]] std::uint32_t fault_count() const {
    std::uint32_t sum = 0;
    for (const std::uint32_t n : faults) sum += n;
    return sum;
  }

  std::string path;
  std::unique_ptr<ControlServer> harbour;
  std::map<std::uint32_t, Served> served;
  std::array<std::uint32_t, static_cast<std::size_t>(ChannelFault::count)> faults{};
  std::uint32_t confirmed = 0;
  std::uint32_t not_idle = 0;
};

/// Somebody else on the same boat: sends messages of all sizes and checks every byte of the echo.
struct Neighbour {
  Neighbour() { flow = must_flow(); }
  ChannelHandle must_flow() {
    const auto f = pair.client->connect({IpAddress::v4(1), 7}, never);
    if (!f) throw std::runtime_error{"the neighbour cannot connect"};
    return *f;
  }
  void step() {
    const auto bytes = pattern(sent, sizes[sent % sizes.size()]);
    if (sent - received < 8 && pair.client->send(flow, bytes, false)) ++sent;
    pair.client->flush();
    pair.engine.turn();
    ChannelEvent event;
    while (pair.client->poll(event)) {
      if (event.kind != ChannelEventKind::message) continue;
      const auto want = pattern(received, sizes[received % sizes.size()]);
      if (event.message.length != want.size() ||
          std::memcmp(event.message.data, want.data(), want.size()) != 0)
        ++wrong;
      ++received;
      pair.memory.release(event.message);
    }
  }
  [[nodiscard]] bool unharmed() const {
    return wrong == 0 && received > 0 && pair.server.fault() == ChannelFault::none &&
           !pair.client->lost();
  }

  static constexpr std::array<std::size_t, 5> sizes{1, 40, 100, 3'000, 70'000};
  ChannelPair pair;
  ChannelHandle flow;
  std::uint64_t sent = 0, received = 0, wrong = 0;
};

/// A process of its own; killed when this goes.
struct Process {
  explicit Process(const std::function<void()>& what) : pid(::fork()) {
    if (pid != 0) return;
    for (const int signal : {SIGTERM, SIGSEGV, SIGABRT, SIGINT}) ::signal(signal, SIG_DFL);
    what();
    ::_exit(0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { kill(); }
  void kill() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = -1;
  }
  /// Its exit is collected; the signal that ended it, 0 for none, -1 if it runs.
  int ended() {
    int status = 0;
    if (pid <= 0 || ::waitpid(pid, &status, WNOHANG) != pid) return pid <= 0 ? 0 : -1;
    pid = -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  pid_t pid = -1;
};

/// What a hostile application holds after a correct attach.
struct Pirate {
  explicit Pirate(const std::string& path) : attached(attach(path)) {
    AttachedChannel& c = attached.channel;
    memory = std::make_unique<ClientMemory>(c.geometry, std::move(c.send), std::move(c.receive));
    client = std::make_unique<ChannelClient>(*memory, std::move(c.bell));
    const ChannelGeometry& g = memory->geometry();
    region = {memory->send_region(), send_layout(g).bytes()};
  }
  static ControlClient::Attached attach(const std::string& path) {
    AttachOptions options;
    options.path = path;
    options.name = "pirate";
    options.timeout = std::chrono::seconds{60};
    return must(ControlClient::attach(options));
  }
  [[nodiscard]] RingSlot* requests() const {
    return reinterpret_cast<RingSlot*>(region.data() + RegionLayout::ring_offset);
  }
  [[nodiscard]] RingSlot* returns() const {
    return reinterpret_cast<RingSlot*>(region.data() +
                                       send_layout(memory->geometry()).second_offset());
  }
  [[nodiscard]] ChannelHead* head() const { return reinterpret_cast<ChannelHead*>(region.data()); }

  ControlClient::Attached attached;
  std::unique_ptr<ClientMemory> memory;
  std::unique_ptr<ChannelClient> client;
  std::span<std::byte> region;
};

}  // namespace proa::test
