// lib: the descriptors on which a thread sleeps until a queue of a kernel's interface receives.
#include <linux/if_packet.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "dpdk_internal.hpp"

namespace proa::detail {

/// The driver's own sockets, one for each queue in the order it made them.
void DpdkPort::find_wait_descriptors() {
  auto added = added_since(descriptors_before);
  if (options.driver == DpdkDriver::af_packet)
    wait_fds = of_kind(std::move(added), DescriptorKind::packet_socket);
  else if (options.driver == DpdkDriver::af_xdp)
    wait_fds = of_kind(std::move(added), DescriptorKind::xdp_socket);
  else if (options.driver == DpdkDriver::tap)
    wait_fds = of_kind(std::move(added), DescriptorKind::tun);
  // tap keeps one more open, the first, so that the interface lives until the port closes.
  if (options.driver == DpdkDriver::tap && wait_fds.size() == queue_pairs + 1U)
    wait_fds.erase(wait_fds.begin());
  if (wait_fds.size() != queue_pairs) wait_fds.clear();
  gather_wait_descriptors();
}

/// A descriptor per queue that stays the same over all devices.
void DpdkPort::gather_wait_descriptors() {
  for (std::size_t i = 0; i < wait_fds.size(); ++i) {
    if (wait_epolls.size() == i) wait_epolls.push_back(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{.events = EPOLLIN, .data = {}};
    ::epoll_ctl(wait_epolls[i], EPOLL_CTL_ADD, wait_fds[i], &event);
  }
}

/// Behind a closed gate nobody takes what has arrived: it would keep every sleeper awake.
void DpdkPort::heed_arrivals(bool heeded) noexcept {
  for (std::size_t i = 0; i < wait_fds.size(); ++i) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    ::epoll_ctl(wait_epolls[i], heeded ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, wait_fds[i], &event);
  }
}

std::uint64_t kernel_drops(DpdkQueue& queue) noexcept {
  const DpdkPort& port = *queue.port;
  if (port.options.driver != DpdkDriver::af_packet) return 0;
  std::uint64_t& sum = queue.kernel_drops;
  for (const int fd : port.wait_fds) {
    tpacket_stats now{};  // since it was last asked
    socklen_t size = sizeof now;
    if (::getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &now, &size) == 0) sum += now.tp_drops;
  }
  return sum;
}

}  // namespace proa::detail
