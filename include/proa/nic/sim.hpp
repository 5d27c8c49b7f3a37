// L2: the simulator's NIC: heap buffers, virtual time, a switch between hosts, an opaque hash.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <proa/base/bytes.hpp>
#include <proa/base/check.hpp>
#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>
#include <proa/base/units.hpp>
#include <proa/mem/packet.hpp>
#include <proa/nic/nic.hpp>
#include <proa/nic/sim_link.hpp>
#include <proa/nic/sim_port_options.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// Ports with fixed MAC addresses (a cloud's fabric) or a switch that learns and floods.
enum class SimSwitching : std::uint8_t { learning, fixed };

/// What the network itself lost, by cause.
struct SimNetworkCounters {
  std::uint64_t forwarded = 0, flooded = 0;
  std::uint64_t queue_drops = 0;  // the queue of a port's link was full
  std::uint64_t unknown_mac = 0;  // fixed switching: nobody has that address
  std::uint64_t port_gone = 0;    // link down, or the port was destroyed
  std::uint64_t cut = 0;          // by a partition
  std::uint64_t link_losses = 0;  // SimLoss
  std::uint64_t marked = 0;       // CE; these were not lost
};

class SimPort;

namespace detail {

inline constexpr std::uint16_t sim_headroom_bytes = 128;

struct SimBuffer {
  std::byte* data = nullptr;  // start of the frame within bytes
  std::uint32_t length = 0;
  std::unique_ptr<std::byte[]> bytes;
};

struct SimEvent {
  static constexpr std::uint32_t no_port = ~0U;
  Instant at;
  std::uint64_t id;
  SimBuffer* buffer;
  std::uint32_t port;  // at the switch: where it came from; else where it goes
  bool at_switch;
  std::uint32_t clogged_to = no_port;  // at the switch: it has waited for this port's path
  [[nodiscard]] bool after(const SimEvent& other) const noexcept {
    return at != other.at ? at > other.at : id > other.id;
  }
};

struct SimQueue {
  std::deque<SimBuffer*> rx;
  std::deque<Instant> tx;  // when each frame in the transmit ring has left
  std::uint32_t held = 0;  // buffers in the stack's hands
  bool armed = false;      // its user has asked to be woken
  NicCounters counters;
};

}  // namespace detail

/// The cables and the switch. One thread, deterministic: everything happens in (time, id) order.
/// Outlives its ports. Memory grows with the frames under way (bounded by rings and link queues).
class SimNetwork {
 public:
  explicit SimNetwork(std::uint64_t seed, SimSwitching switching = SimSwitching::learning,
                      std::uint32_t frame_bytes_max = 1514)
      : prng_(seed), switching_(switching), frame_bytes_max_(frame_bytes_max) {}
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// When the next frame reaches the switch or a port; `never` with nothing under way.
  [[nodiscard]] Instant next_event() const noexcept {
    return events_.empty() ? never : events_.front().at;
  }
  /// Lets everything up to and including `now` happen.
  void advance(Instant now) noexcept {
    while (!events_.empty() && events_.front().at <= now) (void)step();
    now_ = std::max(now_, now);
  }
  /// Lets time pass until frames reach some port, at most to `limit`; returns where it stopped.
  Instant advance_to_arrival(Instant limit) noexcept {
    while (!events_.empty() && events_.front().at <= limit) {
      const Instant at = events_.front().at;
      bool arrived = false;
      while (!events_.empty() && events_.front().at == at) arrived = step() || arrived;
      now_ = std::max(now_, at);
      if (arrived) return at;
    }
    return limit;
  }

