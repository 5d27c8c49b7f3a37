// bench: what relays without any transport cost in the layouts of sidecars: references of
// bench_rpc.
#pragma once
#include <cstdint>

#include "netns.hpp"
#include "report_message.hpp"

namespace proa::bench {

struct RelaySetup {
  std::uint32_t size = 64;   // bytes of a message
  std::uint32_t window = 1;  // messages outstanding
  double seconds = 0.3;      // of measuring
  int core_a = 0;            // shared memory: both ends; sockets: one end and its relay
  int core_b = 1;            // shared memory: the relay; sockets: the other end and its relay
};

/// The largest message of the relay over shared memory: what two slots of a channel carry.
inline constexpr std::uint32_t shared_relay_bytes_max = 112;

/// A process on core_b that moves slots between four of the channel's rings; one thread on core_a
/// is both ends.
[[nodiscard]] Outcome measure_shared_relay(const RelaySetup& setup);

/// On each host an end and a relay process that share a core, kernel UDP sockets between all of
/// them: end - loopback - relay - wire - relay - loopback - end. All poll without blocking and
/// give way after a look that found nothing; how a blocking relay compares was not measured.
[[nodiscard]] Outcome measure_udp_relays(const TwoHosts& hosts, const RelaySetup& setup);

}  // namespace proa::bench
