// L2: what the simulator's NIC is like: its queues, rings, pool, hash and cable.
#pragma once
#include <cstdint>

#include <proa/nic/sim_link.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// How a port spreads received frames over its queues; the stack can neither read nor set it.
enum class SimRss : std::uint8_t {
  opaque,     // a secret hash of addresses and ports
  symmetric,  // the same queue for both directions of a pair of ports
  ordered,    // as seen at EC2: source and destination ordered by value, their low 16 bits only
  low_bits,   // a weak hash: only the low bits of the two ports
  constant,   // always the same queue
};

struct SimPortOptions {
  MacAddress mac{};
  std::uint32_t queues = 1;
  std::uint32_t descriptors = 256;       // of each receive and each transmit ring
  std::uint32_t pool_packets = 4096;     // buffers one queue pair may have out at a time
  std::uint32_t frame_bytes_max = 1514;  // without FCS
  bool promiscuous = false;
  SimRss rss = SimRss::opaque;
  SimLinkOptions link{};
  friend bool operator==(const SimPortOptions&, const SimPortOptions&) = default;
};

}  // namespace proa
