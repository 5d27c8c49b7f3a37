// lib: options of a DPDK port: from text, checked, and turned into DPDK's own device text.
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "dpdk_internal.hpp"

namespace proa {
namespace {

using Result = tl::expected<void, std::string>;
using detail::Failure;

Failure expected_value(std::string_view key, std::string_view value, std::string_view what) {
  return Failure{"option " + std::string{key} + "=" + std::string{value} + ": expected " +
                 std::string{what} + "."};
}

template <class T>
Result set_number(T& to, std::string_view key, std::string_view value) {
  T number{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size())
    return expected_value(key, value, "a whole number in range");
  to = number;
  return {};
}

Result set_flag(bool& to, std::string_view key, std::string_view value) {
  if (value != "yes" && value != "no") return expected_value(key, value, "yes or no");
  to = value == "yes";
  return {};
}

Result set_mac(std::optional<MacAddress>& to, std::string_view key, std::string_view value) {
  MacAddress mac;
  const std::string text{value};
  auto& o = mac.octets;
  int used = 0;
  const int fields = std::sscanf(text.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &o[0],
                                 &o[1], &o[2], &o[3], &o[4], &o[5], &used);
  if (fields != 6 || static_cast<std::size_t>(used) != text.size())
    return expected_value(key, value, "a MAC address like 02:00:00:00:00:01");
  to = mac;
  return {};
}

Result set_role(MemifRole& to, std::string_view key, std::string_view value) {
  if (value != "server" && value != "client") return expected_value(key, value, "server or client");
  to = value == "server" ? MemifRole::server : MemifRole::client;
  return {};
}

Result set_memif(MemifOptions& memif, std::string_view key, std::string_view value) {
  if (key == "role") return set_role(memif.role, key, value);
  if (key == "id") return set_number(memif.id, key, value);
  if (key == "zero-copy") return set_flag(memif.zero_copy, key, value);
  if (key == "connect-ms") {
    std::uint32_t milliseconds = 0;
    auto set = set_number(milliseconds, key, value);
    memif.connect_for = std::chrono::milliseconds(milliseconds);
    return set;
  }
  return Failure{"option " + std::string{key} +
                 " is not known; known are role, socket, id, zero-copy, connect-ms (memif), "
                 "interface, address, device, queues, descriptors, mtu, packets, offloads, mac, "
                 "memory-mib, hugepages, log-file, eal."};
}

Result set_option(DpdkOptions& o, std::string_view key, std::string_view value) {
  if (key == "socket") return o.memif.socket = value, Result{};
  if (key == "interface") return o.interface = value, Result{};
  if (key == "address") return o.pci = value, Result{};
  if (key == "device") return o.vdev = value, Result{};
  if (key == "log-file") return o.log_file = value, Result{};
  if (key == "eal") return o.eal_arguments.emplace_back(value), Result{};
  if (key == "queues") return set_number(o.queue_pairs, key, value);
  if (key == "descriptors") return set_number(o.descriptors, key, value);
  if (key == "mtu") return set_number(o.mtu, key, value);
  if (key == "packets") return set_number(o.packets, key, value);
  if (key == "offloads") return set_flag(o.offloads, key, value);
  if (key == "mac") return set_mac(o.mac, key, value);
  if (key == "memory-mib") return set_number(o.memory_mib, key, value);
  if (key == "hugepages") return set_flag(o.hugepages, key, value);
  return set_memif(o.memif, key, value);
}

Result set_driver(DpdkDriver& to, std::string_view name) {
  constexpr std::string_view names[] = {"memif", "af_packet", "af_xdp", "tap", "pci", "vdev"};
  for (std::size_t i = 0; i < std::size(names); ++i)
    if (name == names[i]) return to = static_cast<DpdkDriver>(i), Result{};
  return Failure{"driver \"" + std::string{name} +
                 "\" is not known; use memif, af_packet, af_xdp, tap, pci, or vdev with device=."};
}

bool has_capability(unsigned capability) {
  std::ifstream status{"/proc/thread-self/status"};  // threads may differ
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:"))
      return ((std::stoull(line.substr(7), nullptr, 16) >> capability) & 1U) != 0;
  return true;  // cannot say: let the driver find out
}

Result need_capability(unsigned capability, std::string_view name, std::string_view for_what) {
  if (has_capability(capability)) return {};
  return Failure{std::string{for_what} + " needs " + std::string{name} +
                 ": run as root, or grant it with setcap or your container's capability list, or "
                 "use memif, which needs no privilege."};
}

Result check_interface(const DpdkOptions& o) {
  if (if_nametoindex(o.interface.c_str()) == 0)
    return Failure{"Network interface \"" + o.interface +
                   "\" does not exist in this network namespace; `ip link` lists those that do."};
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  ifreq request{};
  o.interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const bool asked = ::ioctl(fd, SIOCGIFMTU, &request) == 0;
  const int mtu = request.ifr_mtu;
  const bool flags_known = ::ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  ::close(fd);
  if (asked && mtu >= 0 && static_cast<std::uint32_t>(mtu) < o.mtu)
    return Failure{"Interface \"" + o.interface + "\" has MTU " + std::to_string(mtu) + ", below " +
                   std::to_string(o.mtu) + ": run `ip link set " + o.interface + " mtu " +
                   std::to_string(o.mtu) + "` or ask for a smaller mtu."};
  if (flags_known && (request.ifr_flags & IFF_UP) == 0)
    return Failure{"Interface \"" + o.interface + "\" is down: run `ip link set " + o.interface +
                   " up`."};
  return {};
}

/// A server that was killed leaves its socket file behind, and binding to it would fail for ever.
Result clear_stale_socket(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode))
    return Failure{"\"" + path + "\" exists and is not a socket: choose another memif socket."};
  // memif's are SOCK_SEQPACKET. One of another type finds out whether somebody holds the address
  // and never arrives there: a caller that hangs up at once can make DPDK abort the server.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::close(fd);
  if (connected == 0 || error == EAGAIN || error == EPROTOTYPE)
    return Failure{"Another process already serves the memif socket \"" + path +
                   "\": stop it, be its client (role=client), or choose another socket."};
  if (error == ECONNREFUSED) ::unlink(path.c_str());
  return {};
}

