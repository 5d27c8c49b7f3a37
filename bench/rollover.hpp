// bench: what the kernel's packet fanout sent to another queue than its hash says.
#pragma once
#include <cstdint>
#include <optional>

#include <linux/if_packet.h>
#include <sys/socket.h>

namespace proa::bench {

/// Packets that the kernel put into another queue than their hash says, because that one was nearly
/// full (PACKET_FANOUT_FLAG_ROLLOVER, which DPDK's driver asks for): of all AF_PACKET sockets of
/// this process, if there are as many as `queues`.
[[nodiscard]] inline std::optional<std::uint64_t> rolled_over(std::uint32_t queues) {
  std::uint64_t sum = 0;
  std::uint32_t sockets = 0;
  for (int socket = 0; socket < 1024; ++socket) {
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_PACKET)
      continue;
    tpacket_rollover_stats stats{};
    size = sizeof stats;
    if (::getsockopt(socket, SOL_PACKET, PACKET_ROLLOVER_STATS, &stats, &size) != 0) continue;
    sum += stats.tp_all;
    ++sockets;
  }
  if (sockets != queues) return std::nullopt;
  return sum;
}

}  // namespace proa::bench
