// lib: what the DPDK files share among themselves. Never installed, never included by headers.
#pragma once
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <proa/nic/dpdk.hpp>
#include <string>
#include <utility>
#include <vector>

#include "poller_gate.hpp"

namespace proa::detail {

inline constexpr std::size_t burst_packets_max = 32;
using Failure = tl::unexpected<std::string>;

/// Starts DPDK once for the process. `bytes` is the buffer memory the first port needs.
[[nodiscard]] tl::expected<void, std::string> start_eal(const DpdkOptions& options,
                                                        std::size_t bytes);
/// The sentence with the last complaint DPDK logged since `forget_complaints`, and a full stop.
[[nodiscard]] std::string with_complaint(std::string sentence);
void forget_complaints();
/// A sentence if the shared library of this driver ("net_memif") is not loaded; else empty.
[[nodiscard]] std::string missing_driver(const std::string& driver);

/// What a driver needs that DPDK's own query does not say.
struct DriverQuirks {
  std::string_view name;              // prefix of DPDK's driver name
  std::uint32_t packets_extra = 0;    // buffers the driver keeps beyond the descriptors
  std::uint16_t descriptors_min = 0;  // 0: the driver's own limits are right
  bool mtu_unset = false;             // configuring an MTU is refused or breaks frames above it
  bool pads_runts = true;             // frames below 60 bytes need no padding by us
  bool rx_checksum = true;            // its receive checksum verdicts can be used
  bool tx_checksum = true;            // its transmit checksum offload is worth using
  std::string_view remark = {};
};
[[nodiscard]] const DriverQuirks& quirks_of(std::string_view driver_name) noexcept;

inline void signal(int eventfd) noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(eventfd, &one, sizeof one));
}
inline void drain(int eventfd) noexcept {
  std::uint64_t count = 0;
  static_cast<void>(!::read(eventfd, &count, sizeof count));
}

/// Descriptors on which a thread can sleep until its memif queue receives: one that stays the same
/// over all connections for each queue. Threading: connected() and disconnected() with the port's
/// gate closed, ask_to_be_woken() inside it.
class MemifWait {
 public:
  explicit MemifWait(std::size_t queues);
  MemifWait(const MemifWait&) = delete;
  MemifWait& operator=(const MemifWait&) = delete;
  ~MemifWait();

  /// `regions` and `events`: what the driver opened for this connection, in its order. If they are
  /// not as expected (two memif ports of one process that connect in the same moment), a tick per
  /// millisecond wakes. Returns how many of our queue pairs the peer has, all if that cannot be
  /// seen; with fewer nobody may use any of them.
  [[nodiscard]] std::size_t connected(const std::vector<int>& regions,
                                      const std::vector<int>& events, bool client);
  void disconnected();
  [[nodiscard]] int descriptor(std::size_t queue) const noexcept { return queues_[queue].epoll; }
  /// Whether the peer shall ring this queue's eventfd when it sends.
  void ask_to_be_woken(std::size_t queue, bool on) noexcept;
  /// The link came or went: that woke the sleeper, whose next turn looks at it (a link that is down
  /// is looked at every 100 ms). Outside of the gate as well, which stays closed as long as nobody
  /// is there to be served.
  void heed_link(std::size_t queue) noexcept;

 private:
  bool map(int region);
  void tell_link() const noexcept;
  struct Queue {
    int epoll = -1;
    int link = -1;                   // an eventfd: each sleeper hears of the link by its own
    int event = -1;                  // the driver's, duplicated, or a timer
    std::uint16_t* flags = nullptr;  // of the ring, in memory shared with the peer
  };
  std::vector<Queue> queues_;
  std::byte* region_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What happens to a port, and how often it did. Written by the thread that watches it.
struct PortEvents {
  std::atomic<std::uint64_t> link_downs{0}, resets{0}, removals{0}, reopened{0}, mismatches{0};
};

/// A started port and everything that belongs to it.
class DpdkPort {
 public:
  [[nodiscard]] static tl::expected<std::shared_ptr<DpdkPort>, std::string> open(
      const DpdkOptions& options);
  /// A view of a port that the program started itself; never stops or closes it.
  [[nodiscard]] static tl::expected<std::shared_ptr<DpdkPort>, std::string> adopt(
      std::uint16_t port_id, std::uint16_t queue);
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;
  ~DpdkPort();

