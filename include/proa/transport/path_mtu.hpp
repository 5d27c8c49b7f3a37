// L2: how large a flow's packets may be (RFC 8899, DPLPMTUD), as pure arithmetic.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// RFC 8899 5.1.2 (BASE_PLPMTU): the IPv6 minimum MTU of 1280 (RFC 8200 5) less its 40 and UDP's 8
/// bytes. Taken as working everywhere, over IPv4 too. All sizes here are Proa packets.
inline constexpr std::uint32_t path_bytes_base = 1280 - 40 - 8;

/// Searches upward while a flow has full packets to send, so a flow of small messages never probes.
/// The largest size is tried first: mostly the interface's MTU is the path's, and one round trip
/// finds that out. Then the sizes that networks really have, by halving.
class PathMtu {
 public:
  /// `start`: a size remembered of this path, or 0.
  PathMtu(std::uint32_t start, std::uint32_t bytes_max) noexcept
      : max_(narrow(bytes_max)), current_(std::min(std::max(narrow(start), base()), max_)) {
    open_search();
  }

  /// How large packets are now.
  [[nodiscard]] std::uint32_t packet_bytes() const noexcept { return current_; }
  /// What packets sent to find out whether anything passes at all are held to.
  [[nodiscard]] std::uint16_t base() const noexcept {
    return std::min(max_, narrow(path_bytes_base));
  }

  /// Asked of every packet with more data waiting behind it: would a larger one have been used?
  [[nodiscard]] bool was_too_small(std::size_t bytes) const noexcept {
    return current_ < max_ && bytes + nearly_full > current_;
  }
  /// Whether a probe should go now: none is under way and a larger size is worth trying.
  [[nodiscard]] bool wants_probe(Instant now) noexcept {
    if (probe_ != 0) return false;
    if (now >= raise_at_) open_search();  // RFC 8899 5.2: PMTU_RAISE_TIMER
    return next_candidate() != 0;
  }
  /// Begins a probe; returns its size. `room` is the largest packet the caller can build.
  [[nodiscard]] std::uint32_t begin_probe(std::size_t room) noexcept {
    if (room < max_) limit(narrow(static_cast<std::uint32_t>(room)));
    return probe_ = next_candidate();
  }

  /// A probe of that size arrived. True: packets are larger now.
  bool on_probe_acked(std::uint32_t bytes, Instant now) noexcept {
    if (bytes == probe_) probe_ = 0;
    if (bytes <= current_) return false;
    current_ = std::min(narrow(bytes), max_);
    ceiling_ = std::max<std::uint32_t>(ceiling_, current_ + 1U);
    failures_ = 0;
    doubted_ = 0;
    if (current_ < max_ && next_candidate() == 0) wait_to_raise(now);
    return true;
  }
  /// RFC 8899 5.1.2 (MAX_PROBES): three losses, for one of them says nothing about size.
  void on_probe_lost(std::uint32_t bytes, Instant now) noexcept {
    if (bytes != probe_) return;
    probe_ = 0;
    if (bytes == doubted_) {
      doubted_ = 0;
    } else {
      if (bytes >= ceiling_ || ++failures_ < probes_max) return;
      failures_ = 0;
      ceiling_ = bytes;
    }
    if (next_candidate() == 0) wait_to_raise(now);
  }
  /// RFC 8899 4.3: packets of the present size vanish while smaller ones arrive. True: they are
  /// smaller now. It may have been bad luck: one probe of the former size goes before the search
  /// below it.
  bool on_black_hole() noexcept {
    if (current_ <= base()) return false;
    doubted_ = current_;
    ceiling_ = current_;
    current_ = base();
    failures_ = 0;
    return true;
  }

 private:
  static constexpr std::uint32_t probes_max = 3;
  static constexpr std::uint32_t nearly_full = 256;  // messages are not split into less
  // RFC 8899 5.1.1 says 600 s; a size lost to a burst of congestion shall not stay lost that long,
  // so the first waits are short: 1 s, doubling.
  static constexpr Duration raise_first = std::chrono::seconds{1};
  static constexpr Duration raise_max = std::chrono::seconds{600};

  // MTUs that networks have, less the headers of IPv6 and of IPv4: 1440 (tunnels), 1460 (Google's
  // default), 1500, 4000 (Azure), 8896 (Google's largest), 9000.
  static constexpr std::array<std::uint16_t, 11> common{1392, 1412, 1432, 1452, 1472, 3952,
                                                        3972, 8848, 8868, 8952, 8972};

  [[nodiscard]] static constexpr std::uint16_t narrow(std::uint32_t bytes) noexcept {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(bytes, 0xffff));
  }
  void open_search() noexcept {
    ceiling_ = max_ + 1U;
    raise_at_ = never;
    failures_ = 0;
    doubted_ = 0;
  }
  void wait_to_raise(Instant now) noexcept {
    raise_at_ = later(now, std::min(raise_first * (std::int64_t{1} << waits_), raise_max));
    if (waits_ < 10) ++waits_;
  }
  void limit(std::uint16_t room) noexcept {
    max_ = room;
    current_ = std::min(current_, max_);
    doubted_ = std::min(doubted_, max_);
    ceiling_ = std::min<std::uint32_t>(ceiling_, max_ + 1U);
  }
  /// The next size between what works and what does not; 0: none.
  [[nodiscard]] std::uint16_t next_candidate() const noexcept {
    if (current_ >= max_) return 0;
    if (doubted_ != 0) return doubted_;
    if (ceiling_ > max_) return max_;
    const auto* const low = std::upper_bound(common.begin(), common.end(), current_);
    const auto* const high = std::lower_bound(low, common.end(), ceiling_);
    return low == high ? std::uint16_t{0} : *(low + (high - low) / 2);
  }

  Instant raise_at_ = never;
  std::uint32_t ceiling_ = 0;  // the smallest size known not to work, or max_ + 1
  std::uint16_t max_;
  std::uint16_t current_;
  std::uint16_t probe_ = 0;    // size of the probe under way, or 0
  std::uint16_t doubted_ = 0;  // the size before a black hole, until its probe is judged, or 0
  std::uint8_t failures_ = 0;
  std::uint8_t waits_ = 0;
};

}  // namespace proa