  /// Partitions and clogged paths; replaces what there was. Each entry is one direction of one
  /// pair.
  void set_path_faults(std::vector<SimPathFault> faults) { path_faults_ = std::move(faults); }

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] std::size_t frames_under_way() const noexcept { return events_.size(); }
  [[nodiscard]] const SimNetworkCounters& counters() const noexcept { return counters_; }
  /// Depends on every arrival: two runs with equal traces did the same.
  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  /// Buffers that exist and those not in anybody's hands: equal when all came back.
  [[nodiscard]] std::size_t buffers_made() const noexcept { return buffers_.size(); }
  [[nodiscard]] std::size_t buffers_free() const noexcept { return free_.size(); }

 private:
  friend class SimPort;
  friend class SimNic;

  std::uint32_t attach(SimPort& port) {
    ports_.push_back(&port);
    return static_cast<std::uint32_t>(ports_.size() - 1);
  }
  void detach(std::uint32_t index) noexcept { ports_[index] = nullptr; }

  detail::SimBuffer* take_buffer() noexcept {
    if (free_.empty()) make_buffer();
    detail::SimBuffer* buffer = free_.back();
    free_.pop_back();
    buffer->data = buffer->bytes.get() + detail::sim_headroom_bytes;
    return buffer;
  }
  void give_back(detail::SimBuffer* buffer) noexcept { free_.push_back(buffer); }
  void make_buffer() {
    auto made = std::make_unique<detail::SimBuffer>();
    made->bytes = std::make_unique<std::byte[]>(detail::sim_headroom_bytes + frame_bytes_max_);
    free_.push_back(made.get());
    buffers_.push_back(std::move(made));
  }

  void schedule(Instant at, detail::SimBuffer* buffer, std::uint32_t port, bool at_switch,
                std::uint32_t clogged_to = detail::SimEvent::no_port) {
    events_.push_back({at, next_id_++, buffer, port, at_switch, clogged_to});
    std::push_heap(events_.begin(), events_.end(),
                   [](const auto& a, const auto& b) { return a.after(b); });
  }
  /// One event; true if a frame reached a port.
  bool step() noexcept;
  void forward(Instant at, detail::SimBuffer* buffer, std::uint32_t from) noexcept;
  void pass(Instant at, detail::SimBuffer* buffer, std::uint32_t from, std::uint32_t to) noexcept;
  void queue_for(Instant at, detail::SimBuffer* buffer, std::uint32_t to) noexcept;
  void flood(Instant at, detail::SimBuffer* buffer, std::uint32_t from) noexcept;
  void learn(MacAddress mac, std::uint32_t port);
  [[nodiscard]] std::optional<std::uint32_t> port_of(MacAddress mac) const noexcept;
  void mix(std::uint64_t v) noexcept { trace_ = (trace_ ^ v) * 0x100'0000'01b3U; }

  static constexpr std::size_t learned_max = 1024;  // corrupt source addresses must not fill memory

  Prng prng_;
  SimSwitching switching_;
  std::uint32_t frame_bytes_max_;
  Instant now_{};
  std::uint64_t next_id_ = 0;
  std::uint64_t trace_ = 0xcbf2'9ce4'8422'2325U;
  std::vector<detail::SimEvent> events_;
  std::vector<SimPort*> ports_;
  std::vector<std::pair<MacAddress, std::uint32_t>> learned_;
  std::vector<SimPathFault> path_faults_;
  std::vector<std::unique_ptr<detail::SimBuffer>> buffers_;
  std::vector<detail::SimBuffer*> free_;
  SimNetworkCounters counters_;
};

class SimNic;

/// One NIC with its queue pairs, plugged into a network. Outlives its SimNics.
class SimPort {
 public:
  SimPort(SimNetwork& network, const SimPortOptions& options)
      : network_(&network),
        options_(options),
        secret_(network.prng_.next()),
        queues_(std::max(1U, options.queues)),
        index_(network.attach(*this)) {
    options_.frame_bytes_max = std::min(options.frame_bytes_max, network.frame_bytes_max_);
  }
  SimPort(const SimPort&) = delete;
  SimPort& operator=(const SimPort&) = delete;
  ~SimPort() {
    reset();
    network_->detach(index_);
  }

