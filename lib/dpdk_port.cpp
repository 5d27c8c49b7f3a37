// lib: a DPDK port from its options to started queues, anew after its device was gone, and back.
#include <rte_dev.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "dpdk_internal.hpp"

namespace proa {
namespace detail {

using Result = tl::expected<void, std::string>;

tl::expected<std::shared_ptr<DpdkPort>, std::string> DpdkPort::open(const DpdkOptions& options) {
  if (auto ok = check_options(options); !ok) return Failure{ok.error()};
  if (auto ok = check_environment(options); !ok) return Failure{ok.error()};
  const auto bytes = packet_memory_bytes(options);
  const auto lock = change_ports();
  if (auto ok = start_eal(options, bytes); !ok) return Failure{ok.error()};
  forget_complaints();
  if (options.memif.zero_copy && options.driver == DpdkDriver::memif) {
    static std::atomic<bool> used{false};
    if (used.exchange(true))
      return Failure{"memif's zero-copy works once per process: open this port without it."};
  }
  std::shared_ptr<DpdkPort> port{new DpdkPort};
  port->options = options;
  if (options.driver == DpdkDriver::af_xdp)  // the driver fails instead of saying so
    port->options.queue_pairs = std::min(options.queue_pairs, xdp_queues(options.interface));
  if (auto ok = port->bring_up(); !ok) return Failure{ok.error()};
  if (options.driver != DpdkDriver::memif) watch_port(*port);
  return port;
}

Result DpdkPort::bring_up() {
  gate = std::make_unique<PollerGate>(options.queue_pairs);
  Result done;
  if (options.driver != DpdkDriver::memif) {
    if (done = probe(); done) done = configure();
    if (done) done = start();
  } else {
    memif_wait = std::make_unique<MemifWait>(options.queue_pairs);
    guarded = guard_memif(*this);
    if (!guarded) return Failure{"DPDK's interrupt thread is not usable: set log-file, read it."};
    // The driver listens before it is started and turns away who comes in between: nobody does,
    // because nobody is heard until this is done.
    without_memif_control([&] {
      if (done = probe(); done) done = configure();
      if (done && options.memif.role == MemifRole::server) done = start();
    });
    if (done && options.memif.role == MemifRole::client) done = start_memif_client();
  }
  if (!done) return done;
  started = true;
  rte_eth_allmulticast_enable(id);  // IPv6 neighbour discovery; best effort, many have none
  learn_capabilities();
  find_wait_descriptors();
  return {};
}

/// A client starts when its server listens, and is connected when the server answers.
Result DpdkPort::start_memif_client() {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + options.memif.connect_for;
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::microseconds(500)); };
  bool heard = false, again = true;
  for (; again && steady_clock::now() < deadline; nap()) {
    bool listening = false;
    without_memif_control([&] { listening = rte_eth_dev_start(id) == 0; });
    if (!listening) continue;
    heard = true;
    // The driver closes DPDK's own memory descriptor after a handshake with zero-copy, whether it
    // succeeded or not: there is no second try.
    again = !options.memif.zero_copy;
    const auto retry =
        again ? std::min(deadline, steady_clock::now() + milliseconds(300)) : deadline;
    while (!link_up() && steady_clock::now() < retry) nap();
    if (link_up()) {
      without_memif_control([&] { reconnects = again; });
      return {};
    }
    without_memif_control([&] { rte_eth_dev_stop(id); });
  }
  if (heard)
    return Failure{with_complaint("The server of memif socket \"" + options.memif.socket +
                                  "\" does not take this client: it has another client, another "
                                  "id, fewer queue pairs, or does not run")};
  return Failure{"Nobody serves the memif socket \"" + options.memif.socket +
                 "\": start the other end first (role=server), or correct the path."};
}

tl::expected<void, std::string> DpdkPort::reopen() {
  forget_complaints();
  if (options.driver != DpdkDriver::tap)
    if (auto ok = check_environment(options); !ok) return ok;
  if (auto ok = probe(); !ok) return ok;
  if (auto ok = configure(); !ok) return ok;
  keep_mac();
  if (auto ok = start(); !ok) return ok;
  started = true;
  rte_eth_allmulticast_enable(id);
  find_wait_descriptors();
  return {};
}

tl::expected<void, std::string> DpdkPort::reset() {
  forget_complaints();
  rte_eth_dev_stop(id);
  if (const int result = rte_eth_dev_reset(id); result != 0)
    return Failure{device + " cannot be reset"};
  if (auto ok = configure(); !ok) return ok;
  if (auto ok = start(); !ok) return ok;
  rte_eth_allmulticast_enable(id);
  return {};
}

