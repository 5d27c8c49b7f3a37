// Fuzzing: two whole engines with the input between them: it sees, loses, repeats, alters and
// forges Ethernet frames, and makes the applications act (TEST-MATRIX B2).
#pragma once
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include <proa/engine/engine.hpp>
#include <proa/nic/sim.hpp>

#include "engine_side.hpp"
#include "frame_forge.hpp"
#include "tampered_wire.hpp"

namespace proa::fuzz {

using namespace std::chrono_literals;

class EngineScript {
 public:
  explicit EngineScript(Input in) : in_(in) {
    const std::uint8_t how = in_.byte();
    forging_ = (how & 1U) != 0;
    half_open_free_ = (how & 2U) != 0 ? 0 : 256;  // 0: every SYN must prove its address
    for (std::uint32_t i = 0; i < 2; ++i) {
      hosts_[i] = std::make_unique<Host>(*this, i);
      memory_[i] = &hosts_[i]->side.memory();
    }
  }

  /// Throws sim::Failure when an oracle speaks.
  void run() {
    open(0);
    settle();
    for (std::uint32_t steps = 0; steps < steps_max && !in_.empty(); ++steps) {
      step();
      settle();
    }
    heal_and_end();
  }

 private:
  using TestEngine = Engine<SimNic, FuzzSide>;
  static constexpr std::uint32_t steps_max = 400;
  static constexpr std::uint32_t turns_at_once = 64;
  static constexpr std::size_t connections_max = 8;
  static constexpr std::size_t messages_max = 100;
  static constexpr Duration healed_delay = 20us;
  static constexpr Duration patience = 2s;  // longer waits end flows, which is then allowed

  static MacAddress mac(std::uint32_t host) {
    return {{2, 0x50, 0x72, 0x6f, 0x61, static_cast<std::uint8_t>(host + 1)}};
  }
  static IpAddress address(std::uint32_t host) {
    return IpAddress::v4(10, 0, 0, static_cast<std::uint8_t>(host + 1));
  }

  /// A host and the attacker's own port on its cable.
  struct Host {
    Host(EngineScript& script, std::uint32_t index)
        : network(index + 1),
          port(network, {.mac = mac(index), .link = {.delay = 0ns, .bits_per_second = 0}}),
          tap(network, {.mac = MacAddress{{2, 0, 0, 0, 0, 9}},
                        .promiscuous = true,
                        .link = {.delay = 0ns, .bits_per_second = 0}}),
          nic(port.nic()),
          tap_nic(tap.nic()),
          side(script.book_, index),
          engine(nic, side, script.options(index), script.book_.now) {
      if (!engine.listen(0, 7000)) sim::fail("listen was refused");
    }
    SimNetwork network;
    SimPort port, tap;
    SimNic nic, tap_nic;
    FuzzSide side;
    TestEngine engine;
    bool stalled = false;
  };

  // ---- what the input decides

  void step() {
    const std::uint8_t choice = in_.byte();
    const std::uint32_t host = choice >> 7U;
    switch (choice & 15U) {
      case 0:
      case 1:
        return deliver(0);
      case 2:
        return deliver(wire_.pick(in_));
      case 3:
        return wire_.drop(wire_.pick(in_));
      case 4:
        return wire_.duplicate(wire_.pick(in_));
      case 5:
        return swap();
      case 6:
        return corrupt();
      case 7:
        return advance(Duration{1 + std::int64_t{in_.byte()} * 500});
      case 8:
        return advance(Duration{std::int64_t{in_.byte()} * 1'000'000});
      case 9:
        return advance_to_timeout();
      case 10:
      case 11:
        return send();
      case 12:
        return in_.byte() < 16 ? close(host) : deliver_all();
      case 13:
        return in_.byte() < 16 ? open(host) : deliver_all();
      case 14:
        return toggle_stall(host);
      default:
        return forging_ ? forge(host) : deliver_all();
    }
  }

  // ---- the network

