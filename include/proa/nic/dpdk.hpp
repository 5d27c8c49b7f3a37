// L2: the NIC behind every DPDK driver. Declarations only: DPDK's own headers stay inside lib/.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <proa/base/time.hpp>
#include <proa/nic/nic.hpp>
#include <proa/nic/port.hpp>

#include <tl/expected.hpp>

namespace proa {

namespace detail {
class DpdkPort;
struct DpdkQueue;
}  // namespace detail

enum class DpdkDriver : std::uint8_t {
  memif,      // shared memory between two processes of this machine, no privileges
  af_packet,  // any Linux interface, needs CAP_NET_RAW
  af_xdp,     // any Linux interface, faster on real NICs, needs CAP_NET_ADMIN, CAP_BPF, CAP_NET_RAW
  tap,        // makes a new Linux interface, needs CAP_NET_ADMIN
  pci,        // a NIC given to DPDK (vfio; mlx5 shares it with the kernel; netvsc by its UUID)
  vdev,       // any other virtual device, by DPDK's own text
};

enum class MemifRole : std::uint8_t { client, server };

struct MemifOptions {
  MemifRole role = MemifRole::client;
  // Both ends name the same file; the server makes it.
  std::string socket = "/tmp/proa-memif.sock";
  // Several pairs may share one socket.
  std::uint32_t id = 0;
  // Client only, by the first port of its process, once; it does not look for a lost server again.
  bool zero_copy = false;
  // How long a client looks for its server.
  Duration connect_for = std::chrono::seconds(2);
};

/// What a port shall be. Every field has a sensible default except the name of what to open.
struct DpdkOptions {
  DpdkDriver driver = DpdkDriver::memif;
  MemifOptions memif{};
  std::string interface {};  // af_packet, af_xdp: an existing interface; tap: the name to create
  std::string pci{};         // pci: "0000:00:05.0", optionally ",key=value" driver arguments
  std::string vdev{};        // vdev: "net_ring0,key=value" as DPDK spells it

  std::uint16_t queue_pairs = 1;
  std::uint16_t descriptors = 256;  // wanted per ring, a power of two; a driver may insist on more
  std::uint32_t mtu = 1500;         // bytes above Ethernet; frames are mtu + 14
  std::uint32_t packets = 0;  // buffers per queue pair; 0: derived from descriptors and driver
  bool offloads = true;       // use the checksum offloads the driver has
  std::optional<MacAddress> mac{};  // memif and tap only; without it the driver draws one

  // For the whole process, fixed by its first port:
  std::uint32_t memory_mib = 0;  // memory of DPDK; 0: what this port needs, twice, plus 48 MiB
  bool hugepages = false;        // 2 MiB pages set aside by the operator; not needed for speed here
  std::vector<std::string> eal_arguments{};  // passed on to DPDK unchanged
  std::string log_file{};  // DPDK's own messages are appended here; empty: nowhere
  std::function<void(std::string_view)> log{};  // or given to this, a line each, from any thread

  /// From text: the driver, then key=value pairs, comma separated:
  /// "memif,role=server,socket=/tmp/x", "af_packet,interface=eth1,mtu=9000",
  /// "pci,address=0000:00:05.0", "vdev,device=net_null0". An error is a sentence that names the key
  /// and what was expected.
  [[nodiscard]] static tl::expected<DpdkOptions, std::string> parse(std::string_view text);
};

/// What is really there, for people: never assumed, always asked for.
struct DpdkDescription {
  std::string driver;  // DPDK's name: "net_memif"
  std::string device;  // "net_memif0", "0000:00:05.0"
  std::string mode;    // "client of /tmp/x, one copy per direction", ...
  std::uint16_t queue_pairs = 0;
  std::uint16_t rx_descriptors = 0;
  std::uint16_t tx_descriptors = 0;
  std::uint32_t mtu = 0;
  MacAddress mac;
  bool link_up = false;
  std::uint32_t link_mbit = 0;        // as the driver states it; a guess for virtual devices
  std::vector<std::string> offloads;  // those in use
  std::vector<std::string> remarks;   // what to know about this driver, one sentence each

  [[nodiscard]] std::string text() const;  // one line
};

/// One queue pair of a DPDK port; models `Nic`. It keeps its port alive.
/// Threading: one thread at a time; the first burst registers that thread with DPDK.
/// A burst holds at most 32 packets. tx_burst() takes none while the link is down.
class DpdkNic {
 public:
  DpdkNic(DpdkNic&&) noexcept;
  DpdkNic& operator=(DpdkNic&&) noexcept;
  ~DpdkNic();

  /// A queue pair of a port that the program itself configured and started with DPDK's own calls.
  /// The program stops and closes it, after this object is gone. memif's peer exit is not guarded.
  [[nodiscard]] static tl::expected<DpdkNic, std::string> adopt(std::uint16_t port_id,
                                                                std::uint16_t queue);

  [[nodiscard]] NicCapabilities capabilities() const noexcept;
  [[nodiscard]] NicCounters counters() const noexcept;
  [[nodiscard]] bool link_up() const noexcept;
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept;
  [[nodiscard]] std::size_t allocate(std::span<Packet> packets) noexcept;
  void release(std::span<Packet> packets) noexcept;
  [[nodiscard]] std::size_t rx_burst(Instant now, std::span<Packet> packets) noexcept;
  [[nodiscard]] std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept;
  [[nodiscard]] std::size_t wait_descriptors(std::span<int> out) noexcept;
  [[nodiscard]] bool arm_wait() noexcept;
  void disarm_wait() noexcept;

  /// Buffers of this queue pair's pool that nobody holds (drivers hold some while started).
  [[nodiscard]] std::size_t pool_available() const noexcept;
  [[nodiscard]] std::size_t pool_size() const noexcept;
  [[nodiscard]] DpdkDescription describe() const;

 private:
  friend class Port<DpdkNic>;
  explicit DpdkNic(std::unique_ptr<detail::DpdkQueue>) noexcept;
  std::unique_ptr<detail::DpdkQueue> queue_;
};

/// A DPDK port, opened: DPDK itself is started by the first one in the process.
/// Opening and closing ports is for one thread at a time and never for the data path.
template <>
class Port<DpdkNic> {
 public:
  using Options = DpdkOptions;

  [[nodiscard]] static tl::expected<Port, std::string> open(const DpdkOptions& options);
  /// The same; throws std::runtime_error with open()'s sentence.
  explicit Port(const DpdkOptions& options);
  Port(Port&&) noexcept;
  Port& operator=(Port&&) noexcept;
  ~Port();

  /// The first queue pair that nobody has, for one thread. One whose DpdkNic is gone is free again:
  /// what came for that one is dropped, and it counts from zero. Any thread may call this.
  [[nodiscard]] tl::expected<DpdkNic, std::string> take_queue();
  /// Those it really has: a NIC with fewer than were asked for gives what it has.
  [[nodiscard]] std::uint16_t queue_pairs() const noexcept;
  [[nodiscard]] bool link_up() const noexcept;
  [[nodiscard]] DpdkDescription describe() const;
  /// What those who use the queue pairs share, made for the first of them. Any thread.
  [[nodiscard]] std::shared_ptr<void> companion(const std::function<std::shared_ptr<void>()>& make);

 private:
  explicit Port(std::shared_ptr<detail::DpdkPort>) noexcept;
  std::shared_ptr<detail::DpdkPort> port_;
};

}  // namespace proa
