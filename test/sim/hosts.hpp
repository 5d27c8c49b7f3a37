// Simulation, second level: whole engines on one network for tests that say themselves what
// happens: several applications a host, a look at every frame, frames from nowhere.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/engine/engine.hpp>
#include <proa/nic/sim.hpp>

#include "pattern_memory.hpp"
#include "seeds.hpp"

namespace proa::sim {

/// A SimNic behind which somebody looks at each frame before it leaves; true: it is lost there.
class WatchedNic : public SimNic {
 public:
  using Watch = std::function<bool(Instant now, std::span<const std::byte> frame)>;

  WatchedNic(SimPort& port, Watch& watch) noexcept : SimNic(port.nic()), watch_(&watch) {}

  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    for (std::size_t i = 0; i < packets.size(); ++i) {
      const std::span<Packet> one = packets.subspan(i, 1);
      if (*watch_ && (*watch_)(now, std::as_const(packets[i]).bytes()))
        release(one);
      else if (SimNic::tx_burst(now, one) == 0)
        return i;
    }
    return packets.size();
  }

 private:
  Watch* watch_;
};
static_assert(Nic<WatchedNic>);

/// What one application of a host does: reads or not, answers events, submits when it may.
struct HostApp {
  explicit HostApp(const HeapMemory::Options& options) : memory(options) {}

  PatternMemory memory;
  bool reads = true;
  std::function<void(FlowKey, const FlowEvent&)> on_event;  // a message's block is released after
  std::map<Endpoint, FlowKey> accepted;                     // by the client's end
  std::map<std::uint32_t, Reason> ended;                    // by flow key
  std::set<std::uint32_t> established;                      // by flow key
  std::set<std::uint32_t> connected;                        // those it opened itself
  std::set<std::uint32_t> writable;                         // flow keys told so since last asked
};

/// Models AppSideOf. Threading: none; it never calls back into the engine from deliver().
class HostSide {
 public:
  using Memory = PatternMemory;

  HostSide(std::uint32_t apps, const HeapMemory::Options& memory) {
    for (std::uint32_t i = 0; i < apps; ++i) apps_.push_back(std::make_unique<HostApp>(memory));
  }
  template <class EngineT>
  std::uint32_t pull(EngineT&, Instant) noexcept {
    return 0;
  }
  std::optional<AppCookie> accept(std::uint32_t app, FlowKey key, const Endpoint&,
                                  const Endpoint& peer) noexcept {
    apps_[app]->accepted[peer] = key;
    return AppCookie{app, key.value};
  }
  bool room(std::uint32_t app) noexcept { return apps_[app]->reads; }
  void deliver(AppCookie cookie, FlowKey key, const FlowEvent& event) noexcept {
    HostApp& app = *apps_[cookie.app];
    if (app.on_event) app.on_event(key, event);
    if (event.kind == FlowEventKind::message) app.memory.release(event.message);
    if (event.kind == FlowEventKind::closed) app.ended[key.value] = event.reason;
    if (event.kind == FlowEventKind::writable) app.writable.insert(key.value);
    if (event.kind == FlowEventKind::accepted || event.kind == FlowEventKind::connected)
      app.established.insert(key.value);
    if (event.kind == FlowEventKind::connected) app.connected.insert(key.value);
  }
  Memory& memory(std::uint32_t app) noexcept { return apps_[app]->memory; }
  void publish(Instant) noexcept {}
  [[nodiscard]] HostApp& app(std::uint32_t i) noexcept { return *apps_[i]; }
  [[nodiscard]] std::size_t apps() const noexcept { return apps_.size(); }

 private:
  std::vector<std::unique_ptr<HostApp>> apps_;
};

struct HostsOptions {
  std::uint32_t hosts = 2;
  std::uint32_t apps = 1;
  std::uint32_t mtu_bytes = 9000;
  bool ipv6 = false;  // else IPv4
  std::uint32_t flows_max = 1024;
  std::uint64_t receive_bytes = std::uint64_t{64} << 20U;
  std::uint32_t message_bytes_max = 8U << 20U;
  EngineOptions engine{};
};

