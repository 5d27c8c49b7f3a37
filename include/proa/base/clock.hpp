// L0: the clock of programs that drive a stack in real time. Declarations only: no other header of
// L0 to L3 reads time.
#pragma once
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// CLOCK_MONOTONIC: the same in every process of the machine. About 25 ns.
[[nodiscard]] Instant monotonic_now() noexcept;

/// Nanoseconds from a cycle counter, by pairs of readings of both: arithmetic only, reads nothing.
/// Never goes back. Where it ran ahead of the system it runs slower until they meet, by half at
/// most (milliseconds ahead it stands still after all): what is measured meanwhile would take no
/// time otherwise. A counter that jumps (a migrated or suspended machine) is measured anew from
/// there.
class CycleLine {
 public:
  /// Both clocks at one moment, as often as is_stale() says. The first pair sets the origin.
  void anchor(std::uint64_t cycles, std::int64_t ns) noexcept;
  /// The same by clocks.cycles() and clocks.ns(), read again if this thread was interrupted in
  /// between.
  template <class Clocks>
  void anchor_by(Clocks&& clocks) noexcept {
    std::int64_t ns = 0;
    std::uint64_t at = 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
      const std::uint64_t before = clocks.cycles();
      ns = clocks.ns();
      at = clocks.cycles();
      if (at - before < uninterrupted_cycles) break;
    }
    anchor(at, ns);
  }
  /// The first two pairs: ready() from then on.
  template <class Clocks>
  void begin_by(Clocks&& clocks) noexcept {
    anchor_by(clocks);
    for (const std::int64_t from = system_ns_; clocks.ns() - from < calibration_ns;) continue;
    anchor_by(clocks);
  }
  /// Also when the counter jumped back (a migrated machine).
  [[nodiscard]] bool is_stale(std::uint64_t cycles) const noexcept {
    return cycles - anchor_cycles_ > stale_after_cycles_;
  }
  /// Nanoseconds at that reading, after the second anchor.
  [[nodiscard]] std::int64_t at(std::uint64_t cycles) noexcept {
    const std::uint64_t since = cycles - anchor_cycles_;
    const auto ns = anchor_ns_ + static_cast<std::int64_t>((since * rate_) >> 32U);
    if (ns > last_ns_) last_ns_ = ns;
    return last_ns_;
  }
  [[nodiscard]] bool ready() const noexcept { return rate_ != 0; }

 private:
  static constexpr std::int64_t calibration_ns = 200'000;  // 50 ns of jitter in it are 250 ppm
  static constexpr std::uint64_t uninterrupted_cycles = 1000;

  [[nodiscard]] bool jumped(std::uint64_t cycles, std::int64_t ns) const noexcept;

  std::uint64_t anchor_cycles_ = 0;
  std::int64_t anchor_ns_ = 0;
  std::int64_t system_ns_ = 0;      // at the anchor
  std::uint64_t first_cycles_ = 0;  // the rate is measured from here on
  std::int64_t first_ns_ = 0;
  std::uint64_t measured_ = 0;  // ns per cycle, 32 fractional bits; 0: not known yet
  std::uint64_t rate_ = 0;      // the same, less while it is ahead
  std::uint64_t stale_after_cycles_ = 0;
  std::int64_t last_ns_ = 0;
};

/// monotonic_now() by the processor's cycle counter where that is invariant (about 10 ns), else by
/// the system. Within a few microseconds of the system's clock, which it consults every 50 ms.
/// Never goes back. One per thread.
class CycleClock {
 public:
  CycleClock() noexcept;
  [[nodiscard]] Instant operator()() noexcept;

 private:
  CycleLine line_;
};

}  // namespace proa
