// lib: keeps pollers away from a port while it is changed, at next to no cost for them. No DPDK.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace proa::detail {

/// Keeps whoever reconfigures a port on a thread of its own away from bursts that are under way.
/// Poller: pass.enter(), burst, pass.leave(). The other side: close(), change, renew(), open().
class PollerGate {
 public:
  explicit PollerGate(std::size_t pollers);

  /// One poller's side.
  class Pass {
   public:
    [[nodiscard]] bool enter() noexcept {
      busy_->store(1, std::memory_order_relaxed);
      // Pairs with membarrier() in close(): either we see the closed state or it sees `busy_`.
      std::atomic_signal_fence(std::memory_order_seq_cst);
      // Acquire: pairs with open(): we see what was changed meanwhile.
      if (state_->load(std::memory_order_acquire) == expected_) [[likely]]
        return true;
      leave();
      return false;
    }
    void leave() noexcept {
      // Release: pairs with the acquire load in close(), which waits for the burst to be over.
      busy_->store(0, std::memory_order_release);
    }
    /// After enter() was refused: enters if that was because the port was renewed; then what is
    /// known of it must be read again.
    [[nodiscard]] bool enter_renewed() noexcept {
      const std::uint32_t state = this->state();
      if (state == expected_ || (state & closed_bit) != 0) return false;
      return enter_as(state);
    }
    /// As the one who knows the port of that state. Refused, he knows it no better than before.
    [[nodiscard]] bool enter_as(std::uint32_t state) noexcept {
      const std::uint32_t former = std::exchange(expected_, state);
      if (enter()) return true;
      expected_ = former;
      return false;
    }
    [[nodiscard]] std::uint32_t state() const noexcept {
      return state_->load(std::memory_order_relaxed);
    }
    /// As if the port had been renewed: the next enter() is refused.
    void expect_renewal() noexcept { expected_ -= 2; }

   private:
    friend class PollerGate;
    std::atomic<std::uint32_t>* busy_ = nullptr;
    const std::atomic<std::uint32_t>* state_ = nullptr;
    std::uint32_t expected_ = 0;
  };
  [[nodiscard]] Pass pass(std::size_t poller) noexcept {
    Pass pass;
    pass.busy_ = &lines_[poller].busy;
    pass.state_ = &state_;
    pass.expected_ = state_.load(std::memory_order_relaxed) & ~closed_bit;
    return pass;
  }
  void close() noexcept;
  void open() noexcept;
  /// While closed: the pollers must look at the port again.
  void renew() noexcept { state_.fetch_add(2, std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t closed_bit = 1;
  struct alignas(64) Line {
    std::atomic<std::uint32_t> busy{0};
  };
  std::vector<Line> lines_;
  bool fences_ = false;
  alignas(64) std::atomic<std::uint32_t> state_{0};  // times renewed * 2 + closed
};

}  // namespace proa::detail
