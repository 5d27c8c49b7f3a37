// sidecar: what each way of using a NIC needs, and the remedy for what is missing.
#include "nic_ways.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "config.hpp"

namespace proa::sidecar {
namespace {

/// How a DPDK driver gets at its device.
enum class Access : std::uint8_t {
  taken,   // from the kernel, through vfio-pci
  shared,  // beside the kernel's driver (mlx5)
};

struct KnownNic {
  std::uint32_t vendor;
  std::uint32_t model;  // 0: all of this vendor
  std::string_view name, dpdk_driver;
  std::string_view kernel_driver = {};  // shared: the kernel's driver that must stay
  std::string_view remark = {};
  [[nodiscard]] Access access() const noexcept {
    return kernel_driver.empty() ? Access::taken : Access::shared;
  }
};

// The NICs of the clouds' machines; others work too if DPDK has a driver, and are not guessed at.
constexpr std::array known_nics{
    KnownNic{0x1d0f,
             0xec20,
             "Amazon ENA",
             "net_ena",
             {},
             "its transmit memory must be mapped write-combining (share/proa/clouds/aws.md), "
             "else every packet costs microseconds"},
    KnownNic{0x1d0f,
             0xec21,
             "Amazon ENA with LLQ",
             "net_ena",
             {},
             "its transmit memory must be mapped write-combining (share/proa/clouds/aws.md), "
             "else every packet costs microseconds"},
    KnownNic{0x1ae0, 0x0042, "Google gVNIC", "net_gve"},
    KnownNic{0x1af4, 0x1000, "virtio", "net_virtio"},
    KnownNic{0x1af4, 0x1041, "virtio", "net_virtio"},
    KnownNic{0x15b3, 0x1004, "Mellanox ConnectX-3 VF", "net_mlx4", "mlx4_core"},
    KnownNic{0x15b3, 0, "Mellanox ConnectX", "net_mlx5", "mlx5_core"},
    KnownNic{0x1414, 0x00ba, "Microsoft Azure MANA", "net_mana", "mana"},
    KnownNic{0x8086, 0x10ed, "Intel 82599 VF", "net_ixgbe"},
    KnownNic{0x8086, 0x1515, "Intel X540 VF", "net_ixgbe"},
    KnownNic{0x8086, 0x154c, "Intel 700 VF", "net_iavf"},
    KnownNic{0x8086, 0x1889, "Intel Ethernet Adaptive VF", "net_iavf"},
};

const KnownNic* known(const NetworkDevice& device) noexcept {
  for (const KnownNic& nic : known_nics)
    if (nic.vendor == device.vendor && (nic.model == 0 || nic.model == device.model)) return &nic;
  return nullptr;
}

bool is_userspace_driver(std::string_view driver) noexcept {
  return driver == "vfio-pci" || driver == "igb_uio" || driver == "uio_pci_generic";
}

bool carries_default_route(const NetworkDevice& device) {
  return std::any_of(device.interfaces.begin(), device.interfaces.end(),
                     [](const KernelInterface& one) { return one.default_route; });
}

std::string interface_names(const NetworkDevice& device) {
  std::string out;
  for (const KernelInterface& one : device.interfaces) out += " " + one.name;
  return out;
}

/// Bound to the kernel, or to nothing: what to do, and when better not to.
Shortfall not_given(const NetworkDevice& device) {
  Shortfall out;
  out.what = device.kernel_driver.empty()
                 ? "bound to no driver"
                 : fmt::format("bound to the kernel's driver {}", device.kernel_driver);
  if (!device.interfaces.empty())
    out.what += fmt::format(" (interface{})", interface_names(device));
  out.remedy = fmt::format("modprobe vfio-pci && dpdk-devbind.py -b vfio-pci {}", device.address);
  if (carries_default_route(device))
    out.remedy =
        "it carries this machine's default route, so do not take it away: attach a second NIC and "
        "give Proa that one";
  return out;
}

void add_driver(NicWay& way, const std::string& driver, const NicSurroundings& around) {
  if (const std::string sentence = around.missing_driver(driver); !sentence.empty())
    way.missing.push_back({fmt::format("DPDK's driver {} is not installed", driver), sentence});
}

void add_vfio(NicWay& way, const NetworkDevice& device, const NicSurroundings& around) {
  const MachineFacts& facts = around.facts;
  if (!facts.vfio && device.kernel_driver != "igb_uio")
    way.missing.push_back({"the module vfio-pci is not loaded", "modprobe vfio-pci"});
  if (!facts.iommu && !facts.unsafe_noiommu)
    way.missing.push_back(
        {"no IOMMU, as in most cloud machines",
         "echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode (Proa and the NIC can "
         "then reach all memory: run nothing untrusted as the user of proad)"});
  if (!facts.iommu && facts.hugepages_free == 0)
    way.missing.push_back({"no free hugepages, which a NIC without IOMMU needs",
                           "sysctl vm.nr_hugepages=256, and add hugepages=yes before address="});
  if (!facts.iommu && !facts.raw_io)
    way.missing.push_back({"no CAP_SYS_RAWIO, which a NIC without IOMMU needs",
                           "start proad as root: it becomes an ordinary user by itself"});
  if (device.kernel_driver == "vfio-pci" && device.in_iommu_group && !around.may_open_vfio(device))
    way.missing.push_back({fmt::format("this user may not open /dev/vfio/{}", device.iommu_group),
                           "start proad as root, or chown that file to its user"});
}

std::string pci_text(const NetworkDevice& device, const MachineFacts& facts) {
  return fmt::format("pci,{}address={}", facts.iommu ? "" : "hugepages=yes,", device.address);
}

NicWay taken_way(const NetworkDevice& device, const KnownNic& nic, const NicSurroundings& around) {
  NicWay way;
  way.nic = pci_text(device, around.facts);
  if (!is_userspace_driver(device.kernel_driver)) way.missing.push_back(not_given(device));
  add_vfio(way, device, around);
  add_driver(way, std::string{nic.dpdk_driver}, around);
  if (!nic.remark.empty()) way.remarks.emplace_back(nic.remark);
  return way;
}

NicWay shared_way(const NetworkDevice& device, const KnownNic& nic, const NicSurroundings& around) {
  NicWay way;
  way.nic = fmt::format("pci,address={}", device.address);
  if (device.kernel_driver != nic.kernel_driver)
    way.missing.push_back(
        {fmt::format("not bound to the kernel's driver {}, which DPDK's needs", nic.kernel_driver),
         fmt::format("dpdk-devbind.py -b {} {}", nic.kernel_driver, device.address)});
  if (!around.facts.uverbs)
    way.missing.push_back({"no RDMA devices in /dev/infiniband",
                           "apt install rdma-core ibverbs-providers && modprobe ib_uverbs"});
  if (!around.facts.net_raw)
    way.missing.push_back(
        {"no CAP_NET_RAW", "start proad as root: it becomes an ordinary user by itself"});
  add_driver(way, std::string{nic.dpdk_driver}, around);
  way.remarks.emplace_back("the kernel keeps the interface, too");
  return way;
}

/// Azure: the synthetic device; DPDK's driver takes the VF below it by itself.
NicWay vmbus_way(const NetworkDevice& device, const NicSurroundings& around) {
  NicWay way;
  way.nic = fmt::format("pci,address={}", device.address);
  if (device.kernel_driver != "uio_hv_generic") {
    Shortfall bound = not_given(device);
    if (!carries_default_route(device))
      bound.remedy = fmt::format(
          "driverctl -b vmbus set-override {} uio_hv_generic (share/proa/clouds/azure.md)",
          device.address);
    way.missing.push_back(std::move(bound));
  }
  if (around.facts.hugepages_free == 0)
    way.missing.push_back({"no free hugepages", "sysctl vm.nr_hugepages=256"});
  add_driver(way, "net_netvsc", around);
  way.remarks.emplace_back("a VF that comes and goes is its driver's business");
  return way;
}

void add_common(NicWay& way, const KernelInterface& interface, const NicSurroundings& around) {
  if (!interface.up)
    way.missing.push_back({fmt::format("the interface {} is down", interface.name),
                           fmt::format("ip link set {} up", interface.name)});
  if (!around.facts.net_raw)
    way.missing.push_back({"no CAP_NET_RAW",
                           "start proad as root: it becomes an ordinary user by itself; or grant "
                           "it (setcap, the container's capabilities)"});
  way.remarks.emplace_back(fmt::format(
      "give it addresses of its own, which the kernel does not have on {}", interface.name));
}

/// proad asks for 1500 unless told otherwise.
std::string mtu_text(const KernelInterface& interface, std::uint32_t most) {
  const std::uint32_t mtu = std::min(interface.mtu_bytes, most);
  return mtu == 1500 || mtu == 0 ? "" : fmt::format(",mtu={}", mtu);
}

NicWay xdp_way(const KernelInterface& interface, const NicSurroundings& around) {
  constexpr std::uint32_t one_page = 3000;
  NicWay way;
  way.nic = fmt::format("af_xdp,interface={}{}", interface.name, mtu_text(interface, one_page));
  if (interface.mtu_bytes > one_page)
    way.remarks.emplace_back("carries packets up to 3000 bytes only; af_packet carries larger");
  way.engines_max = std::min(around.xdp_queue_pairs(interface.name), engines_most);
  add_common(way, interface, around);
  if (!around.facts.net_admin || !around.facts.bpf)
    way.missing.push_back({"no CAP_NET_ADMIN or no CAP_BPF, which XDP needs",
                           "start proad as root: it becomes an ordinary user by itself"});
  add_driver(way, "net_af_xdp", around);
  way.remarks.emplace_back(
      "takes every frame of the queues it uses: not for an interface the "
      "kernel needs on them");
  if (interface.default_route)
    way.missing.push_back({"this machine's default route goes over it, and XDP takes every frame",
                           "use af_packet on it, or attach a second NIC"});
  return way;
}

NicWay packet_way(const KernelInterface& interface, const NicSurroundings& around) {
  constexpr std::uint32_t mtu_max = 9000;
  NicWay way;
  way.nic = fmt::format("af_packet,interface={}{}", interface.name, mtu_text(interface, mtu_max));
  way.engines_max = engines_most;  // the kernel spreads over as many sockets as there are
  add_common(way, interface, around);
  add_driver(way, "net_af_packet", around);
  return way;
}

void describe(NicChoice& choice, const NicSurroundings& around) {
  const NetworkDevice& device = choice.device;
  if (device.bus == DeviceBus::vmbus) {
    choice.name = "Hyper-V network device";
    choice.dpdk_driver = "net_netvsc";
    choice.ways.push_back(vmbus_way(device, around));
  }
  if (device.bus != DeviceBus::pci) return;
  const KnownNic* nic = known(device);
  if (nic == nullptr) {
    choice.name = fmt::format("PCI {:04x}:{:04x}", device.vendor, device.model);
    return;
  }
  choice.name = nic->name;
  choice.dpdk_driver = nic->dpdk_driver;
  choice.ways.push_back(nic->access() == Access::taken ? taken_way(device, *nic, around)
                                                       : shared_way(device, *nic, around));
}

}  // namespace

std::vector<NicChoice> nic_choices(const std::vector<NetworkDevice>& devices,
                                   const NicSurroundings& around) {
  std::vector<NicChoice> out;
  for (const NetworkDevice& device : devices) {
    NicChoice& choice = out.emplace_back();
    choice.device = device;
    choice.name = "kernel interface";
    describe(choice, around);
    for (const KernelInterface& interface : device.interfaces) {
      choice.ways.push_back(xdp_way(interface, around));
      choice.ways.push_back(packet_way(interface, around));
    }
  }
  return out;
}

bool given_to_dpdk(const NetworkDevice& device) noexcept {
  if (device.bus == DeviceBus::vmbus) return device.kernel_driver == "uio_hv_generic";
  if (device.bus != DeviceBus::pci) return false;
  if (is_userspace_driver(device.kernel_driver)) return true;
  const KnownNic* nic = known(device);
  return nic != nullptr && nic->access() == Access::shared &&
         device.kernel_driver == nic->kernel_driver;
}

}  // namespace proa::sidecar
