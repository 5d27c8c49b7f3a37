// lib: real time for programs.
#include <time.h>

#include <algorithm>
#include <cstdint>

#include <proa/base/clock.hpp>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace proa {
namespace {

std::int64_t system_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

#if defined(__x86_64__)
std::uint64_t cycles() noexcept { return __rdtsc(); }
bool cycles_are_invariant() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x8000'0007, &a, &b, &c, &d) != 0 && (d & (1U << 8U)) != 0;
}
#else
std::uint64_t cycles() noexcept { return 0; }
bool cycles_are_invariant() noexcept { return false; }
#endif

constexpr std::int64_t calibration_ns = 200'000;     // 50 ns of jitter in it are 250 ppm ...
constexpr std::int64_t first_reanchor_ns = 500'000;  // ... so consult soon, then less often
constexpr std::int64_t reanchor_ns = 50'000'000;
constexpr std::uint64_t uninterrupted_cycles = 1000;

}  // namespace

Instant monotonic_now() noexcept { return Instant{Duration{system_ns()}}; }

CycleClock::CycleClock() noexcept {
  first_ns_ = last_ns_ = system_ns();
  if (!cycles_are_invariant()) return;
  first_cycles_ = cycles();
  while (system_ns() - first_ns_ < calibration_ns) {
  }
  anchor();
}

void CycleClock::anchor() noexcept {
  // Both clocks at one moment: read again if this thread was interrupted in between.
  for (int attempt = 0; attempt < 5; ++attempt) {
    const std::uint64_t before = cycles();
    anchor_ns_ = system_ns();
    anchor_cycles_ = cycles();
    if (anchor_cycles_ - before < uninterrupted_cycles) break;
  }
  const std::uint64_t elapsed_cycles = anchor_cycles_ - first_cycles_;
  const auto elapsed_ns = static_cast<std::uint64_t>(anchor_ns_ - first_ns_);
  if (elapsed_cycles == 0) return;
  rate_ = static_cast<std::uint64_t>(static_cast<double>(elapsed_ns) /
                                     static_cast<double>(elapsed_cycles) * 4294967296.0);
  const std::int64_t next = std::min(static_cast<std::int64_t>(elapsed_ns), reanchor_ns);
  reanchor_cycles_ =
      (static_cast<std::uint64_t>(std::max(next, first_reanchor_ns)) << 32) / (rate_ | 1U);
}

Instant CycleClock::operator()() noexcept {
  if (rate_ == 0) return monotonic_now();
  const std::uint64_t now = cycles();
  std::uint64_t since = now - anchor_cycles_;
  if (since > reanchor_cycles_) {  // also when the counter jumped back (a migrated machine)
    anchor();
    since = 0;
  }
  const auto ns = anchor_ns_ + static_cast<std::int64_t>((since * rate_) >> 32);
  if (ns > last_ns_) last_ns_ = ns;
  return Instant{Duration{last_ns_}};
}

}  // namespace proa
