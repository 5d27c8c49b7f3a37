// L2: what Proa asks of a NIC, the least common denominator: bursts in, bursts out, nothing else.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <proa/base/time.hpp>
#include <proa/mem/packet.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// What a queue pair offers beyond bursts. Every "true" is an acceleration with a software
/// fallback.
struct NicCapabilities {
  MacAddress mac;
  std::uint32_t queue = 0;               // which of the port's queue pairs this is
  std::uint32_t frame_bytes_max = 1514;  // largest Ethernet frame without FCS, both directions
  std::uint32_t burst_packets_max = 32;
  std::uint32_t queue_descriptors = 256;  // the smaller of the receive and transmit ring
  // The most frames that can lie unread, in the ring and behind it; rather too many than too few.
  std::uint32_t rx_backlog_packets = 4096;
  bool tx_ip_checksum = false;
  bool tx_udp_checksum = false;
  bool rx_checksum = false;
};

/// Cumulative since start; "seen by the NIC, lost before or after the stack".
struct NicCounters {
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0;
  std::uint64_t rx_missed = 0;  // ring overrun
  std::uint64_t rx_errors = 0, tx_errors = 0;
  std::uint64_t rx_no_buffer = 0;  // pool exhausted
  std::uint64_t link_downs = 0;    // times the cable was lost
  std::uint64_t resets = 0;        // times the driver wanted the port set up anew
  std::uint64_t removals = 0;      // times the device went away
  std::uint64_t reopened = 0;      // times a reset or removed port was in use again
  std::uint64_t mismatches = 0;    // times a peer had too few queue pairs to be served
};

namespace detail {
template <class N>
concept NicDescribes = requires(const N& nic) {
  { nic.capabilities() }
  noexcept->std::convertible_to<NicCapabilities>;
  { nic.counters() }
  noexcept->std::same_as<NicCounters>;
  { nic.link_up() }
  noexcept->std::same_as<bool>;
  // Times the link was lost or the port set up anew, of the whole port: whoever looks now and then
  // misses none that was over in between. Cheap, unlike counters().
  { nic.link_interruptions() }
  noexcept->std::same_as<std::uint64_t>;
};
template <class N>
concept NicPools = requires(N& nic, std::span<Packet> packets) {
  // Fills a prefix with empty buffers (length 0, >= frame_bytes_max capacity); returns its size.
  { nic.allocate(packets) }
  noexcept->std::same_as<std::size_t>;
  // Takes every packet back into the pool.
  { nic.release(packets) }
  noexcept->std::same_as<void>;
};
template <class N>
concept NicBursts = requires(N& nic, Instant now, std::span<Packet> packets) {
  // Fills a prefix of `packets` with received frames; the caller owns them until release().
  { nic.rx_burst(now, packets) }
  noexcept->std::same_as<std::size_t>;
  // Takes a prefix; the rest stays the caller's.
  { nic.tx_burst(now, packets) }
  noexcept->std::same_as<std::size_t>;
};
template <class N>
concept NicWaits = requires(N& nic, std::span<int> out) {
  // Descriptors that become readable when a frame arrives, for a thread about to sleep: fills a
  // prefix of `out`, returns its size; 0 means "cannot say, poll me now and then".
  { nic.wait_descriptors(out) }
  noexcept->std::same_as<std::size_t>;
  // Before sleeping on them / after waking; false from arm_wait(): do not sleep, packets are there.
  { nic.arm_wait() }
  noexcept->std::same_as<bool>;
  { nic.disarm_wait() }
  noexcept->std::same_as<void>;
};
}  // namespace detail

/// One queue pair of a port. Belongs to one thread. Never reads or writes application memory.
template <class N>
concept Nic =
    detail::NicDescribes<N> && detail::NicPools<N> && detail::NicBursts<N> && detail::NicWaits<N>;

/// The smallest model of the concept: proves that nothing more is asked for.
struct NicArchetype {
  NicCapabilities capabilities() const noexcept { return {}; }
  NicCounters counters() const noexcept { return {}; }
  bool link_up() const noexcept { return true; }
  std::uint64_t link_interruptions() const noexcept { return 0; }
  std::size_t allocate(std::span<Packet>) noexcept { return 0; }
  void release(std::span<Packet>) noexcept {}
  std::size_t rx_burst(Instant, std::span<Packet>) noexcept { return 0; }
  std::size_t tx_burst(Instant, std::span<Packet>) noexcept { return 0; }
  std::size_t wait_descriptors(std::span<int>) noexcept { return 0; }
  bool arm_wait() noexcept { return true; }
  void disarm_wait() noexcept {}
};
static_assert(Nic<NicArchetype>);

}  // namespace proa
