// Test help: Ethernet frames for the NIC tests and bursts of one.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <proa/base/bytes.hpp>
#include <proa/nic/nic.hpp>
#include <proa/nic/sim.hpp>

namespace proa::test {

inline constexpr MacAddress mac_a{{0x02, 0, 0, 0, 0, 0x0a}};
inline constexpr MacAddress mac_b{{0x02, 0, 0, 0, 0, 0x0b}};
inline constexpr MacAddress mac_c{{0x02, 0, 0, 0, 0, 0x0c}};
inline constexpr Instant start{};
inline Instant at_us(std::int64_t us) { return start + std::chrono::microseconds{us}; }

inline std::byte octet(std::uint64_t v) { return static_cast<std::byte>(v & 0xffU); }

/// A frame of `length` bytes (at least 14) with a local experimental type and a marked payload.
inline std::vector<std::byte> ethernet(MacAddress from, MacAddress to, std::size_t length = 64,
                                       std::uint32_t mark = 0) {
  std::vector<std::byte> out(length);
  for (std::size_t i = 0; i < 6; ++i) {
    out[i] = octet(to.octets[i]);
    out[6 + i] = octet(from.octets[i]);
  }
  store_be<std::uint16_t>(out.data() + 12, std::uint16_t{0x88b5});
  for (std::size_t i = 14; i < length; ++i) out[i] = octet(i * 7 + mark);
  if (length >= 18) store_be<std::uint32_t>(out.data() + 14, mark);
  return out;
}

inline std::uint32_t mark_of(const Packet& packet) {
  return load_be<std::uint32_t>(packet.bytes().data() + 14);
}

/// An IPv4 UDP frame (checksums left zero).
inline std::vector<std::byte> udp4(MacAddress from, MacAddress to, std::uint32_t source,
                                   std::uint32_t destination, std::uint16_t source_port,
                                   std::uint16_t destination_port) {
  auto out = ethernet(from, to, 14 + 20 + 8 + 18);
  store_be<std::uint16_t>(out.data() + 12, std::uint16_t{0x0800});
  std::byte* ip = out.data() + 14;
  std::fill(ip, ip + 28, std::byte{0});
  ip[0] = std::byte{0x45};
  ip[8] = std::byte{64};  // TTL
  store_be<std::uint16_t>(ip + 2, std::uint16_t{46});
  ip[9] = std::byte{17};
  store_be<std::uint32_t>(ip + 12, source);
  store_be<std::uint32_t>(ip + 16, destination);
  store_be<std::uint16_t>(ip + 20, source_port);
  store_be<std::uint16_t>(ip + 22, destination_port);
  store_be<std::uint16_t>(ip + 24, std::uint16_t{26});
  return out;
}

/// Sends one frame; false if the NIC had no buffer or no room in its ring.
template <Nic N>
bool send(N& nic, Instant now, std::span<const std::byte> frame) {
  std::array<Packet, 1> packet;
  if (nic.allocate(packet) != 1) return false;
  std::copy(frame.begin(), frame.end(), packet[0].storage().begin());
  packet[0].set_length(static_cast<std::uint32_t>(frame.size()));
  if (nic.tx_burst(now, packet) == 1) return true;
  nic.release(packet);
  return false;
}

/// Receives everything there is, as copies; all buffers go back.
template <Nic N>
std::vector<std::vector<std::byte>> receive(N& nic, Instant now) {
  std::vector<std::vector<std::byte>> out;
  std::array<Packet, 32> packets;
  while (const std::size_t n = nic.rx_burst(now, packets)) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto bytes = std::as_const(packets[i]).bytes();
      out.emplace_back(bytes.begin(), bytes.end());
    }
    nic.release(std::span{packets}.first(n));
  }
  return out;
}

inline std::uint32_t mark_of(const std::vector<std::byte>& frame) {
  return load_be<std::uint32_t>(frame.data() + 14);
}

/// Two ports of one network, one queue pair each, quick links.
struct Pair {
  explicit Pair(std::uint64_t seed = 1, SimPortOptions options = {})
      : network(seed),
        port_a(network, with(options, mac_a)),
        port_b(network, with(options, mac_b)),
        a(port_a.nic()),
        b(port_b.nic()) {}
  static SimPortOptions with(SimPortOptions options, MacAddress mac) {
    options.mac = mac;
    return options;
  }
  SimNetwork network;
  SimPort port_a, port_b;
  SimNic a, b;
};

}  // namespace proa::test