  [[nodiscard]] std::uint32_t queue_count() const noexcept {
    return static_cast<std::uint32_t>(queues_.size());
  }
  [[nodiscard]] SimNic nic(std::uint32_t queue = 0) noexcept;
  [[nodiscard]] const SimPortOptions& options() const noexcept { return options_; }
  [[nodiscard]] SimNetwork& network() noexcept { return *network_; }
  /// What SimPathFault calls this port.
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }

  /// The least that a cloud's NIC gives: one queue pair per engine, 256 descriptors, no offload, a
  /// secret hash. SimNic has no call for an RSS key, a RETA or steering that could be refused; a
  /// frame that asks for a checksum is refused by transmit().
  [[nodiscard]] static SimPortOptions least(MacAddress mac, std::uint32_t queues) {
    SimPortOptions out;
    out.mac = mac;
    out.queues = queues;
    return out;
  }

  // What happens to NICs in the middle of a run.
  void set_link_up(bool up) noexcept {
    if (link_up_ && !up)
      for (auto& queue : queues_) ++queue.counters.link_downs;
    link_up_ = up;
  }
  void set_link(const SimLinkOptions& link) noexcept { options_.link = link; }
  /// Who has more of them out gives them back first.
  void set_pool(std::uint32_t packets) noexcept { options_.pool_packets = packets; }
  /// A new hash and a new secret: flows change queues.
  void set_rss(SimRss rss) noexcept {
    options_.rss = rss;
    secret_ = network_->prng_.next();
  }
  /// Empties all rings, as a driver's reset does.
  void reset() noexcept {
    for (auto& queue : queues_) {
      ++queue.counters.resets;
      ++queue.counters.reopened;
      queue.counters.rx_missed += queue.rx.size();
      for (auto* buffer : queue.rx) network_->give_back(buffer);
      queue.rx.clear();
      queue.tx.clear();
    }
  }
  /// The queue this frame would be received on (for tests; a real NIC does not tell).
  [[nodiscard]] std::uint32_t queue_of(std::span<const std::byte> frame) const noexcept;
  /// Frames waiting to be received.
  [[nodiscard]] std::size_t backlog(std::uint32_t queue) const noexcept {
    return queues_[queue].rx.size();
  }

 private:
  friend class SimNetwork;
  friend class SimNic;

  [[nodiscard]] Duration wire_time(std::uint32_t bytes) const noexcept {
    const std::uint64_t rate = options_.link.bits_per_second;
    constexpr std::uint32_t overhead = 24;  // preamble 8, FCS 4, gap 12 (IEEE 802.3)
    if (rate == 0) return Duration::zero();
    return Duration{static_cast<std::int64_t>((bytes + overhead) * 8ULL * 1'000'000'000ULL / rate)};
  }
  /// Bytes waiting for a link that is busy until `busy`.
  [[nodiscard]] std::uint64_t queued_bytes(Instant at, Instant busy) const noexcept {
    if (busy <= at || options_.link.bits_per_second == 0) return 0;
    const auto wait = static_cast<double>((busy - at).count());
    return static_cast<std::uint64_t>(wait * static_cast<double>(options_.link.bits_per_second) /
                                      8e9);
  }
  [[nodiscard]] bool wants(MacAddress to) const noexcept {
    return options_.promiscuous || to.is_multicast() || to == options_.mac;
  }
  void receive(detail::SimBuffer* buffer) noexcept;
  bool transmit(Instant now, detail::SimQueue& queue, Packet& packet) noexcept;

  SimNetwork* network_;
  SimPortOptions options_;
  std::uint64_t secret_;
  std::vector<detail::SimQueue> queues_;
  std::uint32_t index_;
  Instant up_busy_{};    // port to switch: sending until
  Instant down_busy_{};  // switch to port: sending until
  detail::SimLossState up_loss_, down_loss_;
  bool link_up_ = true;
};

/// One queue pair. A small copyable handle; the port owns everything. Models Nic.
class SimNic {
 public:
  using Port = SimPort;

  SimNic(SimPort& port, std::uint32_t queue) noexcept : port_(&port), queue_(queue) {
    PROA_CHECK(queue < port.queue_count());
  }

  [[nodiscard]] NicCapabilities capabilities() const noexcept {
    NicCapabilities out;
    out.mac = port_->options_.mac;
    out.queue = queue_;
    out.frame_bytes_max = port_->options_.frame_bytes_max;
    out.queue_descriptors = port_->options_.descriptors;
    out.rx_backlog_packets = port_->options_.descriptors;
    return out;
  }
  [[nodiscard]] NicCounters counters() const noexcept { return queue().counters; }
  [[nodiscard]] bool link_up() const noexcept { return port_->link_up_; }
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept {
    return queue().counters.link_downs + queue().counters.reopened;
  }

  std::size_t allocate(std::span<Packet> out) noexcept {
    auto& q = queue();
    std::size_t n = 0;
    for (; n < out.size() && q.held + q.tx.size() < port_->options_.pool_packets; ++n, ++q.held)
      out[n] = packet_of(*port_->network_->take_buffer(), 0);
    return n;
  }
  void release(std::span<Packet> packets) noexcept {
    for (auto& packet : packets) {
      if (!packet) continue;
      port_->network_->give_back(static_cast<detail::SimBuffer*>(packet.release_handle()));
      PROA_CHECK(queue().held > 0);
      --queue().held;
    }
  }

  std::size_t rx_burst(Instant now, std::span<Packet> out) noexcept {
    port_->network_->advance(now);
    auto& q = queue();
    reclaim(q, port_->network_->now());
    std::size_t n = 0;
    for (; n < out.size() && !q.rx.empty(); ++n) {
      if (q.held + q.tx.size() >= port_->options_.pool_packets) {
        ++q.counters.rx_no_buffer;  // the frames stay in the ring, as with a real pool
        break;
      }
      detail::SimBuffer* buffer = q.rx.front();
      q.rx.pop_front();
      ++q.held;
      out[n] = packet_of(*buffer, buffer->length);
      ++q.counters.rx_packets;
      q.counters.rx_bytes += buffer->length;
    }
    return n;
  }
  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    auto& q = queue();
    const Instant at = std::max(now, port_->network_->now());
    reclaim(q, at);
    std::size_t n = 0;
    while (n < packets.size() && port_->transmit(at, q, packets[n])) ++n;
    return n;
  }

  std::size_t wait_descriptors(std::span<int>) noexcept { return 0; }
  bool arm_wait() noexcept { return queue().armed = queue().rx.empty(); }
  void disarm_wait() noexcept { queue().armed = false; }
  /// For tests: on memif it costs the peer a system call per burst.
  [[nodiscard]] bool armed() const noexcept { return queue().armed; }

  /// Buffers this queue pair's user has not given back yet.
  [[nodiscard]] std::uint32_t packets_held() const noexcept { return queue().held; }
  /// Frames that wait here need a turn at once; otherwise nothing is known.
  [[nodiscard]] Instant next_event() const noexcept {
    return queue().rx.empty() ? never : port_->network_->now();
  }

 private:
  [[nodiscard]] Packet packet_of(detail::SimBuffer& buffer, std::uint32_t length) const noexcept {
    const auto headroom = static_cast<std::uint16_t>(buffer.data - buffer.bytes.get());
    const auto room = port_->network_->frame_bytes_max_ + detail::sim_headroom_bytes - headroom;
    return {buffer.data, length, headroom, static_cast<std::uint16_t>(room), &buffer};
  }
  /// Buffers of frames that have left are free again, as a driver finds out during its bursts.
  static void reclaim(detail::SimQueue& q, Instant now) noexcept {
    while (!q.tx.empty() && q.tx.front() <= now) q.tx.pop_front();
  }
  [[nodiscard]] detail::SimQueue& queue() const noexcept { return port_->queues_[queue_]; }

  SimPort* port_;
  std::uint32_t queue_;
};
static_assert(Nic<SimNic>);

inline SimNic SimPort::nic(std::uint32_t queue) noexcept { return {*this, queue}; }

}  // namespace proa

#include <proa/nic/sim_inline.hpp>
