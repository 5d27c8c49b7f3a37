// lib: how many frames can lie unread before the reader of a queue, by driver.
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

constexpr std::uint32_t memif_ring_max = 1U << 14U;
/// A device's own memory, where frames wait for descriptors, what a kernel or host keeps for a ring
/// that is full: no driver tells.
constexpr std::uint32_t elsewhere_at_most = 4096;

/// The kernel's queue of a tap device is as long as the interface says.
std::uint32_t kernel_queue(const std::string& interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool known = ::ioctl(socket, SIOCGIFTXQLEN, &request) == 0 && request.ifr_qlen > 0;
  ::close(socket);
  return known ? static_cast<std::uint32_t>(request.ifr_qlen) : elsewhere_at_most;
}

std::uint32_t beside_our_ring(const DpdkPort& port) {
  const bool is_client = port.options.memif.role == MemifRole::client;
  switch (port.options.driver) {
    case DpdkDriver::af_packet:
      return 0;  // the kernel drops what finds no room
    case DpdkDriver::memif:
      return is_client ? 0 : memif_ring_max;  // the client chooses how long the rings are
    case DpdkDriver::tap:
      return kernel_queue(port.options.interface);
    default:
      break;
  }
  rte_eth_dev_info info{};
  const bool is_memif = rte_eth_dev_info_get(port.id, &info) == 0 &&
                        std::string_view{info.driver_name}.starts_with("net_memif");
  return is_memif ? memif_ring_max : elsewhere_at_most;
}

}  // namespace

/// A burst may lie with us besides: it was found while somebody was about to sleep.
std::uint32_t backlog_packets(const DpdkPort& port) {
  return port.rx_descriptors + beside_our_ring(port) + burst_packets_max;
}

}  // namespace proa::detail
