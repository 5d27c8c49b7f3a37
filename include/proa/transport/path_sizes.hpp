// L2: what an engine remembers of the packet sizes that reach its peers.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <proa/base/endpoint.hpp>
#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>

namespace proa {

/// A bounded table by peer address: a flow that finds or loses a size notes it, the next flow to
/// that peer starts there. What is older than age_max is not believed (a route may have changed);
/// in a full set the oldest entry gives way. Nothing here comes from a peer's word.
class PathSizes {
 public:
  static constexpr std::size_t entries_max = 1024;
  static constexpr Duration age_max = std::chrono::minutes{10};  // RFC 8899: PMTU_RAISE_TIMER

  /// Proa packet bytes that reached `peer` before; 0: nothing is known.
  [[nodiscard]] std::uint32_t find(const IpAddress& peer, Instant now) const noexcept {
    for (const Entry& entry : sets_[set_of(peer)])
      if (entry.bytes != 0 && entry.peer == peer)
        return now - entry.noted_at <= age_max ? entry.bytes : 0;
    return 0;
  }
  void note(const IpAddress& peer, std::uint32_t bytes, Instant now) noexcept {
    Entry* place = nullptr;
    for (Entry& entry : sets_[set_of(peer)]) {
      if (entry.bytes != 0 && entry.peer == peer) {
        place = &entry;
        break;
      }
      if (place == nullptr || rank(entry) < rank(*place)) place = &entry;
    }
    *place = {peer, bytes, now};
  }

 private:
  struct Entry {
    IpAddress peer;
    std::uint32_t bytes = 0;  // 0: free
    Instant noted_at{};
  };
  static constexpr std::size_t ways = 4;
  static constexpr std::size_t sets = entries_max / ways;

  [[nodiscard]] static Instant rank(const Entry& entry) noexcept {
    return entry.bytes == 0 ? Instant::min() : entry.noted_at;
  }
  [[nodiscard]] static std::size_t set_of(const IpAddress& peer) noexcept {
    std::uint64_t half[2];
    std::memcpy(half, peer.octets.data(), sizeof half);
    return Prng{half[0] ^ (half[1] * 0x9e37'79b9'7f4a'7c15U)}.next() % sets;
  }

  std::array<std::array<Entry, ways>, sets> sets_{};
};

}  // namespace proa
