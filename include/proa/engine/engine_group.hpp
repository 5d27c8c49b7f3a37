// L3: what the engines of one NIC port share: a hand-over queue each, and who listens.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include <proa/engine/handover.hpp>
#include <proa/engine/listeners.hpp>

namespace proa {

struct EngineGroupOptions {
  std::uint32_t engines = 1;               // queue pairs of the port
  std::uint32_t handover_slots = 256;      // per engine: a NIC ring's worth
  std::uint32_t payload_bytes_max = 9216;  // the longest datagram
  bool others_on_host = false;             // interfaces whose engines hand things over too
};

/// Outlives its engines. Nothing in it is written while packets arrive where they belong.
class EngineGroup {
 public:
  explicit EngineGroup(const EngineGroupOptions& options) {
    takes_handovers_ = options.engines > 1 || options.others_on_host;
    for (std::uint32_t i = 0; i < options.engines; ++i)
      seats_.push_back(std::make_unique<Seat>(options));
  }

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(seats_.size());
  }
  /// Somebody may put something into an inbox.
  [[nodiscard]] bool takes_handovers() const noexcept { return takes_handovers_; }
  [[nodiscard]] Inbox& inbox(std::uint32_t engine) noexcept { return seats_[engine]->inbox; }
  [[nodiscard]] ListenerTable& listeners() noexcept { return listeners_; }

  /// The link was interrupted that many times by now: whether the caller is the first engine that
  /// says so and has to announce our addresses. Any thread.
  [[nodiscard]] bool claim_announcement(std::uint64_t interruptions) noexcept {
    std::uint64_t announced = announced_.load(std::memory_order_relaxed);
    while (announced <= interruptions)
      if (announced_.compare_exchange_weak(announced, interruptions + 1, std::memory_order_relaxed))
        return true;
    return false;
  }

  /// The engine that announced last is gone: the next one that comes shall.
  void give_back_announcement(std::uint64_t interruptions) noexcept {
    std::uint64_t announced = interruptions + 1;
    announced_.compare_exchange_strong(announced, interruptions, std::memory_order_relaxed);
  }

  /// A descriptor that becomes readable when something is put into the inbox of an engine that has
  /// declared itself asleep; made at the first call, -1 without descriptors. The engine's thread.
  [[nodiscard]] int bell(std::uint32_t engine) noexcept {
    std::atomic<int>& bell = seats_[engine]->bell;
    if (bell.load(std::memory_order_relaxed) < 0)
      bell.store(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), std::memory_order_release);
    return bell.load(std::memory_order_relaxed);
  }
  /// Wakes the engine if it sleeps.
  void ring(std::uint32_t engine) noexcept {
    if (!inbox(engine).wants_bell()) return;
    // Acquire: pairs with the release in bell().
    const int bell = seats_[engine]->bell.load(std::memory_order_acquire);
    const std::uint64_t one = 1;
    if (bell >= 0) static_cast<void>(!::write(bell, &one, sizeof one));  // full: it rings already
  }
  /// After waking. The engine's thread.
  void hush(std::uint32_t engine) noexcept {
    const int bell = seats_[engine]->bell.load(std::memory_order_relaxed);
    std::uint64_t count = 0;
    if (bell >= 0) static_cast<void>(!::read(bell, &count, sizeof count));  // none: nobody rang
  }

 private:
  struct Seat {
    explicit Seat(const EngineGroupOptions& options)
        : inbox(options.engines > 1 || options.others_on_host ? options.handover_slots : 1,
                options.payload_bytes_max) {}
    ~Seat() {
      if (bell >= 0) ::close(bell);
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    Inbox inbox;
    std::atomic<int> bell{-1};
  };

  std::vector<std::unique_ptr<Seat>> seats_;
  bool takes_handovers_ = false;
  std::atomic<std::uint64_t> announced_{0};  // interruptions, and the start
  ListenerTable listeners_;
};

}  // namespace proa