  [[nodiscard]] DpdkDescription describe() const;
  [[nodiscard]] bool link_up() const noexcept { return has_link() && !unmatched; }
  [[nodiscard]] bool has_link() const noexcept;  // also with a peer that is not served

  DpdkOptions options;
  std::string device;  // DPDK's name of it
  std::uint16_t id = RTE_MAX_ETHPORTS;
  std::uint16_t queue_pairs = 0;
  enum class Pair : std::uint8_t { fresh, taken, given_back };
  std::vector<Pair> pairs;  // from the first one taken on
  std::mutex sharing;       // of `pairs` and `companion`
  std::shared_ptr<void> companion;
  std::uint16_t rx_descriptors = 0, tx_descriptors = 0;
  std::uint64_t rx_offloads = 0, tx_offloads = 0;
  bool pads_runts = true;
  bool rss_refused = false;  // though its driver offers it
  bool started = false;
  bool adopted = false;
  std::vector<rte_mempool*> pools;  // one per queue pair
  std::vector<int> wait_fds;        // the driver's, one per queue pair, or empty
  NicCapabilities capabilities;
  std::unique_ptr<PollerGate> gate;

  std::vector<int> descriptors_before;  // of the process, before the driver made its own

  // memif only; written by DPDK's interrupt thread with the gate closed, or before it knows us.
  std::unique_ptr<MemifWait> memif_wait;
  std::atomic<bool> offline{false};    // a client that looks for its server: the gate stays closed
  std::atomic<bool> unmatched{false};  // its client has fewer queue pairs: the gate stays closed
  bool link_was_up = false;
  bool guarded = false;
  bool reconnects = false;
  std::chrono::steady_clock::time_point retry_at{};
  std::vector<int> of_connection;  // the driver's region
  /// `of_others`: what other memif ports hold for their connections, sorted. `opened`: the eventfds
  /// of the connection that comes up, which takes them out.
  void follow_memif_link(const std::vector<int>& of_others, std::vector<int>& opened);

  // Link, reset, removal: dpdk_events.cpp.
  PortEvents events;
  std::atomic<bool> carrier{true};  // as the kernel says it, for drivers that do not know
  std::vector<int> wait_epolls;     // one per queue pair, the same when the port is opened again
  std::vector<rte_mempool*> retired_pools;  // some packets of theirs may still be out
  /// With the gate closed: away with the device.
  void close_device() noexcept;
  /// With the gate closed and the device away: everything anew, as before.
  [[nodiscard]] tl::expected<void, std::string> reopen();
  /// With the gate closed: what the driver wants after its reset event.
  [[nodiscard]] tl::expected<void, std::string> reset();
  void say(const std::string& what) const {
    if (options.log) options.log(device + ": " + what);
  }

  void heed_arrivals(bool heeded) noexcept;  // by whoever sleeps on wait_epolls

