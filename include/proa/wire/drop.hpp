// L1: every way a received packet can be refused, at every layer: one name, one counter each.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <tl/expected.hpp>

namespace proa {

/// `none` means accepted. One list for all layers, so that a counter means the same everywhere.
enum class Drop : std::uint8_t {
  none = 0,
  // any layer
  truncated,  // shorter than its own headers or length fields say
  // Ethernet, ARP
  not_for_us,         // another station's MAC address, or an IP address that is not ours
  wrong_vlan,         // a VLAN tag that is not the interface's, or none where it has one
  unknown_ethertype,  // neither ARP nor IP, or more than one VLAN tag
  bad_arp,            // not Ethernet/IPv4, or a multicast or own sender address
  bad_neighbour,      // IPv6 neighbour discovery that RFC 4861 (7.1) tells to discard
  // IP, ICMP
  bad_ip_header,  // version, header length or total length impossible
  bad_ip_source,  // multicast, broadcast, unspecified or our own address as the source
  ip_fragment,    // Proa never fragments and never reassembles
  ip_extension,   // an IPv6 extension header nobody here understands
  not_udp,        // an IP protocol other than UDP and ICMP
  icmp_ignored,   // a well-formed ICMP message that asks nothing of us
  control_limit,  // an answer is due, but the answer queue is full or its rate limit reached
  // UDP
  outside_port_range,  // a UDP port, of either end, outside the configured range
  bad_length,          // a length field that contradicts the bytes around it
  bad_checksum,        // IP, ICMP, UDP or Crc32c
  // Proa header and frames
  bad_version,
  bad_type,
  bad_frame,
  // flows
  unknown_flow,
  stale_packet,        // packet number outside the receive window of +-2^20
  duplicate_packet,    // packet number seen before
  out_of_window,       // message or offset beyond what the receiver can hold
  no_memory,           // receive memory used up: dropped unacknowledged, the peer resends
  credit_exceeded,     // the peer sent more than it was allowed
  protocol_violation,  // what no correct peer sends
  wrong_incarnation,   // a former life of the peer or of this host
  no_listener,
  flow_limit,
  flow_ended,
  busy,               // answered with RETRY, or refused under load
  bad_cookie,         // a RETRY cookie that is wrong or too old
  handover_full,      // the owning engine's hand-over queue was full: loss recovery repairs it
  handover_too_long,  // longer than that queue takes: two interfaces with different MTUs
  count_
};

inline constexpr std::size_t drop_count = static_cast<std::size_t>(Drop::count_);

/// A short name for counters and tools, the enumerator's own spelling.
[[nodiscard]] constexpr std::string_view text(Drop drop) noexcept {
  constexpr std::array<std::string_view, drop_count> names{
      "none",
      "truncated",
      "not_for_us",
      "wrong_vlan",
      "unknown_ethertype",
      "bad_arp",
      "bad_neighbour",
      "bad_ip_header",
      "bad_ip_source",
      "ip_fragment",
      "ip_extension",
      "not_udp",
      "icmp_ignored",
      "control_limit",
      "outside_port_range",
      "bad_length",
      "bad_checksum",
      "bad_version",
      "bad_type",
      "bad_frame",
      "unknown_flow",
      "stale_packet",
      "duplicate_packet",
      "out_of_window",
      "no_memory",
      "credit_exceeded",
      "protocol_violation",
      "wrong_incarnation",
      "no_listener",
      "flow_limit",
      "flow_ended",
      "busy",
      "bad_cookie",
      "handover_full",
      "handover_too_long",
  };
  const auto at = static_cast<std::size_t>(drop);
  return at < names.size() ? names[at] : "unknown";
}
static_assert(text(Drop::truncated) == "truncated" &&
              text(Drop::handover_too_long) == "handover_too_long");

/// What parsing gives: a value that cannot be wrong, or the reason there is none.
template <class T>
using Parsed = tl::expected<T, Drop>;
[[nodiscard]] inline tl::unexpected<Drop> dropped(Drop why) noexcept {
  return tl::unexpected<Drop>{why};
}

/// One counter per reason; a packet adds to exactly one. Belongs to one thread.
class DropCounters {
 public:
  constexpr void add(Drop drop) noexcept { ++counts_[static_cast<std::size_t>(drop)]; }
  [[nodiscard]] constexpr std::uint64_t operator[](Drop drop) const noexcept {
    return counts_[static_cast<std::size_t>(drop)];
  }
  /// All refused packets; those counted under `none` were accepted.
  [[nodiscard]] constexpr std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 1; i < drop_count; ++i) sum += counts_[i];
    return sum;
  }
  constexpr DropCounters& operator+=(const DropCounters& other) noexcept {
    for (std::size_t i = 0; i < drop_count; ++i) counts_[i] += other.counts_[i];
    return *this;
  }

 private:
  std::array<std::uint64_t, drop_count> counts_{};
};

}  // namespace proa
