// lib: what the DPDK files share among themselves. Never installed, never included by headers.
#pragma once
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <memory>
#include <proa/nic/dpdk.hpp>
#include <string>
#include <vector>

namespace proa::detail {

inline constexpr std::size_t burst_packets_max = 32;
using Failure = tl::unexpected<std::string>;

/// Starts DPDK once for the process. `bytes` is the buffer memory the first port needs.
[[nodiscard]] tl::expected<void, std::string> start_eal(const DpdkOptions& options,
                                                        std::size_t bytes);
/// The last complaint DPDK logged since `forget_complaints`, to end an error sentence with.
[[nodiscard]] std::string last_complaint();
void forget_complaints();

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

/// Keeps drivers that reconfigure from their own thread away from bursts that are under way.
/// Poller: enter(), burst, leave(). The other side: close(), change, open().
class PollerGate {
 public:
  explicit PollerGate(std::size_t pollers) : lines_(pollers) {}

  [[nodiscard]] bool enter(std::size_t poller) noexcept {
    lines_[poller].busy.store(1, std::memory_order_relaxed);
    // Pairs with membarrier() in close(): either we see `closed_` or it sees `busy`.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (closed_.load(std::memory_order_relaxed) == 0) [[likely]]
      return true;
    leave(poller);
    return false;
  }
  void leave(std::size_t poller) noexcept {
    // Release: pairs with the acquire load in close(), which waits for the burst to be over.
    lines_[poller].busy.store(0, std::memory_order_release);
  }
  void close() noexcept;
  void open() noexcept;

 private:
  struct alignas(64) Line {
    std::atomic<std::uint32_t> busy{0};
  };
  std::vector<Line> lines_;
  alignas(64) std::atomic<std::uint32_t> closed_{0};
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
  [[nodiscard]] bool link_up() const noexcept;

  DpdkOptions options;
  std::string device;  // DPDK's name of it
  std::uint16_t id = RTE_MAX_ETHPORTS;
  std::uint16_t queue_pairs = 0;
  std::uint16_t taken = 0;
  std::uint16_t rx_descriptors = 0, tx_descriptors = 0;
  std::uint64_t rx_offloads = 0, tx_offloads = 0;
  bool pads_runts = true;
  bool started = false;
  bool adopted = false;
  std::vector<rte_mempool*> pools;  // one per queue pair
  std::vector<int> wait_fds;        // one per queue pair, or empty
  NicCapabilities capabilities;
  std::unique_ptr<PollerGate> gate;

 private:
  DpdkPort() = default;
  [[nodiscard]] tl::expected<void, std::string> probe();
  [[nodiscard]] tl::expected<void, std::string> configure();
  [[nodiscard]] tl::expected<void, std::string> make_queues(const rte_eth_dev_info& info);
  [[nodiscard]] tl::expected<void, std::string> start();
  [[nodiscard]] tl::expected<void, std::string> start_memif_client();
  void learn_capabilities();
};

[[nodiscard]] std::unique_ptr<DpdkQueue> make_queue(const std::shared_ptr<DpdkPort>& port,
                                                    std::uint16_t queue, rte_mempool* pool);

/// One queue pair: what a burst touches, in one place.
struct DpdkQueue {
  std::shared_ptr<DpdkPort> port;
  PollerGate* gate = nullptr;
  rte_mempool* pool = nullptr;
  std::uint16_t port_id = 0;
  std::uint16_t queue_id = 0;
  std::uint16_t runt_bytes = 0;  // shorter frames are padded to this
  bool checksum_flags = false;   // the port was configured with a transmit checksum offload
  bool registered = false;       // tried to register the thread
  NicCounters counters;
  std::array<rte_mbuf*, burst_packets_max> stash{};  // received while arming, not yet delivered
  std::size_t stashed = 0;
};

// Options and environment, dpdk_options.cpp.
[[nodiscard]] std::string text_of(const MacAddress& mac);
[[nodiscard]] std::string device_arguments(const DpdkOptions& options);
[[nodiscard]] tl::expected<void, std::string> check_options(const DpdkOptions& options);
[[nodiscard]] tl::expected<void, std::string> check_environment(const DpdkOptions& options);
[[nodiscard]] std::uint32_t memif_buffer_bytes(const DpdkOptions& options) noexcept;
[[nodiscard]] std::uint32_t buffer_bytes(const DpdkOptions& options) noexcept;
[[nodiscard]] std::uint32_t packets_per_queue(const DpdkOptions& options) noexcept;

}  // namespace proa::detail