inline constexpr std::uint16_t listen_port = 7000;  // of application 0; 7001 of application 1 ...

/// Base of TEST-MATRIX A: 40 us round trip, 25 Gbit/s.
template <class Policy = DefaultPolicy>
class Hosts {
 public:
  using EngineT = Engine<WatchedNic, HostSide, Policy>;

  struct Host {
    Host(Hosts& world, std::uint32_t index, std::uint32_t life)
        : address(world.address_of(index)),
          port(world.network_, world.port_options(index)),
          nic(port, watch),
          side(world.options_.apps, {std::uint64_t{1} << 16U, world.options_.receive_bytes,
                                     world.options_.message_bytes_max}),
          engine(nic, side, world.engine_options(index, life), world.now_) {
      for (std::uint32_t app = 0; app < world.options_.apps; ++app)
        REQUIRE(engine.listen(app, static_cast<std::uint16_t>(listen_port + app)));
    }
    IpAddress address;
    WatchedNic::Watch watch;
    SimPort port;
    WatchedNic nic;
    HostSide side;
    EngineT engine;
    Instant rest_until{};
    std::uint64_t most_scratch_bytes = 0;  // its flows' queues took at any time
  };

  explicit Hosts(const HostsOptions& options)
      : options_(options), network_(1, SimSwitching::learning, options.mtu_bytes + 14) {
    for (std::uint32_t i = 0; i < options.hosts; ++i)
      hosts_.push_back(std::make_unique<Host>(*this, i, 0));
  }
  [[nodiscard]] Host& operator[](std::uint32_t i) noexcept { return *hosts_[i]; }
  [[nodiscard]] HostApp& app(std::uint32_t host, std::uint32_t i = 0) noexcept {
    return hosts_[host]->side.app(i);
  }
  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] SimNetwork& network() noexcept { return network_; }
  /// Also of hosts that there are not.
  [[nodiscard]] IpAddress address_of(std::uint32_t index) const noexcept {
    IpAddress out{{0xfd}};
    out.octets[15] = static_cast<std::uint8_t>(index + 1);
    return options_.ipv6 ? out : IpAddress::v4(0x0a00'0001U + index);
  }

  /// Lets things happen until `done` or `limit`; true if done.
  template <class Done>
  bool run_until(Done done, Instant limit) {
    while (!done()) {
      const Instant at = next_time();
      if (at > limit) {
        now_ = std::max(now_, limit);
        network_.advance(now_);
        return done();
      }
      now_ = std::max(now_, at);
      network_.advance(now_);
      for (auto& host : hosts_)
        if (wake_at(*host) <= now_) take_turns(*host);
    }
    return true;
  }
  void run_for(Duration time) {
    (void)run_until([] { return false; }, now_ + time);
  }
  /// The application polls its stack: what it does not read stays there.
  void poll(std::uint32_t host) {
    (void)hosts_[host]->engine.turn([this] { return now_; });
  }

  /// An established flow from `from`'s application `app` to application `to_app` of `to`.
  FlowKey connect(std::uint32_t from, std::uint32_t to, std::uint32_t app = 0,
                  std::uint32_t to_app = 0) {
    const Endpoint peer{hosts_[to]->address, static_cast<std::uint16_t>(listen_port + to_app)};
    const auto key = hosts_[from]->engine.connect(now_, {app, 0}, peer, never);
    REQUIRE(key);
    auto& established = hosts_[from]->side.app(app).established;
    REQUIRE(run_until([&] { return established.count(key->value) != 0; }, now_ + 1s));
    return *key;
  }
  /// The other end of a flow.
  FlowKey accepted(std::uint32_t host, std::uint32_t app, const FlowInfo& client) {
    auto& all = hosts_[host]->side.app(app).accepted;
    (void)run_until([&] { return all.count(client.local) != 0; }, now_ + 1s);
    REQUIRE(all.count(client.local) != 0);
    return all[client.local];
  }
  /// Offers a message of `key`'s content; would_block and others come back.
  Reason offer(std::uint32_t host, std::uint32_t app, FlowKey flow, const ContentKey& key,
               std::uint32_t length, bool notify = false) {
    PatternMemory& memory = hosts_[host]->side.app(app).memory;
    const MessageBlock block = memory.offer(key, length);
    const auto done = hosts_[host]->engine.submit(now_, flow, block, notify);
    if (done) return Reason::none;
    memory.release(block);
    return done.error();
  }
  FlowInfo info(std::uint32_t host, FlowKey flow) {
    const auto info = hosts_[host]->engine.info(flow);
    REQUIRE(info);
    return *info;
  }
  /// The host forgets everything and starts again.
  void restart(std::uint32_t index) {
    hosts_[index].reset();
    hosts_[index] = std::make_unique<Host>(*this, index, ++lives_);
  }

  /// Nobody watches frames any more; who connected closes. Everything comes back, no timer is armed
  /// and every flow ends with its reason at both ends. `before`: why others ended earlier.
  void converge(const std::multiset<std::string_view>& before = {}) {
    const auto ended_before = ends();
    CHECK(reasons(ended_before) == before);
    for (auto& host : hosts_) {
      host->watch = nullptr;
      host->engine.for_each_flow([&](FlowKey key, AppCookie cookie, const auto&) {
        if (host->side.app(cookie.app).connected.contains(key.value))
          (void)host->engine.close(now_, key, now_ + 60s);
      });
    }
    const auto quiet = [&] {
      return std::all_of(hosts_.begin(), hosts_.end(),
                         [](const auto& host) { return host->engine.flow_count() == 0; });
    };
    CHECK(run_until(quiet, now_ + 120s));
    run_for(60s);  // neighbours are told and asked for the last time
    judge_ends(ended_before);
    for (auto& host : hosts_) {
      CHECK(host->nic.packets_held() <= 32);  // those it is going to fill next
      CHECK(host->engine.broken_invariant() == nullptr);
      CHECK(host->engine.scratch().used() == 0);
      CHECK(host->engine.next_timeout() == never);
      for (std::uint32_t i = 0; i < host->side.apps(); ++i) {
        HostApp& app = host->side.app(i);
        CHECK(app.ended.size() == app.established.size());
        CHECK(app.memory.offered_bytes() == 0);
        CHECK(app.memory.received().blocks_out() == 0);
        CHECK(app.memory.received().granted() == 0);
        CHECK(app.memory.received().complaint() == nullptr);
      }
    }
  }

 private:
  /// By host, application and flow key.
  using Ends = std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>, Reason>;

  [[nodiscard]] Ends ends() const {
    Ends out;
    for (std::uint32_t i = 0; i < hosts_.size(); ++i)
      for (std::uint32_t app = 0; app < hosts_[i]->side.apps(); ++app)
        for (const auto& [key, reason] : hosts_[i]->side.app(app).ended)
          out[{i, app, key}] = reason;
    return out;
  }
  static std::multiset<std::string_view> reasons(const Ends& ends) {
    std::multiset<std::string_view> out;
    for (const auto& [who, reason] : ends) out.insert(text(reason));
    return out;
  }
  void judge_ends(const Ends& before) {
    std::uint32_t wrong_reasons = 0;
    for (const auto& [who, reason] : ends()) {
      const auto& [host, app, key] = who;
      const bool by_us = hosts_[host]->side.app(app).connected.contains(key);
      const Reason expected = by_us ? Reason::closed_by_application : Reason::closed_by_peer;
      if (!before.contains(who) && reason != expected) ++wrong_reasons;
    }
    CHECK(wrong_reasons == 0);
  }
  [[nodiscard]] SimPortOptions port_options(std::uint32_t index) const {
    SimPortOptions out;
    out.mac = MacAddress{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(index + 1)}};
    out.frame_bytes_max = options_.mtu_bytes + 14;
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(std::uint32_t index, std::uint32_t life) const {
    InterfaceOptions at;
    at.mac = port_options(index).mac;
    at.addresses = {{address_of(index), static_cast<std::uint8_t>(options_.ipv6 ? 64 : 24)}};
    at.mtu_bytes = options_.mtu_bytes;
    EngineOptions out = options_.engine;
    out.interface = InterfacePlan::make(at).value();
    out.apps_max = options_.apps;
    out.flows_max = options_.flows_max;
    out.seed = 1000 * (index + 1) + life;
    out.flow.packet_bytes_max = options_.mtu_bytes;  // the engine takes the headers off
    out.flow.message_bytes_max = options_.message_bytes_max;
    out.flow.incarnation = 17 * (index + 1) + life;
    return out;
  }
  [[nodiscard]] Instant wake_at(const Host& host) const {
    const Instant at = std::min(host.engine.next_timeout(), host.nic.next_event());
    return at == never ? never : std::max(at, host.rest_until);
  }
  [[nodiscard]] Instant next_time() const {
    Instant at = network_.next_event();
    for (const auto& host : hosts_) at = std::min(at, wake_at(*host));
    return at;
  }
  void take_turns(Host& host) {
    const std::uint64_t full_before = host.engine.counters().tx_ring_full;
    for (int n = 0; wake_at(host) <= now_; ++n) {
      REQUIRE(n < 4096);
      // It polls all the time, also in the turns that are left out here, or rests that long.
      host.engine.note_ring_empty_until(now_ - rest);
      const TurnReport report = host.engine.turn([this] { return now_; });
      host.most_scratch_bytes = std::max(host.most_scratch_bytes, host.engine.scratch().used());
      // A full ring takes time, which turns take none of here: the timers of who cannot send go on.
      const bool full = n > 1000 && host.engine.counters().tx_ring_full != full_before;
      if (!report.idle() && !full) continue;
      host.rest_until = now_ + rest;  // it waits for something that takes time
      break;
    }
    if (++turns_ % (256 + 16 * host.engine.flow_count()) != 0) return;  // it looks at every flow
    if (const char* why = host.engine.broken_invariant()) FAIL(why);
  }

  static constexpr Duration rest = 1us;

  HostsOptions options_;
  SimNetwork network_;
  Instant now_{};
  std::vector<std::unique_ptr<Host>> hosts_;
  std::uint64_t turns_ = 0;
  std::uint32_t lives_ = 0;
};