  void deliver(std::size_t i) {
    if (i >= wire_.size()) return;
    const Datagram frame = wire_.take(i);
    put(frame.to, frame.bytes);
  }
  void deliver_all() {
    for (std::size_t left = wire_.size(); left > 0; --left) deliver(0);
  }
  void put(std::uint32_t to, ByteView frame) {
    Host& host = *hosts_[to];
    std::array<Packet, 1> packet;
    if (host.tap_nic.allocate(packet) == 0) return;
    const std::size_t size = std::min<std::size_t>(frame.size(), packet[0].capacity());
    std::copy_n(frame.begin(), size, packet[0].storage().begin());
    packet[0].set_length(static_cast<std::uint32_t>(size));
    if (host.tap_nic.tx_burst(book_.now, packet) == 0) host.tap_nic.release(packet);
  }
  /// What an engine sent is on its cable; the attacker takes it off.
  void collect(std::uint32_t from) {
    Host& host = *hosts_[from];
    std::array<Packet, 32> burst;
    while (const std::size_t n = host.tap_nic.rx_burst(book_.now, burst)) {
      for (const Packet& packet : std::span{burst}.first(n)) {
        const auto bytes = packet.bytes();
        wire_.send({1 - from, book_.now + healed_delay, false, {bytes.begin(), bytes.end()}});
      }
      host.tap_nic.release(std::span{burst}.first(n));
    }
  }
  void swap() {
    const std::size_t one = wire_.pick(in_);
    wire_.swap(one, wire_.pick(in_));
  }
  /// Behind the headers that nothing but Ethernet's own check sequence protects.
  void corrupt() {
    const std::size_t i = wire_.pick(in_);
    if (i >= wire_.size()) return;
    if (const std::size_t at = udp_payload_at(wire_[i].bytes)) wire_.corrupt(i, at, in_);
  }
  void forge(std::uint32_t host) {
    book_.forged = true;
    const std::size_t kind = in_.below(4);
    if (kind == 0 && !wire_.empty()) {
      const std::size_t i = wire_.pick(in_);
      wire_.overwrite(i, in_);
      return repair(wire_[i].bytes);
    }
    if (kind == 1 && !wire_.empty()) return forge_packet(wire_.pick(in_));
    FrameForge made({mac(host), mac(1 - host), address(host), address(1 - host)}, in_);
    put(host, made.make());
  }
  /// Flow ids as they are, fields behind them as the input likes.
  void forge_packet(std::size_t i) {
    auto& frame = wire_[i].bytes;
    const std::size_t at = udp_payload_at(frame);
    if (at == 0) return;
    for (auto n = 1 + in_.below(8); n > 0; --n) {
      const std::size_t where = at + PacketHeader::size / 2 + in_.below(64);
      const auto value = static_cast<std::byte>(in_.byte());
      if (where < frame.size()) frame[where] = value;
    }
    repair(frame);
  }

  // ---- time and applications

  void advance(Duration by) {
    waited_ += by;
    book_.now += by;
  }
  [[nodiscard]] Instant next_timeout() const {
    Instant at = never;
    for (const auto& host : hosts_)
      if (!host->stalled) at = std::min(at, host->engine.next_timeout());
    return at;
  }
  void advance_to_timeout() {
    const Instant at = next_timeout();
    if (at != never) advance(std::max(at - book_.now, Duration{}));
  }
  void toggle_stall(std::uint32_t host) { hosts_[host]->stalled = !hosts_[host]->stalled; }

  void open(std::uint32_t from) {
    if (book_.connections.size() == connections_max) return;
    const auto index = static_cast<std::uint32_t>(book_.connections.size());
    auto connection = std::make_unique<FuzzConnection>();
    connection->from = from;
    auto& engine = hosts_[from]->engine;
    const auto key =
        engine.connect(book_.now, {0, index * 2}, {address(1 - from), 7000}, book_.now + 10s);
    if (!key) sim::fail("connect was refused");
    connection->key[0] = *key;
    connection->has_flow[0] = true;
    book_.clients[engine.info(*key)->local] = index;
    for (std::uint32_t end = 0; end < 2; ++end)
      connection->app[end] = std::make_unique<sim::Application>(
          connection->script[end], memory_[connection->host_of(end)],
          sim::ContentKey{7, index, end, 0}, sim::ContentKey{7, index, 1 - end, 0}, index);
    book_.connections.push_back(std::move(connection));
  }
  void send() {
    const std::size_t which = in_.below(book_.connections.size() * 2);
    FuzzConnection& c = *book_.connections[which / 2];
    auto& messages = c.script[which % 2].messages;
    const std::uint8_t kind = in_.byte();
    std::uint32_t length = in_.byte();
    if (kind % 16 == 1) length *= 64;
    if (kind % 16 == 2) length *= 1000;
    if (messages.size() < messages_max && !c.closed_by_us[which % 2])
      messages.push_back({length, Duration{}, (kind & 128U) != 0});
  }
  void close(std::uint32_t end) {
    const std::size_t which = in_.below(book_.connections.size());
    close(*book_.connections[which], end);
  }
  void close(FuzzConnection& c, std::uint32_t end) {
    if (!c.has_flow[end] || c.closed_by_us[end] || !c.app[end]->established() ||
        c.app[end]->ended())
      return;
    c.closed_by_us[end] = true;
    c.app[end]->stop();
    auto& engine = hosts_[c.host_of(end)]->engine;
    (void)engine.close(book_.now, c.key[end], book_.now + 60s);
  }
  void act(std::uint32_t host) {
    struct Handle {
      TestEngine* engine;
      FlowKey key;
      Expected<MessageNumber> submit(Instant now, const MessageBlock& block, bool notify) noexcept {
        return engine->submit(now, key, block, notify);
      }
    };
    if (book_.forged) return;  // limits may be the attacker's: nothing can be demanded of submit
    for (auto& c : book_.connections)
      for (std::uint32_t end = 0; end < 2; ++end) {
        if (c->host_of(end) != host || !c->has_flow[end]) continue;
        Handle handle{&hosts_[host]->engine, c->key[end]};
        (void)c->app[end]->act(book_.now, &handle);
      }
  }
  /// Turns of both engines until they have nothing to do at this instant.
  void settle() {
    for (std::uint32_t i = 0; i < 2; ++i) {
      Host& host = *hosts_[i];
      if (host.stalled) continue;
      host.network.advance(book_.now);  // a turn's first look at the NIC has the last turn's time
      for (std::uint32_t n = 0; n < turns_at_once; ++n) {
        act(i);
        const TurnReport report = host.engine.turn([this] { return book_.now; });
        collect(i);
        if (report.idle()) break;
      }
      check(host);
    }
  }
  void check(Host& host) {
    if (!book_.complaint.empty()) sim::fail(book_.complaint);
    if (const char* why = host.side.memory().complaint()) sim::fail(why);
    if (const char* why = host.engine.broken_invariant())
      sim::fail(std::string("broken invariant: ") + why);
    sim::demand(host.side.memory().ledger_consistent(), "the memory ledger does not add up");
  }