/// Neighbours know the address the port had. A device that cannot take it hears everything instead.
void DpdkPort::keep_mac() noexcept {
  rte_ether_addr mac{};
  std::copy(capabilities.mac.octets.begin(), capabilities.mac.octets.end(), mac.addr_bytes);
  rte_ether_addr now{};
  if (rte_eth_macaddr_get(id, &now) == 0 && rte_is_same_ether_addr(&now, &mac)) return;
  if (rte_eth_dev_default_mac_addr_set(id, &mac) != 0) rte_eth_promiscuous_enable(id);
}

DpdkPort::~DpdkPort() {
  if (guarded) without_memif_control([this] { reconnects = false; });
  if (guarded) {
    without_memif_control([this] { close_device(); });
    unguard_memif(*this);
  } else if (!adopted) {
    unwatch_port(*this);
    const auto lock = change_ports();
    close_device();
  }
  for (auto* pool : pools) rte_mempool_free(pool);
  for (auto* pool : retired_pools) rte_mempool_free(pool);
  for (const int fd : wait_epolls) ::close(fd);
}

void DpdkPort::close_device() noexcept {
  if (id == RTE_MAX_ETHPORTS) return;
  if (started && !offline) rte_eth_dev_stop(id);
  // Closes the port too; PCI devices stay with EAL and are closed only.
  if (options.driver == DpdkDriver::pci)
    rte_eth_dev_close(id);
  else
    rte_eal_hotplug_remove("vdev", device.c_str());
  id = RTE_MAX_ETHPORTS;
  started = false;
  wait_fds.clear();
}

bool DpdkPort::has_link() const noexcept {
  if (!carrier.load(std::memory_order_relaxed)) return false;
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

std::unique_ptr<DpdkQueue> make_queue(const std::shared_ptr<DpdkPort>& port, std::uint16_t queue,
                                      rte_mempool* pool) {
  auto made = std::make_unique<DpdkQueue>();
  made->port = port;
  made->gate = port->gate->pass(queue);
  made->memif_wait = port->memif_wait.get();
  made->queue_id = queue;
  made->port_id = port->id;
  made->pool = pool;
  made->receives_own_pool = !port->adopted;
  made->runt_bytes = port->pads_runts ? 0 : 60;
  made->checksum_flags = port->capabilities.tx_ip_checksum || port->capabilities.tx_udp_checksum;
  return made;
}

}  // namespace detail

Port<DpdkNic>::Port(std::shared_ptr<detail::DpdkPort> port) noexcept : port_(std::move(port)) {}
Port<DpdkNic>::Port(Port&&) noexcept = default;
Port<DpdkNic>& Port<DpdkNic>::operator=(Port&&) noexcept = default;
Port<DpdkNic>::~Port() = default;

tl::expected<Port<DpdkNic>, std::string> Port<DpdkNic>::open(const DpdkOptions& options) {
  auto port = detail::DpdkPort::open(options);
  if (!port) return detail::Failure{port.error()};
  return Port{std::move(*port)};
}

Port<DpdkNic>::Port(const DpdkOptions& options) {
  auto port = detail::DpdkPort::open(options);
  if (!port) throw std::runtime_error{port.error()};
  port_ = std::move(*port);
}

tl::expected<DpdkNic, std::string> Port<DpdkNic>::take_queue() {
  const std::lock_guard lock{port_->sharing};
  using Pair = detail::DpdkPort::Pair;
  auto& pairs = port_->pairs;
  pairs.resize(port_->queue_pairs, Pair::fresh);
  const auto free =
      std::find_if(pairs.begin(), pairs.end(), [](const Pair pair) { return pair != Pair::taken; });
  if (free == pairs.end())
    return detail::Failure{"All " + std::to_string(port_->queue_pairs) + " queue pairs of " +
                           port_->device + " are taken: open the port with more."};
  const auto queue = static_cast<std::uint16_t>(free - pairs.begin());
  auto made = detail::make_queue(port_, queue, port_->pools[queue]);
  if (std::exchange(*free, Pair::taken) == Pair::given_back) made->inherit();
  return DpdkNic{std::move(made)};
}

std::shared_ptr<void> Port<DpdkNic>::companion(const std::function<std::shared_ptr<void>()>& make) {
  const std::lock_guard lock{port_->sharing};
  if (!port_->companion) port_->companion = make();
  return port_->companion;
}

std::uint16_t Port<DpdkNic>::queue_pairs() const noexcept { return port_->queue_pairs; }
bool Port<DpdkNic>::link_up() const noexcept { return port_->link_up(); }
DpdkDescription Port<DpdkNic>::describe() const { return port_->describe(); }

}  // namespace proa
