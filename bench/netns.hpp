// bench: two hosts on one machine: two network namespaces with a veth pair between them.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include <tl/expected.hpp>

namespace proa::bench {

/// Two nameless network namespaces and the wire between them. The system removes them with the last
/// process that is inside or holds this object: nothing is left behind, even after a kill.
/// Host 0 has 10.117.0.1/24 and fd00:117::1/64, host 1 has 10.117.0.2/24 and fd00:117::2/64, both
/// on an interface called `wire0`.
class TwoHosts {
 public:
  static constexpr const char* interface = "wire0";

  /// Needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN); else a sentence that says so.
  /// `mtu` in bytes. Checksum and segmentation offload is on, as Linux makes veth pairs, unless
  /// `plain`: then every frame on the wire has its checksums filled in, for peers that look.
  [[nodiscard]] static tl::expected<TwoHosts, std::string> make(std::uint32_t mtu = 1500,
                                                                bool plain = false);
  TwoHosts(TwoHosts&& other) noexcept;
  TwoHosts& operator=(TwoHosts&&) = delete;
  TwoHosts(const TwoHosts&) = delete;
  ~TwoHosts();

  /// Moves the calling thread into host 0 or 1: sockets it makes from now on are there.
  bool enter(std::size_t host) const noexcept;
  [[nodiscard]] static const char* address(std::size_t host) noexcept {
    return host == 0 ? "10.117.0.1" : "10.117.0.2";
  }

 private:
  TwoHosts() = default;
  std::array<int, 2> namespaces_{-1, -1};
};

}  // namespace proa::bench
