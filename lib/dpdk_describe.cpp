// lib: a DPDK port described for its operator, as it is and not as it was asked for.
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include "dpdk_internal.hpp"

namespace proa {
namespace detail {
namespace {

/// Whether the kernel agreed to let the driver and the NIC share buffers.
bool xdp_zero_copy(int socket) {
  xdp_options options{};
  socklen_t size = sizeof options;
  return ::getsockopt(socket, SOL_XDP, XDP_OPTIONS, &options, &size) == 0 &&
         (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

std::vector<std::string> offload_names(std::uint64_t rx, std::uint64_t tx) {
  std::vector<std::string> names;
  for (unsigned bit = 0; bit < 64; ++bit) {
    const auto flag = std::uint64_t{1} << bit;
    if ((rx & flag) != 0) names.push_back(std::string{"rx "} + rte_eth_dev_rx_offload_name(flag));
    if ((tx & flag) != 0) names.push_back(std::string{"tx "} + rte_eth_dev_tx_offload_name(flag));
  }
  return names;
}

std::string mode_of(const DpdkOptions& o) {
  switch (o.driver) {
    case DpdkDriver::memif:
      return std::string{o.memif.role == MemifRole::server ? "server" : "client"} + " of " +
             o.memif.socket + (o.memif.zero_copy ? ", zero-copy" : ", one copy each way") + ", " +
             std::to_string(memif_buffer_bytes(o)) + "-byte buffers";
    case DpdkDriver::af_packet:
      return "kernel packet socket on " + o.interface;
    case DpdkDriver::af_xdp:
      return "kernel XDP socket on " + o.interface;
    case DpdkDriver::tap:
      return "kernel tap device " + o.interface;
    case DpdkDriver::pci:
      return "PCI " + o.pci;
    case DpdkDriver::vdev:
      break;
  }
  return o.vdev;
}

}  // namespace

DpdkDescription DpdkPort::describe() const {
  DpdkDescription d;
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(id, &info) == 0) d.driver = info.driver_name;
  d.device = device;
  d.mode = mode_of(options);
  if (options.driver == DpdkDriver::af_xdp && !wait_fds.empty())
    d.mode += xdp_zero_copy(wait_fds[0]) ? ", zero-copy" : ", one copy each way";
  d.queue_pairs = queue_pairs;
  d.rx_descriptors = rx_descriptors;
  d.tx_descriptors = tx_descriptors;
  d.mtu = options.mtu;
  d.mac = capabilities.mac;
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id, &link) == 0) {
    d.link_up = link_up();
    d.link_mbit = link.link_speed;
  }
  d.offloads = offload_names(rx_offloads, tx_offloads);
  if (const auto remark = quirks_of(d.driver).remark; !remark.empty())
    d.remarks.emplace_back(remark);
  if (rss_refused)
    d.remarks.emplace_back(
        "the driver refused RSS: it may give everything to the first queue pair");
  return d;
}

}  // namespace detail

std::string DpdkDescription::text() const {
  std::string line = device + " (" + driver + "), " + mode + ", " + std::to_string(queue_pairs) +
                     " queue pairs of " + std::to_string(rx_descriptors) + "/" +
                     std::to_string(tx_descriptors) + " descriptors, mtu " + std::to_string(mtu) +
                     ", mac " + detail::text_of(mac) + ", link " + (link_up ? "up" : "down") +
                     ", offloads: ";
  if (offloads.empty()) line += "none";
  for (std::size_t i = 0; i < offloads.size(); ++i) line += (i == 0 ? "" : ", ") + offloads[i];
  for (const auto& remark : remarks) line += "; " + remark;
  return line;
}

}  // namespace proa
