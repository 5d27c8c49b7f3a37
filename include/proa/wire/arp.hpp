// L1: ARP for Ethernet and IPv4 (RFC 826).
//
//    0          2           4     5     6           8            14          18           24
//   +----------+-----------+-----+-----+-----------+------------+-----------+------------+----------
//   | hardware | protocol  | hw  | pr  | operation | sender MAC | sender IP | target MAC | target
//   IP | 1        | 0x0800    | 6   | 4   | 1 ask 2 * |            |           |            | (to
//   28)
//   +----------+-----------+-----+-----+-----------+------------+-----------+------------+----------
#pragma once
#include <cstdint>

#include <proa/base/bytes.hpp>
#include <proa/wire/address.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/ethernet.hpp>

namespace proa {

inline constexpr std::size_t arp_bytes = 28;

enum class ArpOperation : std::uint16_t { request = 1, reply = 2 };

struct ArpPacket {
  ArpOperation operation{};
  MacAddress sender_mac;
  IpAddress sender_ip;  // 0.0.0.0 in a probe (RFC 5227)
  MacAddress target_mac;
  IpAddress target_ip;
};

[[nodiscard]] inline Parsed<ArpPacket> parse_arp(ByteView bytes) noexcept {
  const auto in = FixedReader<arp_bytes>::over(bytes);
  if (!in) return dropped(Drop::truncated);
  if (in->be<std::uint16_t, 0>() != 1 || in->be<std::uint16_t, 2>() != 0x0800 ||
      in->be<std::uint8_t, 4>() != 6 || in->be<std::uint8_t, 5>() != 4)
    return dropped(Drop::bad_arp);
  ArpPacket out;
  out.operation = static_cast<ArpOperation>(in->be<std::uint16_t, 6>());
  if (out.operation != ArpOperation::request && out.operation != ArpOperation::reply)
    return dropped(Drop::bad_arp);
  out.sender_mac = load_mac(in->bytes<8, 6>());
  out.sender_ip = IpAddress::v4(in->be<std::uint32_t, 14>());
  out.target_mac = load_mac(in->bytes<18, 6>());
  out.target_ip = IpAddress::v4(in->be<std::uint32_t, 24>());
  // Nobody can be reached at a group or zero MAC address, nor at a group IP address.
  if (out.sender_mac.is_multicast() || out.sender_mac.is_zero() ||
      (out.sender_ip.to_v4() >> 28) >= 0xe)
    return dropped(Drop::bad_arp);
  return out;
}

/// Both addresses must be IPv4.
inline void write_arp(std::span<std::byte, arp_bytes> to, const ArpPacket& arp) noexcept {
  store_be<std::uint16_t>(to.data(), 1);
  store_be<std::uint16_t>(to.data() + 2, 0x0800);
  to[4] = std::byte{6};
  to[5] = std::byte{4};
  store_be(to.data() + 6, static_cast<std::uint16_t>(arp.operation));
  store_mac(to.data() + 8, arp.sender_mac);
  store_be(to.data() + 14, arp.sender_ip.to_v4());
  store_mac(to.data() + 18, arp.target_mac);
  store_be(to.data() + 24, arp.target_ip.to_v4());
}

}  // namespace proa