/// Keeps a flow busy with equal messages, or sends a number of them; checks what arrives at the
/// other end, which calls arrived().
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint32_t pair, std::uint32_t length)
      : key_{seed, pair, 0, 0}, length_(length) {}

  /// Offers until would_block or `count_max` in all.
  template <class HostsT>
  void fill(HostsT& hosts, std::uint32_t host, std::uint32_t app, FlowKey flow,
            std::uint64_t count_max = UINT64_MAX) {
    while (offered_ < count_max) {
      ContentKey key = key_;
      key.index = offered_;
      const Reason why = hosts.offer(host, app, flow, key, length_);
      if (why != Reason::none) {
        REQUIRE(why == Reason::would_block);
        return;
      }
      ++offered_;
    }
  }
  void arrived(const FlowEvent& event) {
    ContentKey key = key_;
    key.index = arrived_++;
    right_ = right_ && event.message.length == length_ && PatternMemory::holds(key, event.message);
  }
  [[nodiscard]] std::uint64_t offered() const noexcept { return offered_; }
  [[nodiscard]] std::uint64_t arrived() const noexcept { return arrived_; }
  /// Every message came in order with its bytes.
  [[nodiscard]] bool right() const noexcept { return right_; }

 private:
  ContentKey key_;
  std::uint32_t length_;
  std::uint64_t offered_ = 0, arrived_ = 0;
  bool right_ = true;
};

}  // namespace proa::sim
