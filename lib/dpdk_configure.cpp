// lib: a DPDK device as Proa wants it: probed and configured, or adopted; or why not.
#include <rte_dev.h>
#include <rte_errno.h>

#include <algorithm>
#include <atomic>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

using Result = tl::expected<void, std::string>;

std::string device_name(const DpdkOptions& o) {
  static std::atomic<unsigned> serial{0};
  const auto numbered = [](const char* driver) { return driver + std::to_string(serial++); };
  switch (o.driver) {
    case DpdkDriver::memif:
      return numbered("net_memif");
    case DpdkDriver::af_packet:
      return numbered("net_af_packet");
    case DpdkDriver::af_xdp:
      return numbered("net_af_xdp");
    case DpdkDriver::tap:
      return numbered("net_tap");
    case DpdkDriver::pci:
      return o.pci.substr(0, o.pci.find(','));
    case DpdkDriver::vdev:
      break;
  }
  return o.vdev.substr(0, o.vdev.find(','));
}

/// The offloads Proa can use, out of what the driver has.
std::uint64_t wanted_tx_offloads(const DpdkOptions& o, const DriverQuirks& quirks,
                                 std::uint64_t offered) {
  std::uint64_t wanted = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;  // one pool per queue, no references
  if (o.offloads && quirks.tx_checksum)
    wanted |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
  return wanted & offered;
}
std::uint64_t wanted_rx_offloads(const DpdkOptions& o, const DriverQuirks& quirks,
                                 std::uint64_t offered) {
  constexpr std::uint64_t wanted = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  return o.offloads && quirks.rx_checksum ? wanted & offered : 0;
}

rte_mempool* make_pool(const DpdkOptions& o, std::uint32_t packets) {
  static std::atomic<unsigned> serial{0};
  const auto name = "proa_packets_" + std::to_string(serial++);
  const auto room = static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + buffer_bytes(o));
  const unsigned cache = std::min<unsigned>(RTE_MEMPOOL_CACHE_MAX_SIZE, packets / 8);
  return rte_pktmbuf_pool_create(name.c_str(), packets, cache, 0, room, SOCKET_ID_ANY);
}

std::string no_memory(const DpdkOptions& o) {
  return "DPDK's memory is too small for this port's packets (" +
         std::to_string((packet_memory_bytes(o) >> 20U) + 1) +
         " MiB): set memory-mib on the first port this process opens, or ask for fewer packets.";
}

std::string probe_failure(const DpdkOptions& o, const std::string& device, int error) {
  if (o.driver <= DpdkDriver::tap)
    if (auto missing = missing_driver(device.substr(0, device.find_first_of("0123456789")));
        !missing.empty())
      return missing;
  std::string what;
  switch (o.driver) {
    case DpdkDriver::memif:
      what = "The memif device could not be made on socket \"" + o.memif.socket +
             "\": choose another socket path or id" +
             (o.memif.zero_copy ? ", and ask for zero-copy on the first port of the process" : "");
      break;
    case DpdkDriver::af_packet:
    case DpdkDriver::af_xdp:
      what = "DPDK could not open interface \"" + o.interface +
             "\": check its queue count (`ethtool -l`), and that no other program holds it";
      break;
    case DpdkDriver::tap:
      what = "The tap interface \"" + o.interface + "\" could not be made: choose an unused name";
      break;
    case DpdkDriver::pci:
      what = "PCI device " + device +
             " is not usable: bind it to vfio-pci (`dpdk-devbind.py -b vfio-pci " + device +
             "`), and open it as the first port of the process";
      break;
    case DpdkDriver::vdev:
      what =
          "DPDK has no driver for \"" + o.vdev + "\" or refuses its arguments: check the spelling";
      break;
  }
  if (error < 0) what += " (error " + std::to_string(-error) + ")";
  return with_complaint(what);
}

