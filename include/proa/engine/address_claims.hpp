// L3: stations that claim an address of ours and may be gateways: whom to judge, and when.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <proa/base/time.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// RFC 5227 (2.1.1, 2.4) and RFC 4862 (5.4.4) call every other station that claims an address of
/// ours a conflict and know no proxies; but the fabrics of clouds (Azure, AWS) and routers with
/// proxy ARP (RFC 1027, RFC 4389) answer for every address, ours included. So a station that also
/// speaks for a gateway of ours is a gateway, whatever else it claims, and no duplicate. Several
/// may speak for one gateway (a pair of routers each of which answers everything) and the neighbour
/// cache knows the last one only: all are remembered here. Whoever lies about the gateway escapes
/// the warning, nothing else.
///
/// Bookkeeping only: the interface asks and judges. Belongs to one engine's thread.
class AddressClaims {
 public:
  struct Claim {
    MacAddress by;
    std::uint64_t times = 0;
    Instant judged_at = never;
  };
  static constexpr std::size_t stations_max = 4;  // that wait for judgement
  static constexpr std::size_t gateways_max = 8;  // the last ones

  /// One more claim of that station; what must be judged now because it is one station too many.
  [[nodiscard]] std::optional<Claim> note(const MacAddress& by, Instant judged_at) noexcept {
    std::optional<Claim> oldest;
    Claim* claim = find(by);
    if (claim == nullptr) {
      claim = &*std::min_element(claims_.begin(), claims_.end(), is_before);
      if (claim->times != 0) oldest = *claim;
      *claim = {by, 0, judged_at};
    }
    ++claim->times;
    return oldest;
  }
  /// All of that station.
  [[nodiscard]] std::optional<Claim> take(const MacAddress& by) noexcept {
    Claim* const claim = find(by);
    if (claim == nullptr) return std::nullopt;
    return std::exchange(*claim, Claim{});
  }
  /// All of a station whose time has come; call until it returns nothing.
  [[nodiscard]] std::optional<Claim> take_due(Instant now) noexcept {
    for (Claim& claim : claims_)
      if (now >= claim.judged_at) return std::exchange(claim, Claim{});
    return std::nullopt;
  }
  [[nodiscard]] Instant next_timeout() const noexcept {
    Instant next = never;
    for (const Claim& claim : claims_) next = std::min(next, claim.judged_at);
    return next;
  }

  void speaks_for_gateway(const MacAddress& mac) noexcept {
    if (has_spoken_for_gateway(mac)) return;
    gateways_[gateways_heard_++ % gateways_max] = mac;
  }
  [[nodiscard]] bool has_spoken_for_gateway(const MacAddress& mac) const noexcept {
    const auto end =
        gateways_.begin() + static_cast<std::ptrdiff_t>(std::min(gateways_heard_, gateways_max));
    return std::find(gateways_.begin(), end, mac) != end;
  }

 private:
  [[nodiscard]] Claim* find(const MacAddress& by) noexcept {
    for (Claim& claim : claims_)
      if (claim.times != 0 && claim.by == by) return &claim;
    return nullptr;
  }
  /// Free places first.
  [[nodiscard]] static bool is_before(const Claim& a, const Claim& b) noexcept {
    if ((a.times == 0) != (b.times == 0)) return a.times == 0;
    return a.judged_at < b.judged_at;
  }

  std::array<Claim, stations_max> claims_{};
  std::array<MacAddress, gateways_max> gateways_{};
  std::size_t gateways_heard_ = 0;
};

}  // namespace proa