Result check_memif(const MemifOptions& memif) {
  const auto slash = memif.socket.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : memif.socket.substr(0, slash + 1);
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return Failure{"The directory of the memif socket \"" + memif.socket +
                   "\" does not exist: make it first."};
  if (memif.role == MemifRole::client) return {};
  if (::access(directory.c_str(), W_OK) != 0)
    return Failure{"The directory of the memif socket \"" + memif.socket +
                   "\" is not writable for this user: choose another."};
  return clear_stale_socket(memif.socket);
}

Result check_hugepages() {
  std::ifstream info{"/proc/meminfo"};
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("HugePages_Free:") && std::stoul(line.substr(15)) > 0) return {};
  return Failure{
      "Hugepages were asked for and none is free: run `sysctl vm.nr_hugepages=256`, or leave "
      "hugepages off, which costs nothing measurable here."};
}

/// Locally administered. DPDK seeds its own generator when a program is loaded, so two processes
/// that one program forked would draw the same address.
MacAddress random_mac() {
  MacAddress mac;
  if (::getrandom(mac.octets.data(), mac.octets.size(), 0) !=
      static_cast<ssize_t>(mac.octets.size()))
    mac.octets[5] = static_cast<std::uint8_t>(::getpid());
  mac.octets[0] = static_cast<std::uint8_t>((mac.octets[0] & 0xfcU) | 2U);
  return mac;
}

}  // namespace

tl::expected<DpdkOptions, std::string> DpdkOptions::parse(std::string_view text) {
  DpdkOptions options;
  const auto next = [&text] {
    const auto comma = std::min(text.find(','), text.size());
    const auto word = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    return word;
  };
  if (auto driver = set_driver(options.driver, next()); !driver) return Failure{driver.error()};
  while (!text.empty()) {
    // DPDK's own device text has commas of its own: it takes the rest.
    if (text.starts_with("device=") || text.starts_with("address=")) {
      auto& rest = text.starts_with("device=") ? options.vdev : options.pci;
      rest = text.substr(text.find('=') + 1);
      break;
    }
    const auto pair = next();
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos)
      return Failure{"option \"" + std::string{pair} + "\": expected key=value."};
    if (auto set = set_option(options, pair.substr(0, equals), pair.substr(equals + 1)); !set)
      return Failure{set.error()};
  }
  if (auto checked = detail::check_options(options); !checked) return Failure{checked.error()};
  return options;
}

namespace detail {

std::string text_of(const MacAddress& mac) {
  std::string text(18, '\0');
  const auto& m = mac.octets;
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
                m[4], m[5]);
  text.pop_back();
  return text;
}

Result check_options(const DpdkOptions& o) {
  using enum DpdkDriver;
  const bool on_linux_interface = o.driver == af_packet || o.driver == af_xdp || o.driver == tap;
  if (on_linux_interface && o.interface.empty())
    return Failure{"This driver needs the name of a network interface: interface=NAME."};
  if (o.interface.size() >= IFNAMSIZ)
    return Failure{"Interface name \"" + o.interface + "\" is longer than 15 characters."};
  if (o.driver == pci && o.pci.empty())
    return Failure{"Driver pci needs the device: address=0000:00:05.0 (`dpdk-devbind.py -s`)."};
  if (o.driver == vdev && o.vdev.empty())
    return Failure{"Driver vdev needs DPDK's device text: device=net_null0,key=value."};
  if (o.driver == memif && o.memif.socket.size() >= sizeof sockaddr_un{}.sun_path)
    return Failure{"The memif socket's path is longer than 107 characters: choose a shorter one."};
  if (o.memif.zero_copy && o.memif.role == MemifRole::server)
    return Failure{"memif's zero-copy belongs to the client: leave it off at the server."};
  if (o.queue_pairs == 0 || o.queue_pairs > 64)
    return Failure{"queues=" + std::to_string(o.queue_pairs) + ": expected 1 to 64."};
  if (!std::has_single_bit(o.descriptors) || o.descriptors < 32 || o.descriptors > 8192)
    return Failure{"descriptors=" + std::to_string(o.descriptors) +
                   ": expected a power of two from 32 to 8192."};
  if (o.mtu < 1280 || o.mtu > 9000)
    return Failure{"mtu=" + std::to_string(o.mtu) + ": expected 1280 to 9000."};
  if (o.driver == af_xdp && o.mtu > 3000)
    return Failure{"mtu=" + std::to_string(o.mtu) +
                   ": af_xdp holds a frame in one 4 KiB page, so at most 3000; use af_packet."};
  return {};
}