  // ---- the end

  void heal_and_end() {
    for (auto& host : hosts_) host->stalled = false;
    wire_.heal(book_.now + healed_delay);
    bool must_arrive = !book_.forged && waited_ <= patience;
    for (const auto& c : book_.connections)
      must_arrive = must_arrive && !c->closed_by_us[0] && !c->closed_by_us[1];
    if (must_arrive) {
      run_until([&] { return everything_arrived(); }, 30s);
      if (!everything_arrived()) sim::fail("no convergence after healing");
    }
    run_until([&] { return all_answered(); }, 15s);
    for (auto& c : book_.connections)
      for (std::uint32_t end = 0; end < 2; ++end) close(*c, end);
    run_until([&] { return no_flow_left(); }, 100s);
    for (auto& host : hosts_) host->engine.abandon(book_.now, 0, Reason::application_gone);
    run_until([&] { return no_flow_left(); }, 10s);
    judge_end();
  }
  template <class Done>
  void run_until(Done done, Duration limit) {
    const Instant end = book_.now + limit;
    settle();
    for (std::uint32_t n = 0; n < 500'000 && !done(); ++n) {
      Instant at = std::min(wire_.next(), next_timeout());
      for (const auto& c : book_.connections)
        for (const auto& app : c->app)
          if (!book_.forged) at = std::min(at, app->next_action());
      if (at > end) return;
      // An engine that wants a turn at once but did nothing in the last one waits for time.
      book_.now = std::max(at, book_.now + 1us);
      while (wire_.next() <= book_.now) deliver(0);
      settle();
    }
    sim::demand(done(), "too many steps: something spins");
  }
  /// Its address could not be resolved under loss: an application would try again.
  [[nodiscard]] static bool never_met(const FuzzConnection& c) {
    return !c.app[0]->established() && c.app[0]->reason() == Reason::peer_unreachable;
  }
  [[nodiscard]] bool everything_arrived() const {
    for (const auto& c : book_.connections)
      for (std::uint32_t end = 0; end < 2; ++end) {
        if (never_met(*c)) break;
        const auto& app = *c->app[end];
        if (app.ended()) sim::fail("a flow ended by itself: " + std::string(text(app.reason())));
        if (!app.established() || !app.all_submitted() || !app.all_told() ||
            c->app[1 - end]->received() != app.submitted())
          return false;
      }
    return true;
  }
  [[nodiscard]] bool all_answered() const {
    for (const auto& c : book_.connections)
      if (!c->app[0]->established() && !c->app[0]->ended()) return false;
    return true;
  }
  [[nodiscard]] bool no_flow_left() const {
    return hosts_[0]->engine.flow_count() + hosts_[1]->engine.flow_count() == 0;
  }
  void judge_end() {
    sim::demand(no_flow_left(), "an engine keeps a flow after its end");
    for (auto& c : book_.connections)
      for (std::uint32_t end = 0; end < 2; ++end) {
        if (!book_.forged)
          sim::demand(!c->has_flow[end] || c->app[end]->ended(), "an end was not told");
        c->app[end]->finish();
      }
    for (auto& host : hosts_) {
      check(*host);
      sim::demand(host->side.memory().blocks_out() == 0, "message memory was not given back");
      sim::demand(host->side.memory().granted() == 0, "credit was not put back");
      sim::demand(host->nic.packets_held() <= packets_kept, "packets were not given back");
    }
  }
  EngineOptions options(std::uint32_t index) {
    InterfaceOptions at;
    at.mac = mac(index);
    at.addresses = {{address(index), 24}};
    EngineOptions out;
    out.interface = InterfacePlan::make(at).value();
    out.flows_max = 64;
    out.scratch_bytes = std::uint64_t{16} << 20U;
    out.seed = index + 1;
    out.half_open_free = half_open_free_;
    out.half_open_max = 32;
    out.flow.message_bytes_max = 256U << 10U;
    out.flow.incarnation = index + 1;
    return out;
  }

  static constexpr std::uint32_t packets_kept = 64;  // an engine's stock for the next burst

  Input in_;
  bool forging_ = false;
  std::uint32_t half_open_free_ = 0;
  Duration waited_{};
  FuzzBook book_;
  std::array<std::unique_ptr<Host>, 2> hosts_;
  std::array<sim::CheckedMemory*, 2> memory_{};
  TamperedWire wire_;
};

}  // namespace proa::fuzz
