// Simulation: two hosts with several engines each on NICs with an opaque hash; flows between them
// that count and check what they carry. Virtual time, one thread.
#pragma once
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <proa/engine/engine.hpp>
#include <proa/mem/heap_memory.hpp>
#include <proa/nic/sim.hpp>

namespace proa::sim {

using namespace std::chrono_literals;

/// One flow's end as its application sees it. Messages carry their number, so that a lost, doubled
/// or overtaking one is noticed, and when they were sent.
struct PathEnd {
  FlowKey key;
  std::uint32_t engine = 0;
  Endpoint local, peer;
  bool open = false, closed = false, blocked = false;
  Reason reason = Reason::none;
  std::uint32_t sent = 0, received = 0;
  std::uint32_t to_send = 0;  // messages still to be submitted
  std::uint32_t bytes = 64;   // of each message
};

struct PathStamp {
  std::uint32_t number = 0;
  std::int64_t sent_ns = 0;
};

/// Models AppSideOf for one engine: accepts everything, echoes what servers receive if told to.
class PathSide {
 public:
  using Memory = HeapMemory;

  explicit PathSide(std::uint32_t engine)
      : engine_(engine),
        memory_({.send_bytes = 64U << 20U,
                 .receive_bytes = 64U << 20U,
                 .message_bytes_max = 1U << 20U}) {}

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant now) noexcept {
    std::uint32_t done = 0;
    for (const auto& end : ends_)
      if (wants(*end))
        while (end->to_send > 0 && submit(engine, *end, now)) ++done;
    return done;
  }
  std::optional<AppCookie> accept(std::uint32_t, FlowKey key, const Endpoint& local,
                                  const Endpoint& peer) noexcept {
    PathEnd& end = add();
    end.key = key;
    end.local = local;
    end.peer = peer;
    end.open = true;
    return AppCookie{0, static_cast<std::uint32_t>(ends_.size() - 1)};
  }
  bool room(std::uint32_t) noexcept { return true; }
  void deliver(AppCookie cookie, FlowKey, const FlowEvent& event) noexcept {
    PathEnd& end = *ends_[cookie.handle];
    if (event.kind == FlowEventKind::connected) end.open = true;
    if (event.kind == FlowEventKind::writable) end.blocked = false;
    if (event.kind == FlowEventKind::closed) {
      end.closed = true;
      end.reason = event.reason;
    }
    if (event.kind != FlowEventKind::message) return;
    PathStamp stamp;
    std::memcpy(&stamp, event.message.data, sizeof stamp);
    slowest = std::max(slowest, now_.time_since_epoch() - Duration{stamp.sent_ns});
    if (stamp.number != end.received) complaint = "a message is missing, doubled or out of order";
    ++end.received;
    if (echo) {
      ++end.to_send;
      end.bytes = event.message.length;
    }
    memory_.release(event.message);
  }
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}

  PathEnd& add() noexcept {
    ends_.push_back(std::make_unique<PathEnd>());
    ends_.back()->engine = engine_;
    return *ends_.back();
  }
  [[nodiscard]] const std::vector<std::unique_ptr<PathEnd>>& ends() const noexcept { return ends_; }

  /// Whether pull() would submit something.
  [[nodiscard]] bool wants() const noexcept {
    return std::any_of(ends_.begin(), ends_.end(), [](const auto& end) { return wants(*end); });
  }

  /// The world's clock; pull() is given that of the turn before.
  void set_now(Instant now) noexcept { now_ = now; }

  bool echo = false;
  const char* complaint = nullptr;
  Duration slowest{};  // the longest that a message took from its submission

 private:
  [[nodiscard]] static bool wants(const PathEnd& end) noexcept {
    return end.open && !end.closed && !end.blocked && end.to_send > 0;
  }
  template <class EngineT>
  bool submit(EngineT& engine, PathEnd& end, Instant now) noexcept {
    const auto block = memory_.allocate_send(end.bytes);
    if (!block) return false;
    std::memset(block->data, 0x5a, end.bytes);
    const PathStamp stamp{end.sent, now_.time_since_epoch().count()};
    std::memcpy(block->data, &stamp, sizeof stamp);
    if (!engine.submit(now, end.key, *block, false)) {
      memory_.release(*block);
      end.blocked = true;
      return false;
    }
    ++end.sent;
    --end.to_send;
    return true;
  }

  std::uint32_t engine_;
  Instant now_{};
  HeapMemory memory_;
  std::vector<std::unique_ptr<PathEnd>> ends_;
};

