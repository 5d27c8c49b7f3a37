// bench: TCP and UDP echo over kernel sockets between two hosts, measured once.
#pragma once
#include <cstdint>

#include "netns.hpp"
#include "report_message.hpp"

namespace proa::bench {

enum class KernelProtocol : std::uint8_t { tcp, udp };
enum class KernelWaiting : std::uint8_t { polled, blocking };

struct KernelSetup {
  KernelProtocol protocol = KernelProtocol::tcp;
  KernelWaiting waiting = KernelWaiting::polled;
  std::uint32_t size = 64;   // bytes of a message, 1 to 65507
  std::uint32_t window = 1;  // messages outstanding
  double seconds = 0.3;      // of measuring
  int core_a = 0, core_b = 1;
};

/// rtt_*, rate. The server is a process on host 1, the client a thread on host 0; without hosts
/// both are here and talk over the loopback interface.
[[nodiscard]] Outcome measure_kernel(const TwoHosts* hosts, const KernelSetup& setup);

}  // namespace proa::bench
