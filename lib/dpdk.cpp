// lib: DpdkNic: bursts between Proa's packets and DPDK's mbufs.
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_udp.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "dpdk_internal.hpp"

namespace proa {
namespace {

using detail::burst_packets_max;
using detail::DpdkQueue;

static_assert(Nic<DpdkNic>);

Packet to_packet(rte_mbuf* mbuf) noexcept {
  return Packet{rte_pktmbuf_mtod(mbuf, std::byte*), mbuf->data_len, mbuf->data_off,
                static_cast<std::uint16_t>(mbuf->buf_len - mbuf->data_off), mbuf};
}

/// A buffer fresh from the pool: there its reference count, segment count and link are as they
/// shall be already (DPDK keeps them so); lengths and flags are set when it is sent.
Packet to_empty_packet(rte_mbuf* mbuf) noexcept {
  mbuf->data_off = RTE_PKTMBUF_HEADROOM;
  return Packet{rte_pktmbuf_mtod(mbuf, std::byte*), 0, RTE_PKTMBUF_HEADROOM,
                static_cast<std::uint16_t>(mbuf->buf_len - RTE_PKTMBUF_HEADROOM), mbuf};
}

/// Packets are whole and nobody else's: no need to look into each mbuf as DPDK's own routine does.
void give_back(DpdkQueue& q, std::span<rte_mbuf*> mbufs) noexcept {
  const auto count = static_cast<unsigned>(mbufs.size());
  if (q.receives_own_pool) [[likely]]
    rte_mempool_put_bulk(q.pool, reinterpret_cast<void**>(mbufs.data()), count);
  else
    rte_pktmbuf_free_bulk(mbufs.data(), count);
}

void set_receive_flags(Packet& packet, std::uint64_t flags) noexcept {
  const auto l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  const auto ip = flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD || ip == RTE_MBUF_F_RX_IP_CKSUM_BAD)
    packet.set(PacketFlag::rx_checksum_bad);
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD) packet.set(PacketFlag::rx_l4_checksum_good);
  if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD) packet.set(PacketFlag::rx_ip_checksum_good);
}

/// Asks the NIC for the checksums the packet wants: header lengths, and the pseudo header's sum
/// where the UDP checksum goes, which every driver with this offload takes (ena, gve, netvsc and
/// virtio need it, mlx5 ignores it). ena also wants DF set: Proa always sets it.
void request_checksums(rte_mbuf& mbuf, const Packet& packet) noexcept {
  const auto* ether = rte_pktmbuf_mtod(&mbuf, const rte_ether_hdr*);
  const bool tagged = ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
  const std::size_t ethernet_bytes = tagged ? 18 : 14;
  auto* ip = rte_pktmbuf_mtod_offset(&mbuf, std::byte*, ethernet_bytes);
  const bool v6 = (std::to_integer<unsigned>(*ip) >> 4U) == 6;
  mbuf.l2_len = ethernet_bytes & 0x7fU;
  mbuf.l3_len = v6 ? sizeof(rte_ipv6_hdr) : sizeof(rte_ipv4_hdr);
  mbuf.ol_flags = v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
  if (!v6 && packet.has(PacketFlag::tx_ip_checksum)) {
    mbuf.ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
    reinterpret_cast<rte_ipv4_hdr*>(ip)->hdr_checksum = 0;
  }
  if (!packet.has(PacketFlag::tx_udp_checksum)) return;
  mbuf.ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
  auto* udp = reinterpret_cast<rte_udp_hdr*>(ip + mbuf.l3_len);
  udp->dgram_cksum = v6 ? rte_ipv6_phdr_cksum(reinterpret_cast<rte_ipv6_hdr*>(ip), mbuf.ol_flags)
                        : rte_ipv4_phdr_cksum(reinterpret_cast<rte_ipv4_hdr*>(ip), mbuf.ol_flags);
}