/// Loses what goes by certain pairs of ports, as one broken link of many does.
class PathNic : public SimNic {
 public:
  using Lost = std::function<bool(UdpPorts)>;  // empty: none

  PathNic(SimPort& port, std::uint32_t queue, const Lost& lost) noexcept
      : SimNic(port, queue), lost_(&lost) {}
  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    if (!*lost_) return SimNic::tx_burst(now, packets);
    for (std::size_t i = 0; i < packets.size(); ++i) {
      if ((*lost_)(ports_of(packets[i].bytes())))
        release(packets.subspan(i, 1));
      else if (SimNic::tx_burst(now, packets.subspan(i, 1)) == 0)
        return i;
    }
    return packets.size();
  }

 private:
  [[nodiscard]] static UdpPorts ports_of(ByteView frame) noexcept {
    const bool ipv6 = load_be<std::uint16_t>(frame.data() + 12) == 0x86dd;
    const std::byte* const udp = frame.data() + ethernet_header_bytes + (ipv6 ? 40 : 20);
    return {load_be<std::uint16_t>(udp), load_be<std::uint16_t>(udp + 2)};
  }

  const Lost* lost_;
};
static_assert(Nic<PathNic>);

inline constexpr SimRss every_hash[] = {SimRss::opaque, SimRss::symmetric, SimRss::ordered,
                                        SimRss::low_bits, SimRss::constant};
/// low_bits knows eight queues, constant one.
[[nodiscard]] constexpr bool hash_reaches(SimRss rss, std::uint32_t engines) noexcept {
  return engines == 1 || (rss != SimRss::constant && (rss != SimRss::low_bits || engines <= 8));
}

struct PathHostOptions {
  std::uint32_t engines = 4;
  SimRss rss = SimRss::opaque;
  std::uint32_t handover_slots = 256;
  std::uint32_t handover_bytes_max = 1500;
  Duration link_delay = 10us;
  bool ipv6 = false;
  bool announce = false;  // its addresses, at start and when the link was interrupted
};

class PathHost {
 public:
  using EngineT = Engine<PathNic, PathSide>;

  PathHost(SimNetwork& network, std::uint8_t number, const PathHostOptions& options,
           std::uint64_t seed, Instant now)
      : port(network, port_options(number, options)),
        address(options.ipv6 ? IpAddress{{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number}}
                             : IpAddress::v4(10, 0, 0, number)),
        options_(options),
        number_(number) {
    start(seed, now);
  }
  /// Whoever ran here is gone without a word, and what runs now has other incarnations behind a
  /// hash with another secret.
  void restart(std::uint64_t seed, Instant now) {
    engines.clear();
    sides.clear();
    nics_.clear();
    port.reset();
    port.set_rss(options_.rss);
    start(seed, now);
  }

  [[nodiscard]] EngineCounters counters() const {
    EngineCounters sum;
    for (const auto& engine : engines) {
      const EngineCounters c = engine->counters();
      sum.handed_over += c.handed_over;
      sum.handed_to_us += c.handed_to_us;
      sum.path_changes += c.path_changes;
      sum.path_returns += c.path_returns;
      sum.paths.probes_sent += c.paths.probes_sent;
      sum.paths.hits += c.paths.hits;
      sum.paths.misses += c.paths.misses;
      sum.paths.searches += c.paths.searches;
      sum.paths.searches_in_vain += c.paths.searches_in_vain;
      sum.rx_packets += c.rx_packets;
      sum.tx_packets += c.tx_packets;
      sum.flows_now += c.flows_now;
      sum.drops += c.drops;
    }
    return sum;
  }
  [[nodiscard]] bool due(std::uint32_t i, Instant now) const { return wake_at(i, now) <= now; }

  /// When the engine wants its next turn, as far as can be said.
  [[nodiscard]] Instant wake_at(std::uint32_t i, Instant now) const {
    const bool at_once = port.backlog(i) != 0 || sides[i]->wants();
    const Instant at = at_once ? now : engines[i]->next_timeout();
    return at == never ? never : std::max(at, stalled_until[i]);
  }

  std::array<Instant, 16> stalled_until{};  // its thread does not run
  PathNic::Lost lost;                       // what it sends and nobody receives

  SimPort port;
  IpAddress address;
  std::shared_ptr<EngineGroup> group;
  std::vector<std::unique_ptr<PathSide>> sides;
  std::vector<std::unique_ptr<EngineT>> engines;