std::string queue_remedy(const DpdkOptions& o) {
  if (o.driver == DpdkDriver::af_xdp)
    return "end the program that has an XDP socket on this queue of \"" + o.interface +
           "\", or use af_packet";
  return "ask for fewer queues or other descriptors";
}

}  // namespace

Result DpdkPort::probe() {
  device = device_name(options);
  descriptors_before = own_descriptors();
  const bool is_pci = options.driver == DpdkDriver::pci;
  const auto arguments = device_arguments(options);
  // The first PCI port was probed by EAL itself, which had it on its list.
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) == 0 && is_pci) return {};
  const int result =
      rte_eal_hotplug_add(is_pci ? "pci" : "vdev", device.c_str(), arguments.c_str());
  if (result != 0 || rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) {
    if (result == 0) rte_eal_hotplug_remove(is_pci ? "pci" : "vdev", device.c_str());
    id = RTE_MAX_ETHPORTS;
    return Failure{probe_failure(options, device, result)};
  }
  return {};
}

Result DpdkPort::configure() {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(id, &info) != 0)
    return Failure{with_complaint("Driver of " + device + " does not describe itself")};
  const auto& quirks = quirks_of(info.driver_name);
  // A NIC with fewer queue pairs serves with those it has; describe() tells.
  queue_pairs = std::min({options.queue_pairs, info.max_rx_queues, info.max_tx_queues});
  if (queue_pairs == 0) return Failure{with_complaint(device + " has no queue pairs")};
  rx_offloads = wanted_rx_offloads(options, quirks, info.rx_offload_capa);
  tx_offloads = wanted_tx_offloads(options, quirks, info.tx_offload_capa);
  pads_runts = quirks.pads_runts;
  rte_eth_conf configuration{};
  const bool tells_link =
      info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
  if (tells_link && options.driver == DpdkDriver::pci) configuration.intr_conf.lsc = 1;
  configuration.rxmode.offloads = rx_offloads;
  configuration.txmode.offloads = tx_offloads;
  // RSS with whatever key and table the device has: nobody here reads or sets either.
  if (queue_pairs > 1 && info.flow_type_rss_offloads != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
  }
  if (!quirks.mtu_unset && options.mtu != RTE_ETHER_MTU) configuration.rxmode.mtu = options.mtu;
  const auto try_it = [&] {
    return rte_eth_dev_configure(id, queue_pairs, queue_pairs, &configuration);
  };
  int result = try_it();
  // Steering is only an optimisation: what reaches the wrong queue is handed over.
  rss_refused = result != 0 && configuration.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS;
  if (rss_refused) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
    configuration.rx_adv_conf.rss_conf.rss_hf = 0;
    result = try_it();
  }
  if (result != 0)
    return Failure{with_complaint(device + " refused its configuration (" + rte_strerror(-result) +
                                  "): ask for fewer queues or a smaller mtu")};
  rx_descriptors = tx_descriptors = std::max(options.descriptors, quirks.descriptors_min);
  if (rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_descriptors, &tx_descriptors) != 0)
    return Failure{with_complaint(device + " has no descriptor limits")};
  return make_queues(info);
}

Result DpdkPort::make_queues(const rte_eth_dev_info& info) {
  const auto& quirks = quirks_of(info.driver_name);
  const std::uint32_t needed = rx_descriptors + tx_descriptors + 512U;
  const auto packets = std::max(packets_per_queue(options), needed) + quirks.packets_extra;
  rte_eth_rxconf rx = info.default_rxconf;
  rx.offloads = rx_offloads;
  rte_eth_txconf tx = info.default_txconf;
  tx.offloads = tx_offloads;
  for (std::uint16_t queue = 0; queue < queue_pairs; ++queue) {
    rte_mempool* pool = pool_for(queue, packets);
    if (pool == nullptr) return Failure{no_memory(options)};
    const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(id)));
    int result = rte_eth_rx_queue_setup(id, queue, rx_descriptors, socket, &rx, pool);
    if (result == 0) result = rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket, &tx);
    if (result != 0)
      return Failure{with_complaint("Queue " + std::to_string(queue) + " of " + device +
                                    " could not be set up (" + rte_strerror(-result) +
                                    "): " + queue_remedy(options))};
  }
  return {};
}

