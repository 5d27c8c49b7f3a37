// L0: the clock of programs that drive a stack in real time. Declarations only: no other header of
// L0 to L3 reads time.
#pragma once
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

/// CLOCK_MONOTONIC: the same in every process of the machine. About 25 ns.
[[nodiscard]] Instant monotonic_now() noexcept;

/// monotonic_now() by the processor's cycle counter where that is invariant (about 10 ns), else by
/// the system. Within a few microseconds of the system's clock, which it consults every 50 ms.
/// Never goes back. One per thread.
class CycleClock {
 public:
  CycleClock() noexcept;
  [[nodiscard]] Instant operator()() noexcept;

 private:
  void anchor() noexcept;

  std::uint64_t anchor_cycles_ = 0;
  std::int64_t anchor_ns_ = 0;
  std::uint64_t first_cycles_ = 0;  // the rate is measured from here on
  std::int64_t first_ns_ = 0;
  std::uint64_t rate_ = 0;  // ns per cycle, 32 fractional bits; 0: ask the system
  std::uint64_t reanchor_cycles_ = 0;
  std::int64_t last_ns_ = 0;
};

}  // namespace proa