rte_mbuf* to_mbuf(const DpdkQueue& q, Packet& packet) noexcept {
  auto* mbuf = static_cast<rte_mbuf*>(packet.handle());
  if (packet.length() < q.runt_bytes) {
    std::memset(packet.storage().data() + packet.length(), 0, q.runt_bytes - packet.length());
    packet.set_length(q.runt_bytes);
  }
  mbuf->data_len = static_cast<std::uint16_t>(packet.length());
  mbuf->pkt_len = packet.length();
  mbuf->ol_flags = 0;
  if (q.checksum_flags &&
      (packet.has(PacketFlag::tx_ip_checksum) || packet.has(PacketFlag::tx_udp_checksum)))
    request_checksums(*mbuf, packet);
  return mbuf;
}

/// Gives the thread one of DPDK's core numbers until it ends, so that it gets a pool cache.
void register_thread() noexcept {
  struct Registration {
    Registration() { ours = rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0; }
    ~Registration() {
      if (ours) rte_thread_unregister();
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    bool ours;
  };
  thread_local const Registration registration;
  static_cast<void>(registration);
}

/// Received frames as packets; a frame in several buffers is copied together or dropped.
std::size_t deliver(DpdkQueue& q, std::span<rte_mbuf*> mbufs, std::span<Packet> packets) noexcept {
  std::size_t delivered = 0;
  for (auto* mbuf : mbufs) {
    if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) [[unlikely]] {
      rte_pktmbuf_free(mbuf);
      ++q.counters.rx_errors;
      continue;
    }
    q.counters.rx_bytes += mbuf->pkt_len;
    auto& packet = packets[delivered++];
    packet = to_packet(mbuf);
    if (mbuf->ol_flags != 0) set_receive_flags(packet, mbuf->ol_flags);
  }
  q.counters.rx_packets += delivered;
  return delivered;
}

std::uint16_t receive(DpdkQueue& q, std::span<rte_mbuf*> mbufs) noexcept {
  if (!q.enter()) return 0;
  const auto count = rte_eth_rx_burst(q.port_id, q.queue_id, mbufs.data(),
                                      static_cast<std::uint16_t>(mbufs.size()));
  q.gate.leave();
  return count;
}

/// A port that was opened again counts from 0: what it had counted before is kept.
void add_up(DpdkQueue& q, const NicCounters& now) noexcept {
  const auto keep = [&](std::uint64_t NicCounters::*one) {
    if (now.*one < q.driver.*one) q.driver_before.*one += q.driver.*one;
    q.driver.*one = now.*one;
  };
  keep(&NicCounters::rx_missed);
  keep(&NicCounters::rx_errors);
  keep(&NicCounters::tx_errors);
  keep(&NicCounters::rx_no_buffer);
}

/// Inside the gate.
void ask_driver(DpdkQueue& q) noexcept {
  rte_eth_stats stats{};
  NicCounters now;
  if (rte_eth_stats_get(q.port_id, &stats) == 0) {
    now.rx_missed = stats.imissed + detail::kernel_drops(q);
    now.rx_errors = stats.ierrors;
    now.tx_errors = stats.oerrors;
    now.rx_no_buffer = stats.rx_nombuf;
    add_up(q, now);
  }
}

/// Of the queue pair, and of the port for its first one.
NicCounters count(DpdkQueue& q) noexcept {
  NicCounters counters = q.counters;
  // Drivers count losses by port: the first queue pair reports them, so that a sum is right.
  if (q.queue_id != 0) return counters;
  counters.rx_missed += q.driver_before.rx_missed + q.driver.rx_missed;
  counters.rx_errors += q.driver_before.rx_errors + q.driver.rx_errors;
  counters.tx_errors += q.driver_before.tx_errors + q.driver.tx_errors;
  counters.rx_no_buffer += q.driver_before.rx_no_buffer + q.driver.rx_no_buffer;
  const auto& events = q.port->events;
  counters.link_downs = events.link_downs.load(std::memory_order_relaxed);
  counters.resets = events.resets.load(std::memory_order_relaxed);
  counters.removals = events.removals.load(std::memory_order_relaxed);
  counters.reopened = events.reopened.load(std::memory_order_relaxed);
  counters.mismatches = events.mismatches.load(std::memory_order_relaxed);
  return counters;
}

/// The same, anew from the driver unless the gate is closed.
NicCounters count_anew(DpdkQueue& q) noexcept {
  if (q.queue_id == 0 && q.enter()) {
    ask_driver(q);
    q.gate.leave();
  }
  return count(q);
}

