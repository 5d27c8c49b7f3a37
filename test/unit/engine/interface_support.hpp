// What tests of engine/interface.hpp share: interfaces, frames, and what becomes of them.
#pragma once
#include <catch2/catch.hpp>
#include <ostream>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/engine/interface.hpp>

#include "../wire/linux_frames.hpp"

namespace interface_tests {

using namespace proa;
using namespace std::chrono_literals;

inline constexpr MacAddress mac_a{{2, 0, 0, 0, 0, 0xa}}, mac_b{{2, 0, 0, 0, 0, 0xb}};
inline constexpr IpAddress ip_a = IpAddress::v4(10, 0, 0, 1), ip_b = IpAddress::v4(10, 0, 0, 2);
inline constexpr UdpPorts ports{50'000, 60'000};

inline InterfaceOptions options_of(const MacAddress& mac, const IpAddress& ip) {
  InterfaceOptions options;
  options.mac = mac;
  options.addresses = {{ip, 24}};
  options.announce = false;
  return options;
}

inline Interface make(const InterfaceOptions& options) {
  auto plan = InterfacePlan::make(options);
  if (!plan) FAIL(plan.error());
  return Interface{*plan};
}

inline Packet packet_over(std::vector<std::byte>& bytes) {
  return Packet{bytes.data(), static_cast<std::uint32_t>(bytes.size()), 0,
                static_cast<std::uint16_t>(bytes.size()), bytes.data()};
}

struct Seen {
  Arrived kind;
  Drop drop;
};
inline bool operator==(const Seen& a, const Seen& b) {
  return a.kind == b.kind && a.drop == b.drop;
}
inline std::ostream& operator<<(std::ostream& out, const Seen& s) {
  return out << static_cast<int>(s.kind) << ' ' << text(s.drop);
}
inline constexpr Seen accepted{Arrived::datagram, Drop::none},
    consumed{Arrived::consumed, Drop::none};
constexpr Seen refused(Drop drop) { return {Arrived::refused, drop}; }

/// Classifies a frame that lies on the heap with nothing behind it.
inline Seen see(Interface& by, ByteView frame, Instant now = Instant{1s},
                PacketFlag flag = PacketFlag::none) {
  linux_frames::Exact exact{frame};
  Packet packet{exact.span().data(), static_cast<std::uint32_t>(frame.size()), 0,
                static_cast<std::uint16_t>(frame.size()), &exact};
  packet.set(flag);
  const Classified got = by.classify(packet, now);
  return {got.kind, got.drop};
}

inline Interface linux_peer_b() { return make(options_of(mac_b, ip_b)); }

/// Makes the IPv4 header checksum right again after a change.
inline void mend(std::vector<std::byte>& frame) {
  store_be<std::uint16_t>(frame.data() + 24, 0);
  store_be(frame.data() + 24, internet_checksum(ByteView{frame}.subspan(14, 20)));
}

/// Gives the frame perhaps another length, and any flag, and wants one verdict of both: true if it
/// holds a datagram.
inline bool both_accept(Interface& one, Interface& other, std::vector<std::byte> frame,
                        Prng& prng) {
  if (prng.chance(1, 8)) frame.resize(prng.below(frame.size() + 1));
  if (prng.chance(1, 8)) frame.resize(frame.size() + prng.below(20));
  const auto flag = static_cast<PacketFlag>(prng.below(8));
  const Seen seen = see(one, frame, Instant{1s}, flag);
  REQUIRE(seen == see(other, frame, Instant{1s}, flag));
  return seen == accepted;
}

inline std::vector<std::byte> control_frame(Interface& from, Instant now) {
  std::vector<std::byte> out(1514);
  out.resize(from.poll_control(now, out));
  return out;
}

}  // namespace interface_tests