 private:
  DpdkPort() = default;
  void keep_mac() noexcept;
  void gather_wait_descriptors();
  [[nodiscard]] rte_mempool* pool_for(std::uint16_t queue, std::uint32_t packets);
  [[nodiscard]] tl::expected<void, std::string> bring_up();
  [[nodiscard]] tl::expected<void, std::string> probe();
  [[nodiscard]] tl::expected<void, std::string> configure();
  [[nodiscard]] tl::expected<void, std::string> make_queues(const rte_eth_dev_info& info);
  [[nodiscard]] tl::expected<void, std::string> start();
  [[nodiscard]] tl::expected<void, std::string> start_memif_client();
  void learn_capabilities();
  void find_wait_descriptors();
};

[[nodiscard]] std::unique_ptr<DpdkQueue> make_queue(const std::shared_ptr<DpdkPort>& port,
                                                    std::uint16_t queue, rte_mempool* pool);

/// One queue pair: what a burst touches, in one place.
struct DpdkQueue {
  DpdkQueue() = default;
  DpdkQueue(const DpdkQueue&) = delete;
  DpdkQueue& operator=(const DpdkQueue&) = delete;
  /// Gives its packets back, then itself to its port.
  ~DpdkQueue();
  /// Somebody had it before: frames for him are nobody's, nor is what he counted. As soon as the
  /// gate is open.
  void inherit() noexcept;
  PollerGate::Pass gate;
  /// Inside the gate: what the port is now that it was opened again.
  void follow_port() noexcept {
    port_id = port->id;
    // Packets of the old pool may be in the engine's hands: each goes where it came from.
    if (std::exchange(pool, port->pools[queue_id]) != pool) receives_own_pool = false;
  }
  [[nodiscard]] bool enter() noexcept {
    if (gate.enter()) [[likely]]
      return true;
    if (!gate.enter_renewed()) return false;
    follow_port();
    if (std::exchange(owes_disarm, false)) memif_wait->ask_to_be_woken(queue_id, false);
    if (std::exchange(inherited, false)) begin_anew();
    return true;
  }
  /// memif only: nobody sleeps here any more, the peer need not ring. As soon as the gate is open:
  /// whoever only polls from now on does not ask again.
  void disarm() noexcept;
  void begin_anew() noexcept;
  rte_mempool* pool = nullptr;
  std::uint16_t port_id = 0;
  std::uint16_t queue_id = 0;
  std::uint16_t runt_bytes = 0;   // shorter frames are padded to this
  bool checksum_flags = false;    // the port was configured with a transmit checksum offload
  bool receives_own_pool = true;  // not when adopted: then frames come from the program's pool
  bool registered = false;        // tried to register the thread
  bool inherited = false;         // what the former owner left is still here
  bool owes_disarm = false;       // memif only: the peer may still ring
  std::uint32_t stashed = 0;
  NicCounters counters;
  NicCounters driver, driver_before;  // as the driver counts, and before it began anew
  NicCounters former;                 // what former owners of the queue pair have counted
  std::uint64_t kernel_drops = 0;     // af_packet: frames the kernel had no room for
  std::array<rte_mbuf*, burst_packets_max> stash{};  // received while arming, not yet delivered
  MemifWait* memif_wait = nullptr;
  std::shared_ptr<DpdkPort> port;
};

// The process's descriptors, dpdk_descriptors.cpp; all sorted.
enum class DescriptorKind : std::uint8_t {
  packet_socket,
  xdp_socket,
  tun,
  memif_region,
  plain_eventfd,  // one without FD_CLOEXEC
};
[[nodiscard]] std::vector<int> own_descriptors();
/// `fds` less `others`; both sorted, as is what comes back.
[[nodiscard]] std::vector<int> without(const std::vector<int>& fds, const std::vector<int>& others);
[[nodiscard]] std::vector<int> added_since(const std::vector<int>& before);
[[nodiscard]] std::vector<int> of_kind(std::vector<int> fds, DescriptorKind kind);
/// Sockets bound to one of these paths or connected to one.
[[nodiscard]] std::vector<int> unix_sockets_of(const std::vector<std::string>& paths);

// memif's control channel, dpdk_memif.cpp.
[[nodiscard]] bool guard_memif(DpdkPort& port);
void unguard_memif(DpdkPort& port);
void without_memif_control(const std::function<void()>& work);

// Watching ports other than memif's, dpdk_events.cpp.
void watch_port(DpdkPort& port);
void unwatch_port(DpdkPort& port);
/// Held while ports are opened and closed, so that nobody does it at the same time.
[[nodiscard]] std::unique_lock<std::recursive_mutex> change_ports();
/// The most frames that can lie unread before a queue's reader: dpdk_backlog.cpp.
[[nodiscard]] std::uint32_t backlog_packets(const DpdkPort& port);
/// What the kernel had no room for on this queue's packet socket, ever: dpdk_wait.cpp.
[[nodiscard]] std::uint64_t kernel_drops(DpdkQueue& queue) noexcept;

// Options and environment, dpdk_options.cpp.
[[nodiscard]] std::string text_of(const MacAddress& mac);
[[nodiscard]] std::string device_arguments(const DpdkOptions& options);
[[nodiscard]] tl::expected<void, std::string> check_options(const DpdkOptions& options);
[[nodiscard]] tl::expected<void, std::string> check_environment(const DpdkOptions& options);
/// Receive queues of a kernel interface; at least 1.
[[nodiscard]] std::uint16_t xdp_queues(const std::string& interface);
[[nodiscard]] std::uint32_t memif_buffer_bytes(const DpdkOptions& options) noexcept;
[[nodiscard]] std::uint32_t buffer_bytes(const DpdkOptions& options) noexcept;
[[nodiscard]] std::uint32_t packets_per_queue(const DpdkOptions& options) noexcept;
/// What the packets of all its queues take.
[[nodiscard]] std::size_t packet_memory_bytes(const DpdkOptions& options) noexcept;

}  // namespace proa::detail