NicCounters less(NicCounters from, const NicCounters& former) noexcept {
  for (const auto one : {&NicCounters::rx_missed, &NicCounters::rx_errors, &NicCounters::tx_errors,
                         &NicCounters::rx_no_buffer, &NicCounters::link_downs, &NicCounters::resets,
                         &NicCounters::removals, &NicCounters::reopened, &NicCounters::mismatches})
    from.*one -= former.*one;
  return from;
}

/// False while the gate is closed.
bool ask_to_be_woken(DpdkQueue& q) noexcept {
  if (!q.enter()) return false;
  q.memif_wait->ask_to_be_woken(q.queue_id, true);
  q.gate.leave();
  return true;
}

}  // namespace

namespace detail {

DpdkQueue::~DpdkQueue() {
  give_back(*this, std::span{stash}.first(stashed));
  const std::lock_guard lock{port->sharing};
  if (queue_id < port->pairs.size()) port->pairs[queue_id] = DpdkPort::Pair::given_back;
}

void DpdkQueue::inherit() noexcept {
  former = count(*this);  // what happened to the port; its driver is asked later
  inherited = true;
  owes_disarm = memif_wait != nullptr;  // he may have gone while he was to be woken
  gate.expect_renewal();
  if (enter()) gate.leave();
}

void DpdkQueue::disarm() noexcept {
  owes_disarm = true;
  gate.expect_renewal();
  if (enter()) gate.leave();
}

/// Inside the gate.
void DpdkQueue::begin_anew() noexcept {
  for (std::size_t left = port->rx_descriptors; left != 0;) {
    const auto want = static_cast<std::uint16_t>(std::min(left, stash.size()));
    const auto got = rte_eth_rx_burst(port_id, queue_id, stash.data(), want);
    if (got == 0) break;
    give_back(*this, std::span{stash}.first(got));
    left -= std::min<std::size_t>(left, got);
  }
  if (queue_id != 0) return;
  ask_driver(*this);
  former.rx_missed = driver.rx_missed;
  former.rx_errors = driver.rx_errors;
  former.tx_errors = driver.tx_errors;
  former.rx_no_buffer = driver.rx_no_buffer;
}

}  // namespace detail

DpdkNic::DpdkNic(std::unique_ptr<detail::DpdkQueue> queue) noexcept : queue_(std::move(queue)) {}
DpdkNic::DpdkNic(DpdkNic&&) noexcept = default;
DpdkNic& DpdkNic::operator=(DpdkNic&&) noexcept = default;
DpdkNic::~DpdkNic() = default;

NicCapabilities DpdkNic::capabilities() const noexcept {
  NicCapabilities out = queue_->port->capabilities;
  out.queue = queue_->queue_id;
  return out;
}

NicCounters DpdkNic::counters() const noexcept { return less(count_anew(*queue_), queue_->former); }

bool DpdkNic::link_up() const noexcept { return queue_->port->link_up(); }

/// A reset counts when it is done: before, nothing can be sent.
std::uint64_t DpdkNic::link_interruptions() const noexcept {
  const auto& events = queue_->port->events;
  return events.link_downs.load(std::memory_order_relaxed) +
         events.reopened.load(std::memory_order_relaxed);
}

std::size_t DpdkNic::allocate(std::span<Packet> packets) noexcept {
  auto& q = *queue_;
  std::array<rte_mbuf*, burst_packets_max> mbufs;
  std::size_t filled = 0;
  while (filled < packets.size()) {
    auto want = static_cast<unsigned>(std::min(packets.size() - filled, burst_packets_max));
    if (rte_mempool_get_bulk(q.pool, reinterpret_cast<void**>(mbufs.data()), want) != 0) {
      want = 1;  // the pool is nearly empty: take what is left one by one
      if (rte_mempool_get(q.pool, reinterpret_cast<void**>(mbufs.data())) != 0) break;
    }
    for (auto* mbuf : std::span{mbufs}.first(want)) packets[filled++] = to_empty_packet(mbuf);
  }
  return filled;
}

