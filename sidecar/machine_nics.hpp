// sidecar: the machine's network devices as the system describes them, for `proad --probe-nic`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace proa::sidecar {

/// A network interface of the kernel, in this network namespace.
struct KernelInterface {
  std::string name;
  bool up = false;       // an operator's decision
  bool carrier = false;  // the cable's
  bool default_route = false;
  std::uint32_t mtu_bytes = 0;
  std::uint32_t rx_queues = 0, tx_queues = 0;
  std::int64_t link_mbit = -1;  // -1: it does not say
};

enum class DeviceBus : std::uint8_t {
  none,   // an interface without a device of its own: veth, bridge, tap
  pci,    //
  vmbus,  // Hyper-V and Azure
};

struct NetworkDevice {
  DeviceBus bus = DeviceBus::none;
  std::string address;                  // "0000:00:05.0", a VMBus UUID; none: the interface's name
  std::uint32_t vendor = 0, model = 0;  // PCI
  std::string kernel_driver;            // what it is bound to; empty: nothing
  std::uint32_t iommu_group = 0;        // 0: none known
  bool in_iommu_group = false;
  std::vector<KernelInterface> interfaces;
};

/// What this machine and this process may do.
struct MachineFacts {
  bool iommu = false;
  bool unsafe_noiommu = false;  // vfio was told to do without
  bool vfio = false;            // the module is there
  bool uverbs = false;          // RDMA devices of mlx5 are there
  std::uint64_t hugepages_free = 0;
  bool net_raw = false, net_admin = false, bpf = false, raw_io = false;  // capabilities in effect
};

/// The file system the facts are read from: "/" outside tests.
class MachineFiles {
 public:
  explicit MachineFiles(std::filesystem::path root) : root_(std::move(root)) {}

  /// PCI and VMBus network devices first, each with its interfaces, then interfaces without one.
  /// The loopback interface is left out.
  [[nodiscard]] std::vector<NetworkDevice> devices() const;
  [[nodiscard]] MachineFacts facts() const;
  /// Whether this process may open /dev/vfio's file for the device.
  [[nodiscard]] bool may_open_vfio(const NetworkDevice& device) const;

 private:
  using Path = std::filesystem::path;
  [[nodiscard]] Path at(std::string_view path) const { return root_ / path; }
  void add_pci(std::vector<NetworkDevice>& out) const;
  void add_vmbus(std::vector<NetworkDevice>& out) const;
  void add_other(std::vector<NetworkDevice>& out) const;
  [[nodiscard]] std::vector<KernelInterface> interfaces_below(const Path& device) const;
  [[nodiscard]] KernelInterface interface(const std::string& name) const;
  [[nodiscard]] bool carries_default_route(const std::string& name) const;
  [[nodiscard]] std::uint64_t capabilities() const;

  Path root_;
};

}  // namespace proa::sidecar
