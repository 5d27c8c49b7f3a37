// lib: the ports DPDK sees, described without being configured.
#include <proa/nic/dpdk_ports.hpp>

#include "dpdk_internal.hpp"

namespace proa {
namespace {

/// Enough for what drivers take when they are found; no port is made.
constexpr std::uint32_t looking_mib = 64;

DpdkOptions looking_at(const std::vector<std::string>& devices) {
  DpdkOptions options;
  options.memory_mib = looking_mib;
  if (devices.empty()) return options;
  options.driver = DpdkDriver::pci;
  options.pci = devices.front();
  for (std::size_t i = 1; i < devices.size(); ++i) {
    options.eal_arguments.emplace_back("-a");
    options.eal_arguments.push_back(devices[i]);
  }
  return options;
}

std::vector<std::string> useful_offloads(const rte_eth_dev_info& info) {
  const auto& quirks = detail::quirks_of(info.driver_name);
  const std::uint64_t rx = quirks.rx_checksum ? info.rx_offload_capa : 0;
  const std::uint64_t tx = quirks.tx_checksum ? info.tx_offload_capa : 0;
  std::vector<std::string> out;
  if ((rx & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0) out.emplace_back("rx IPV4_CKSUM");
  if ((rx & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0) out.emplace_back("rx UDP_CKSUM");
  if ((tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0) out.emplace_back("tx IPV4_CKSUM");
  if ((tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0) out.emplace_back("tx UDP_CKSUM");
  return out;
}

DpdkSeenPort seen(std::uint16_t id, const rte_eth_dev_info& info) {
  DpdkSeenPort port;
  char name[RTE_ETH_NAME_MAX_LEN];
  if (rte_eth_dev_get_name_by_port(id, name) == 0) port.device = name;
  port.driver = info.driver_name;
  rte_ether_addr mac{};
  if (rte_eth_macaddr_get(id, &mac) == 0)
    std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), port.mac.octets.begin());
  port.queue_pairs_max = std::min(info.max_rx_queues, info.max_tx_queues);
  const auto& quirks = detail::quirks_of(info.driver_name);
  port.descriptors_min = std::max(info.rx_desc_lim.nb_min, quirks.descriptors_min);
  port.descriptors_max = info.rx_desc_lim.nb_max;
  static_cast<void>(rte_eth_dev_get_mtu(id, &port.mtu));
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id, &link) == 0) {
    port.link_up = link.link_status == RTE_ETH_LINK_UP;
    port.link_mbit = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
  }
  port.offloads = useful_offloads(info);
  port.remark = quirks.remark;
  return port;
}

}  // namespace

tl::expected<std::vector<DpdkSeenPort>, std::string> dpdk_ports(
    const std::vector<std::string>& devices, std::function<void(std::string_view)> log) {
  DpdkOptions options = looking_at(devices);
  options.log = std::move(log);
  if (auto started = detail::start_eal(options, 0); !started)
    return detail::Failure{started.error()};
  std::vector<DpdkSeenPort> ports;
  for (std::uint16_t id = 0; id < RTE_MAX_ETHPORTS; ++id) {
    rte_eth_dev_info info{};
    if (rte_eth_dev_is_valid_port(id) != 0 && rte_eth_dev_info_get(id, &info) == 0)
      ports.push_back(seen(id, info));
  }
  return ports;
}

std::string missing_dpdk_driver(const std::string& driver) {
  return detail::missing_driver(driver);
}

std::uint16_t xdp_queue_pairs(const std::string& interface) {
  return detail::xdp_queues(interface);
}

}  // namespace proa