 private:
  void start(std::uint64_t seed, Instant now) {
    group = std::make_shared<EngineGroup>(
        EngineGroupOptions{options_.engines, options_.handover_slots, options_.handover_bytes_max});
    for (std::uint32_t i = 0; i < options_.engines; ++i) {
      nics_.push_back(std::make_unique<PathNic>(port, i, lost));
      sides.push_back(std::make_unique<PathSide>(i));
      engines.push_back(
          std::make_unique<EngineT>(*nics_[i], *sides[i], engine_options(i, seed), now));
    }
  }
  static SimPortOptions port_options(std::uint8_t number, const PathHostOptions& options) {
    SimPortOptions out;
    out.mac = MacAddress{{2, 0, 0, 0, 0, number}};
    out.queues = options.engines;
    out.rss = options.rss;
    out.link.delay = options.link_delay;
    return out;
  }
  [[nodiscard]] EngineOptions engine_options(std::uint32_t i, std::uint64_t seed) const {
    InterfaceOptions at;
    at.mac = port.options().mac;
    at.addresses = {{address, static_cast<std::uint8_t>(address.is_v4() ? 24 : 64)}};
    at.announce = options_.announce;
    EngineOptions out;
    out.interface = InterfacePlan::make(at).value();
    out.index = i;
    out.group = group;
    out.seed = seed * 1000 + number_ * 100U + i;
    out.flows_max = 1024;
    out.scratch_bytes = std::uint64_t{64} << 20U;
    out.flow.incarnation = static_cast<std::uint32_t>(out.seed + 1);
    return out;
  }

  PathHostOptions options_;
  std::uint8_t number_;
  std::vector<std::unique_ptr<PathNic>> nics_;
};

class PathWorld {
 public:
  PathWorld(std::uint64_t seed, const PathHostOptions& of_a, const PathHostOptions& of_b)
      : network(seed), a(network, 1, of_a, seed, now), b(network, 2, of_b, seed, now) {}
  ~PathWorld() {
    for (auto* host : {&a, &b}) host->engines.clear();
  }

  /// A flow of engine `from` of host a to port `port` of host b.
  PathEnd& connect(std::uint32_t from, std::uint16_t port = 7000) {
    PathEnd& end = a.sides[from]->add();
    const auto handle = static_cast<std::uint32_t>(a.sides[from]->ends().size() - 1);
    const auto key = a.engines[from]->connect(now, {0, handle}, {b.address, port}, later(now, 5s));
    if (!key) throw std::runtime_error("connect was refused");
    end.key = *key;
    return end;
  }
  void listen(PathHost& host, std::uint32_t engine, std::uint16_t port = 7000,
              bool shared = false) {
    if (!host.engines[engine]->listen(0, port, {shared, 0}))
      throw std::runtime_error("listen was refused");
  }

  void run(Duration how_long) {
    run_until([] { return false; }, now + how_long);
  }
  /// True: `done` holds; false: `limit` came first.
  template <class Done>
  bool run_until(Done done, Instant limit) {
    while (!done()) {
      const Instant at = next_time();
      if (at > limit) {
        now = std::max(now, limit);
        network.advance(now);
        return false;
      }
      step(at);
    }
    return true;
  }

  /// Called before every step; may change the NICs.
  std::function<void()> each_step;

  Duration grain{};  // engines look this often: packets come in bursts

  Instant now{1s};
  SimNetwork network;
  PathHost a, b;
  std::uint64_t steps = 0;

 private:
  [[nodiscard]] Instant next_time() const {
    Instant at = network.next_event();
    for (const auto* host : {&a, &b})
      for (std::uint32_t i = 0; i < host->engines.size(); ++i)
        at = std::min(at, host->wake_at(i, now));
    return at;
  }
  void step(Instant at) {
    ++steps;
    now = std::max(at, now);
    if (grain > Duration::zero())
      now = Instant{(now.time_since_epoch() + grain - 1ns) / grain * grain};
    if (each_step) each_step();
    network.advance(now);
    for (auto* host : {&a, &b})
      for (std::uint32_t i = 0; i < host->engines.size(); ++i) take_turns(*host, i);
  }
  void take_turns(PathHost& host, std::uint32_t i) {
    for (std::uint32_t n = 0; host.due(i, now); ++n) {
      if (n == 1000) throw std::runtime_error("an engine does not come to rest");
      host.sides[i]->set_now(now);
      const TurnReport report = host.engines[i]->turn([this] { return now; });
      if (host.sides[i]->complaint != nullptr) throw std::runtime_error(host.sides[i]->complaint);
      if (steps % 512 == 0)
        if (const char* why = host.engines[i]->broken_invariant()) throw std::runtime_error(why);
      if (report.idle()) {
        now += 100ns;  // a ring is full: time has to pass
        network.advance(now);
      }
    }
  }
};

}  // namespace proa::sim