/// The one from before when the port is opened again; but af_xdp never gives back what it holds.
rte_mempool* DpdkPort::pool_for(std::uint16_t queue, std::uint32_t packets) {
  const bool again = queue < pools.size();
  if (again && options.driver != DpdkDriver::af_xdp) return pools[queue];
  rte_mempool* pool = make_pool(options, packets);
  if (pool == nullptr) return nullptr;
  if (again)
    retired_pools.push_back(std::exchange(pools[queue], pool));
  else
    pools.push_back(pool);
  return pool;
}

Result DpdkPort::start() {
  if (const int result = rte_eth_dev_start(id); result != 0)
    return Failure{with_complaint(device + " did not start (" + rte_strerror(-result) +
                                  "): ask for fewer queues or descriptors")};
  return {};
}

void DpdkPort::learn_capabilities() {
  rte_ether_addr mac{};
  rte_eth_macaddr_get(id, &mac);
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), capabilities.mac.octets.begin());
  capabilities.frame_bytes_max = options.mtu + 14;
  capabilities.burst_packets_max = burst_packets_max;
  capabilities.queue_descriptors = std::min(rx_descriptors, tx_descriptors);
  capabilities.rx_backlog_packets = backlog_packets(*this);
  capabilities.tx_ip_checksum = (tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  capabilities.tx_udp_checksum = (tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
  capabilities.rx_checksum = (rx_offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
}

tl::expected<std::shared_ptr<DpdkPort>, std::string> DpdkPort::adopt(std::uint16_t port_id,
                                                                     std::uint16_t queue) {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port_id, &info) != 0)
    return Failure{"DPDK has no port " + std::to_string(port_id) +
                   ": start DPDK and the port before adopting a queue of it."};
  if (queue >= std::min(info.nb_rx_queues, info.nb_tx_queues))
    return Failure{"Port " + std::to_string(port_id) + " has no queue pair " +
                   std::to_string(queue) + ": configure and start it with more."};
  std::shared_ptr<DpdkPort> port{new DpdkPort};
  port->adopted = true;
  port->id = port_id;
  char name[RTE_ETH_NAME_MAX_LEN];
  if (rte_eth_dev_get_name_by_port(port_id, name) == 0) port->device = name;
  port->options.driver = DpdkDriver::vdev;
  port->options.vdev = port->device;
  std::uint16_t mtu = 0;
  if (rte_eth_dev_get_mtu(port_id, &mtu) == 0 && mtu != 0) port->options.mtu = mtu;
  port->queue_pairs = std::min(info.nb_rx_queues, info.nb_tx_queues);
  port->pads_runts = quirks_of(info.driver_name).pads_runts;
  rte_eth_rxq_info rx{};
  rte_eth_txq_info tx{};
  const bool known = rte_eth_rx_queue_info_get(port_id, queue, &rx) == 0 &&
                     rte_eth_tx_queue_info_get(port_id, queue, &tx) == 0;
  port->rx_descriptors = known ? rx.nb_desc : port->options.descriptors;
  port->tx_descriptors = known ? tx.nb_desc : port->options.descriptors;
  port->rx_offloads = known ? rx.conf.offloads : 0;
  port->tx_offloads = known ? tx.conf.offloads : 0;
  // A pool of our own: the program's may hold smaller buffers or be shared with its other threads.
  rte_mempool* pool = make_pool(port->options, packets_per_queue(port->options));
  if (pool == nullptr) return Failure{no_memory(port->options)};
  port->pools.push_back(pool);
  port->learn_capabilities();
  port->gate = std::make_unique<PollerGate>(queue + 1U);
  return port;
}

}  // namespace proa::detail
