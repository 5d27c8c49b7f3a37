// lib: real time for programs.
#include <time.h>

#include <algorithm>
#include <cmath>
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

struct Clocks {
  static std::uint64_t cycles() noexcept { return proa::cycles(); }
  static std::int64_t ns() noexcept { return system_ns(); }
};

constexpr std::int64_t first_reanchor_ns = 500'000;  // the first rate is rough: consult soon
constexpr std::int64_t reanchor_ns = 50'000'000;
constexpr double jump_ns = 1e6;  // less is an interruption between two readings

}  // namespace

Instant monotonic_now() noexcept { return Instant{Duration{system_ns()}}; }

bool CycleLine::jumped(std::uint64_t cycles, std::int64_t ns) const noexcept {
  if (measured_ == 0) return false;
  if (cycles < anchor_cycles_) return true;
  const double counted =
      static_cast<double>(cycles - anchor_cycles_) * static_cast<double>(measured_) / 4294967296.0;
  const auto passed = static_cast<double>(ns - system_ns_);
  return std::abs(counted - passed) > passed / 8 + jump_ns;
}

void CycleLine::anchor(std::uint64_t cycles, std::int64_t ns) noexcept {
  const bool starts = first_ns_ == 0;
  if (starts) last_ns_ = ns;
  if (starts || jumped(cycles, ns)) {
    first_cycles_ = cycles;
    first_ns_ = ns;
  }
  anchor_cycles_ = cycles;
  anchor_ns_ = system_ns_ = ns;
  const auto elapsed_ns = ns - first_ns_;
  if (cycles != first_cycles_)
    measured_ =
        static_cast<std::uint64_t>(static_cast<double>(elapsed_ns) /
                                   static_cast<double>(cycles - first_cycles_) * 4294967296.0);
  rate_ = measured_;
  if (rate_ == 0) return;
  const std::int64_t next = std::clamp(elapsed_ns, first_reanchor_ns, std::int64_t{reanchor_ns});
  stale_after_cycles_ = (static_cast<std::uint64_t>(next) << 32U) / rate_;
  // Half as fast at worst: what is ahead by more than that is not the rate's error.
  const std::int64_t ahead = std::min(last_ns_ - ns, next / 2);
  if (ahead <= 0) return;
  anchor_ns_ += ahead;
  rate_ -= static_cast<std::uint64_t>(static_cast<double>(rate_) * static_cast<double>(ahead) /
                                      static_cast<double>(next));
}

CycleClock::CycleClock() noexcept {
  if (cycles_are_invariant()) line_.begin_by(Clocks{});
}

Instant CycleClock::operator()() noexcept {
  if (!line_.ready()) return monotonic_now();
  std::uint64_t now = cycles();
  if (line_.is_stale(now)) {
    line_.anchor_by(Clocks{});
    now = cycles();
  }
  return Instant{Duration{line_.at(now)}};
}

}  // namespace proa
