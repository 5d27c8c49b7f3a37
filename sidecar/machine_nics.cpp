// sidecar: /sys, /proc and /dev as plain values. Whatever cannot be read is simply not known.
#include "machine_nics.hpp"

#include <linux/capability.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace proa::sidecar {
namespace {

namespace fs = std::filesystem;

std::string line_of(const fs::path& file) {
  std::ifstream in{file};
  std::string line;
  std::getline(in, line);
  return line;
}

template <class Number>
Number number_of(std::string_view text, Number otherwise, int base = 10) {
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end != text.data() ? number : otherwise;
}

/// Sorted, and empty where the directory is missing.
std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator it{directory, error}, end; !error && it != end; it.increment(error))
    out.push_back(it->path());
  std::sort(out.begin(), out.end());
  return out;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The last name of the symbolic link's target; empty without a link.
std::string link_name(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

std::uint32_t count_queues(const fs::path& interface, std::string_view kind) {
  const auto queues = entries_of(interface / "queues");
  return static_cast<std::uint32_t>(std::count_if(queues.begin(), queues.end(), [&](const auto& q) {
    return q.filename().string().starts_with(kind);
  }));
}

bool has(std::uint64_t capabilities, unsigned one) { return ((capabilities >> one) & 1U) != 0; }

}  // namespace

std::vector<NetworkDevice> MachineFiles::devices() const {
  std::vector<NetworkDevice> out;
  add_pci(out);
  add_vmbus(out);
  add_other(out);
  return out;
}

void MachineFiles::add_pci(std::vector<NetworkDevice>& out) const {
  constexpr std::uint32_t network_class = 0x02;
  for (const fs::path& entry : entries_of(at("sys/bus/pci/devices"))) {
    const auto device_class = number_of<std::uint32_t>(line_of(entry / "class"), 0, 16);
    if (device_class >> 16U != network_class) continue;
    NetworkDevice device;
    device.bus = DeviceBus::pci;
    device.address = entry.filename().string();
    device.vendor = number_of<std::uint32_t>(line_of(entry / "vendor"), 0, 16);
    device.model = number_of<std::uint32_t>(line_of(entry / "device"), 0, 16);
    device.kernel_driver = link_name(entry / "driver");
    const std::string group = link_name(entry / "iommu_group");
    device.in_iommu_group = !group.empty();
    device.iommu_group = number_of<std::uint32_t>(group, 0);
    device.interfaces = interfaces_below(entry);
    out.push_back(std::move(device));
  }
}

void MachineFiles::add_vmbus(std::vector<NetworkDevice>& out) const {
  constexpr std::string_view network_class = "{f8615163-df3e-46c5-913f-f2d2f965ed0e}";
  for (const fs::path& entry : entries_of(at("sys/bus/vmbus/devices"))) {
    if (line_of(entry / "class_id") != network_class) continue;
    NetworkDevice device;
    device.bus = DeviceBus::vmbus;
    device.address = entry.filename().string();
    device.kernel_driver = link_name(entry / "driver");
    device.interfaces = interfaces_below(entry);
    out.push_back(std::move(device));
  }
}

void MachineFiles::add_other(std::vector<NetworkDevice>& out) const {
  constexpr std::string_view ethernet = "1";  // ARPHRD_ETHER
  for (const fs::path& entry : entries_of(at("sys/class/net"))) {
    const std::string name = entry.filename().string();
    const auto has_it = [&](const NetworkDevice& device) {
      return std::any_of(device.interfaces.begin(), device.interfaces.end(),
                         [&](const KernelInterface& one) { return one.name == name; });
    };
    if (line_of(entry / "type") != ethernet || std::any_of(out.begin(), out.end(), has_it))
      continue;
    NetworkDevice device;
    device.address = name;
    device.interfaces.push_back(interface(name));
    out.push_back(std::move(device));
  }
}

/// Also those of a child: virtio's interface belongs to the virtio device below the PCI device.
std::vector<KernelInterface> MachineFiles::interfaces_below(const Path& device) const {
  std::vector<KernelInterface> out;
  const auto add = [&](const Path& directory) {
    for (const Path& entry : entries_of(directory / "net"))
      // A device may be seen from a namespace that its interface is not in.
      if (is_there(at("sys/class/net") / entry.filename()))
        out.push_back(interface(entry.filename().string()));
  };
  add(device);
  for (const Path& child : entries_of(device))
    if (child.filename().string().starts_with("virtio")) add(child);
  return out;
}

KernelInterface MachineFiles::interface(const std::string& name) const {
  const Path entry = at("sys/class/net") / name;
  constexpr std::uint32_t iff_up = 1;
  KernelInterface out;
  out.name = name;
  out.up = (number_of<std::uint32_t>(line_of(entry / "flags"), 0, 16) & iff_up) != 0;
  out.carrier = line_of(entry / "carrier") == "1";
  out.mtu_bytes = number_of<std::uint32_t>(line_of(entry / "mtu"), 0);
  out.link_mbit = number_of<std::int64_t>(line_of(entry / "speed"), -1);
  out.rx_queues = count_queues(entry, "rx-");
  out.tx_queues = count_queues(entry, "tx-");
  out.default_route = carries_default_route(name);
  return out;
}

bool MachineFiles::carries_default_route(const std::string& name) const {
  std::ifstream routes{at("proc/net/route")};
  std::string line, device, destination;
  std::getline(routes, line);
  while (std::getline(routes, line)) {
    std::istringstream words{line};
    if (words >> device >> destination && device == name && destination == "00000000") return true;
  }
  return false;
}

std::uint64_t MachineFiles::capabilities() const {
  std::ifstream status{at("proc/self/status")};
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:"))
      return number_of<std::uint64_t>(
          std::string_view{line}.substr(line.find_first_not_of("\t ", 7)), 0, 16);
  return 0;
}

MachineFacts MachineFiles::facts() const {
  MachineFacts out;
  out.iommu = !entries_of(at("sys/class/iommu")).empty();
  out.vfio = is_there(at("sys/module/vfio_pci"));
  out.unsafe_noiommu =
      line_of(at("sys/module/vfio/parameters/enable_unsafe_noiommu_mode")).starts_with('Y');
  out.uverbs = !entries_of(at("dev/infiniband")).empty();
  std::ifstream memory{at("proc/meminfo")};
  for (std::string line; std::getline(memory, line);)
    if (line.starts_with("HugePages_Free:"))
      out.hugepages_free = number_of<std::uint64_t>(
          std::string_view{line}.substr(line.find_first_of("0123456789")), 0);
  const std::uint64_t effective = capabilities();
  out.net_raw = has(effective, CAP_NET_RAW);
  out.net_admin = has(effective, CAP_NET_ADMIN);
  out.bpf = has(effective, CAP_BPF) || has(effective, CAP_SYS_ADMIN);
  out.raw_io = has(effective, CAP_SYS_RAWIO);
  return out;
}

bool MachineFiles::may_open_vfio(const NetworkDevice& device) const {
  const std::string number = std::to_string(device.iommu_group);
  for (const std::string& name : {number, "noiommu-" + number})
    if (::access(at("dev/vfio/" + name).c_str(), R_OK | W_OK) == 0) return true;
  return false;
}

}  // namespace proa::sidecar
