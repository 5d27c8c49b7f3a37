// lib: the side of the gate that closes and opens it.
#include "poller_gate.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace proa::detail {

PollerGate::PollerGate(std::size_t pollers) : lines_(pollers) {
  fences_ = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void PollerGate::close() noexcept {
  if ((state_.fetch_or(closed_bit) & closed_bit) != 0) return;
  // A full fence in every running thread of this process: pairs with the signal fence in enter().
  if (fences_)
    ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  else  // refused by a seccomp filter: every store buffer has drained long before this ends
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  for (const auto& line : lines_)
    while (line.busy.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

// Release: pollers see what was changed while the gate was closed.
void PollerGate::open() noexcept { state_.fetch_and(~closed_bit, std::memory_order_release); }

}  // namespace proa::detail