Result check_environment(const DpdkOptions& o) {
  using enum DpdkDriver;
  if (o.hugepages)
    if (auto ok = check_hugepages(); !ok) return ok;
  if (o.driver == memif) return check_memif(o.memif);
  if (o.driver == tap) {
    if (auto ok = need_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN", "A tap device"); !ok) return ok;
    if (::access("/dev/net/tun", R_OK | W_OK) != 0)
      return Failure{
          "/dev/net/tun is missing: load the tun module or pass the device to the "
          "container."};
  }
  if (o.driver != af_packet && o.driver != af_xdp) return {};
  if (auto ok = check_interface(o); !ok) return ok;
  if (auto ok = need_capability(CAP_NET_RAW, "CAP_NET_RAW", "af_packet and af_xdp"); !ok) return ok;
  return o.driver == af_xdp ? need_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN", "af_xdp") : Result{};
}

/// What the driver takes for the interface's queues: its combined channels, one where there is none
/// (veth has separate ones, however many). It opens nothing at all with more.
std::uint16_t xdp_queues(const std::string& interface) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return 1;
  const bool known = ::ioctl(socket, SIOCETHTOOL, &request) == 0 && channels.max_combined != 0;
  ::close(socket);
  return static_cast<std::uint16_t>(
      known ? std::clamp<std::uint32_t>(channels.combined_count, 1, UINT16_MAX) : 1);
}

std::uint32_t memif_buffer_bytes(const DpdkOptions& o) noexcept {
  return o.mtu + 14 <= 2048 ? 2048 : 9216;
}

std::uint32_t buffer_bytes(const DpdkOptions& o) noexcept {
  // memif copies with its fast routine only into mbufs at least as large as its own buffers.
  if (o.driver == DpdkDriver::memif) return memif_buffer_bytes(o);
  // af_xdp needs header, mbuf and data within one 4 KiB page.
  if (o.driver == DpdkDriver::af_xdp) return o.mtu <= 2034 ? 2048 : 3072;
  return o.mtu + 14 <= 2048 ? 2048 : 9216;
}

std::uint32_t packets_per_queue(const DpdkOptions& o) noexcept {
  if (o.packets != 0) return o.packets;
  const auto wanted = std::max<std::uint32_t>(2047, 4U * o.descriptors + 1023);
  // af_xdp fills a kernel ring of 2048 before the first packet and keeps 2048 sent ones for a
  // while.
  return o.driver == DpdkDriver::af_xdp ? wanted + 6144 : wanted;
}

std::size_t packet_memory_bytes(const DpdkOptions& o) noexcept {
  constexpr std::size_t object_overhead = 384;  // mbuf, mempool header, alignment
  return std::size_t{o.queue_pairs} * packets_per_queue(o) * (buffer_bytes(o) + object_overhead);
}

std::string device_arguments(const DpdkOptions& o) {
  const auto number = [](auto n) { return std::to_string(n); };
  std::string a;
  switch (o.driver) {
    case DpdkDriver::memif:
      a = "role=" + std::string{o.memif.role == MemifRole::server ? "server" : "client"} +
          ",id=" + number(o.memif.id) + ",socket=" + o.memif.socket + ",socket-abstract=no" +
          ",bsize=" + number(memif_buffer_bytes(o)) +
          ",rsize=" + number(std::countr_zero(o.descriptors)) +
          (o.memif.zero_copy ? ",zero-copy=yes" : "");
      break;
    case DpdkDriver::af_packet:
      // A kernel block holds whole frames; 16 KiB frames carry 9000 bytes behind the kernel's
      // header.
      a = "iface=" + o.interface + ",qpairs=" + number(o.queue_pairs) +
          ",framecnt=" + number(o.descriptors) +
          (o.mtu + 14 <= 1900 ? ",framesz=2048,blocksz=4096" : ",framesz=9216,blocksz=36864");
      break;
    case DpdkDriver::af_xdp:
      a = "iface=" + o.interface + ",start_queue=0,queue_count=" + number(o.queue_pairs);
      break;
    case DpdkDriver::tap:
      a = "iface=" + o.interface;
      break;
    case DpdkDriver::pci:
    case DpdkDriver::vdev: {
      const auto& text = o.driver == DpdkDriver::pci ? o.pci : o.vdev;
      const auto comma = text.find(',');
      return comma == std::string::npos ? "" : text.substr(comma + 1);
    }
  }
  if (o.driver == DpdkDriver::memif || (o.mac && o.driver == DpdkDriver::tap))
    a += ",mac=" + text_of(o.mac.value_or(random_mac()));
  return a;
}

}  // namespace detail
}  // namespace proa
