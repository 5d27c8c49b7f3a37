// Links of both families, with and without a tag, and what goes over them.
#pragma once
#include <utility>
#include <vector>

#include <proa/wire/address_text.hpp>

#include "interface_support.hpp"

namespace interface_tests {

inline const IpAddress six_a = *parse_ip("fd00::1"), six_b = *parse_ip("fd00::2");

/// What every test of `both families` runs over.
struct Link {
  IpAddress a, b, stranger;
  std::uint8_t bits, host_bits;
  VlanId vlan;
  [[nodiscard]] InterfaceOptions options(bool of_a) const {
    InterfaceOptions out = options_of(of_a ? mac_a : mac_b, of_a ? a : b);
    out.addresses = {{of_a ? a : b, bits}};
    out.vlan = vlan;
    return out;
  }
  [[nodiscard]] std::size_t headers() const {
    return link_header_bytes(vlan) + ip_udp_header_bytes(a.is_v4());
  }
};
inline const Link links[] = {{ip_a, ip_b, IpAddress::v4(10, 0, 0, 3), 24, 32, 0},
                             {ip_a, ip_b, IpAddress::v4(10, 0, 0, 3), 24, 32, 5},
                             {six_a, six_b, *parse_ip("fd00::3"), 64, 128, 0},
                             {six_a, six_b, *parse_ip("fd00::3"), 64, 128, 5}};

/// Everything `from` has to say goes to `to`, until both are silent.
inline void talk(Interface& x, Interface& y, Instant now) {
  for (bool said = true; said;) {
    said = false;
    for (auto [from, to] : {std::pair{&x, &y}, std::pair{&y, &x}})
      for (auto frame = control_frame(*from, now); !frame.empty();
           frame = control_frame(*from, now)) {
        said = true;
        static_cast<void>(see(*to, frame, now));
      }
  }
}

inline std::vector<std::byte> datagram(const HeaderTemplate& headers, std::size_t bytes,
                                       UdpChecksumBy how) {
  std::vector<std::byte> frame(headers.size() + bytes, std::byte{7});
  static_cast<void>(headers.finish(frame, how));
  return frame;
}

}  // namespace interface_tests
