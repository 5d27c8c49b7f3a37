// sidecar: when to poll on, to give way, to sleep.
#include "idler.hpp"

#include <sched.h>
#include <sys/resource.h>

namespace proa::sidecar {
namespace {

void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Times this thread lost its core although it wanted to run on; sched_yield to somebody counts.
std::int64_t switches_so_far() noexcept {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

bool Idler::rest(Instant now) noexcept {
  if (strategy_ == IdleStrategy::sleep) return true;
  if (strategy_ == IdleStrategy::adaptive && now - last_work_ >= spin_for_) return true;
  if (now >= look_at_) look(now);
  if (gives_way_)
    ::sched_yield();
  else
    pause_briefly();
  return false;
}

void Idler::look(Instant now) noexcept {
  look_at_ = now + look_every;
  const std::int64_t switches = switches_so_far();
  quiet_ = switches == switches_ ? quiet_ + 1 : 0;
  switches_ = switches;
  gives_way_ = quiet_ < quiet_looks;
}

}  // namespace proa::sidecar
