// L4: leases: a received message, a buffer to send from, and the home both return to.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include <boost/lockfree/queue.hpp>

#include <proa/base/seq.hpp>
#include <proa/mem/message_memory.hpp>

namespace proa {

/// Owns a placement's message memory, together with every lease into it: lives until the stack and
/// all leases are gone, so a lease may outlive its stack. `M` gives a block back by
/// `release(block)`, which must stay callable after the stack is gone.
///
/// Threading: everything belongs to the stack's thread except detached leases, which come back
/// through a lock-free queue. The stack's thread counts its own leases without atomics; all of them
/// together hold one share of the atomic count.
template <class M>
class LeaseHome {
 public:
  template <class... Arguments>
  explicit LeaseHome(Arguments&&... arguments)
      : memory_(std::forward<Arguments>(arguments)...), detached_(0) {
    // Apart: a constructor of Boost.Lockfree that runs out of memory halfway loses what it has.
    detached_.reserve(detached_at_once);
  }
  LeaseHome(const LeaseHome&) = delete;
  LeaseHome& operator=(const LeaseHome&) = delete;

  [[nodiscard]] M& memory() noexcept { return memory_; }

  void add_local() noexcept { ++local_; }
  void drop_local() noexcept {
    if (--local_ == 0) drop_share();
  }
  void give_back(const MessageBlock& block) noexcept {
    memory_.release(block);
    drop_local();
  }

  /// A lease of this thread becomes one that any thread may drop.
  void detach_local() noexcept {
    shares_.fetch_add(1, std::memory_order_relaxed);  // pairs with drop_share: we hold a share
    drop_local();
  }
  /// From any thread. The block itself is given back by the stack's thread in collect().
  void give_back_detached(const MessageBlock& block) noexcept {
    try {
      detached_.push(block);
    } catch (const std::bad_alloc&) {
      // Nothing to remember it with: the block stays lent, and nobody else ever gets it.
    }
    returned_.store(true, std::memory_order_release);  // pairs with collect: the push comes first
    drop_share();
  }

  /// Takes back what other threads dropped; called once per turn by the stack's thread.
  void collect() noexcept {
    if (!returned_.load(std::memory_order_relaxed)) return;
    returned_.exchange(false, std::memory_order_acquire);  // pairs with give_back_detached
    MessageBlock block;
    while (detached_.pop(block)) memory_.release(block);
  }

 private:
  static constexpr std::size_t detached_at_once = 64;  // nodes made ahead; more are made on demand

  ~LeaseHome() = default;
  void drop_share() noexcept {
    // Pairs with every other drop: the last one must see all uses of the memory before it.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  M memory_;
  std::uint64_t local_ = 1;  // the stack itself, and its thread's leases
  std::atomic<std::uint64_t> shares_{1};
  std::atomic<bool> returned_{false};
  boost::lockfree::queue<MessageBlock> detached_;
};

/// A received message that any thread may drop. Movable.
template <class Home>
class DetachedMessage {
 public:
  DetachedMessage() = default;
  DetachedMessage(Home& home, const MessageBlock& block) noexcept : home_(&home), block_(block) {}
  DetachedMessage(DetachedMessage&& other) noexcept
      : home_(std::exchange(other.home_, nullptr)), block_(other.block_) {}
  DetachedMessage& operator=(DetachedMessage&& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(block_, other.block_);
    return *this;
  }
  ~DetachedMessage() {
    if (home_ != nullptr) home_->give_back_detached(block_);
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {block_.data, home_ != nullptr ? block_.length : 0};
  }

 private:
  Home* home_ = nullptr;
  MessageBlock block_;
};

/// A lease of a received message: its bytes, contiguous, until dropped. Movable; belongs to the
/// stack's thread, may outlive the stack.
template <class Home>
class BasicMessage {
 public:
  BasicMessage() = default;
  BasicMessage(Home& home, const MessageBlock& block) noexcept : home_(&home), block_(block) {
    home.add_local();
  }
  BasicMessage(BasicMessage&& other) noexcept
      : home_(std::exchange(other.home_, nullptr)), block_(other.block_) {}
  BasicMessage& operator=(BasicMessage&& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(block_, other.block_);
    return *this;
  }
  ~BasicMessage() {
    if (home_ != nullptr) home_->give_back(block_);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return home_ != nullptr; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {block_.data, size()}; }
  [[nodiscard]] std::size_t size() const noexcept { return home_ != nullptr ? block_.length : 0; }

  /// The same lease, to be dropped on any thread; this one is empty afterwards.
  [[nodiscard]] DetachedMessage<Home> detach() noexcept {
    if (home_ == nullptr) return {};
    DetachedMessage<Home> detached{*home_, block_};
    std::exchange(home_, nullptr)->detach_local();
    return detached;
  }

 private:
  Home* home_ = nullptr;
  MessageBlock block_;
};

/// Memory to write a message into and send without another copy. Movable; belongs to the stack's
/// thread. Dropped unsent it returns to the stack.
template <class Home>
class BasicBuffer {
 public:
  BasicBuffer() = default;
  BasicBuffer(Home& home, const MessageBlock& block) noexcept : home_(&home), block_(block) {
    home.add_local();
  }
  BasicBuffer(BasicBuffer&& other) noexcept
      : home_(std::exchange(other.home_, nullptr)), block_(other.block_) {}
  BasicBuffer& operator=(BasicBuffer&& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(block_, other.block_);
    return *this;
  }
  ~BasicBuffer() {
    if (home_ != nullptr) home_->give_back(block_);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return home_ != nullptr; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {block_.data, size()}; }
  [[nodiscard]] std::size_t size() const noexcept { return home_ != nullptr ? block_.length : 0; }

  /// Makes the message shorter than what was allocated; never longer.
  void shrink(std::size_t size) noexcept {
    if (size < block_.length) block_.length = static_cast<std::uint32_t>(size);
  }

  [[nodiscard]] bool belongs_to(const Home& home) const noexcept { return home_ == &home; }
  [[nodiscard]] const MessageBlock& block() const noexcept { return block_; }
  /// The stack has taken the block over: nothing returns from here.
  void taken() noexcept { std::exchange(home_, nullptr)->drop_local(); }

 private:
  Home* home_ = nullptr;
  MessageBlock block_;
};

}  // namespace proa