void DpdkNic::release(std::span<Packet> packets) noexcept {
  auto& q = *queue_;
  std::array<rte_mbuf*, burst_packets_max> mbufs;
  std::size_t count = 0;
  for (auto& packet : packets) {
    if (!packet) continue;
    mbufs[count++] = static_cast<rte_mbuf*>(packet.release_handle());
    if (count == mbufs.size()) give_back(q, std::span{mbufs}.first(std::exchange(count, 0U)));
  }
  if (count > 0) give_back(q, std::span{mbufs}.first(count));
}

std::size_t DpdkNic::rx_burst(Instant, std::span<Packet> packets) noexcept {
  auto& q = *queue_;
  if (!q.registered) [[unlikely]] {
    q.registered = true;
    register_thread();
  }
  const auto room = std::min(packets.size(), burst_packets_max);
  if (q.stashed > 0) [[unlikely]] {
    const auto count = std::min<std::size_t>(room, q.stashed);
    const auto delivered = deliver(q, std::span{q.stash}.first(count), packets);
    std::copy(q.stash.begin() + static_cast<std::ptrdiff_t>(count),
              q.stash.begin() + static_cast<std::ptrdiff_t>(q.stashed), q.stash.begin());
    q.stashed -= static_cast<std::uint32_t>(count);
    return delivered;
  }
  std::array<rte_mbuf*, burst_packets_max> mbufs;
  const auto count = receive(q, std::span{mbufs}.first(room));
  return count == 0 ? 0 : deliver(q, std::span{mbufs}.first(count), packets);
}

std::size_t DpdkNic::tx_burst(Instant, std::span<Packet> packets) noexcept {
  auto& q = *queue_;
  const auto count = std::min(packets.size(), burst_packets_max);
  if (count == 0 || !q.enter()) return 0;
  std::array<rte_mbuf*, burst_packets_max> mbufs;
  for (std::size_t i = 0; i < count; ++i) mbufs[i] = to_mbuf(q, packets[i]);
  const std::size_t sent =
      rte_eth_tx_burst(q.port_id, q.queue_id, mbufs.data(), static_cast<std::uint16_t>(count));
  q.gate.leave();
  for (std::size_t i = 0; i < sent; ++i) {
    q.counters.tx_bytes += packets[i].length();
    static_cast<void>(packets[i].release_handle());
  }
  q.counters.tx_packets += sent;
  return sent;
}

std::size_t DpdkNic::wait_descriptors(std::span<int> out) noexcept {
  const auto& q = *queue_;
  const auto& fds = q.port->wait_epolls;
  if (out.empty()) return 0;
  if (q.memif_wait != nullptr) {
    out[0] = q.memif_wait->descriptor(q.queue_id);
    return 1;
  }
  if (q.queue_id >= fds.size()) return 0;
  out[0] = fds[q.queue_id];
  return 1;
}

bool DpdkNic::arm_wait() noexcept {
  auto& q = *queue_;
  if (q.stashed > 0) return false;
  if (q.memif_wait == nullptr) {
    q.stashed = receive(q, q.stash);
    return q.stashed == 0;
  }
  if (!ask_to_be_woken(q))  // nobody to wait for, or the link is changing: come back
    return q.port->offline || q.port->unmatched;
  q.stashed = receive(q, q.stash);
  if (q.stashed == 0) {
    // The peer looks at our wish without a fence after its send: a frame may still be in its store
    // buffer. That takes far less than a microsecond.
    rte_delay_us_block(1);
    q.stashed = receive(q, q.stash);
  }
  if (q.stashed == 0) return true;
  disarm_wait();
  return false;
}

void DpdkNic::disarm_wait() noexcept {
  auto& q = *queue_;
  if (q.memif_wait == nullptr) return;
  q.memif_wait->heed_link(q.queue_id);
  q.disarm();
}

std::size_t DpdkNic::pool_available() const noexcept {
  return rte_mempool_avail_count(queue_->pool);
}
std::size_t DpdkNic::pool_size() const noexcept { return queue_->pool->size; }
DpdkDescription DpdkNic::describe() const { return queue_->port->describe(); }

tl::expected<DpdkNic, std::string> DpdkNic::adopt(std::uint16_t port_id, std::uint16_t queue) {
  auto port = detail::DpdkPort::adopt(port_id, queue);
  if (!port) return detail::Failure{port.error()};
  return DpdkNic{detail::make_queue(*port, queue, (*port)->pools.front())};
}

}  // namespace proa
