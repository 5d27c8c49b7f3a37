// L3: packets that arrived at an engine which does not own their flow, on their way to the one that
// does: a bounded queue per engine, many writers, one reader.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/stack.hpp>

#include <proa/base/bytes.hpp>
#include <proa/engine/interface.hpp>
#include <proa/engine/lazy_array.hpp>

namespace proa {

/// How a datagram came to the engine that handles it.
enum class Via : std::uint8_t {
  nic,       // its own queue
  loopback,  // an application of this host, on this engine, another or another interface's
  engine,    // another engine's queue: the path is not the best
  icmp,      // quoted by a router that another engine heard
};

/// Trusted threads of one process only: Boost.Lockfree reads its indices from the queue's own
/// memory.
class Inbox {
 public:
  /// Throws std::bad_alloc. Slots' memory is touched when first used.
  Inbox(std::uint32_t slots, std::uint32_t payload_bytes_max)
      : free_(slots),
        filled_(slots),
        heads_(slots),
        stride_((payload_bytes_max + 63U) / 64U * 64U),
        payloads_(std::size_t{slots} * stride_) {
    for (std::uint32_t slot = 0; slot < slots; ++slot)
      while (!free_.push(static_cast<Slot>(slot))) {
      }
  }

  [[nodiscard]] std::size_t payload_bytes_max() const noexcept { return stride_; }
  /// The most entries that can wait.
  [[nodiscard]] std::uint32_t capacity() const noexcept {
    return static_cast<std::uint32_t>(heads_.size());
  }

  /// Copies a datagram in. False: full, or it is longer than payload_bytes_max(). Any thread.
  [[nodiscard]] bool put(const UdpArrival& datagram, Via via, std::uint32_t from) noexcept {
    if (datagram.payload.size() > stride_) return false;
    return fill([&](Head& head, std::byte* payload) {
      head.datagram = datagram;
      head.datagram.payload = {payload, datagram.payload.size()};
      head.via = via;
      head.from = from;
      std::memcpy(payload, datagram.payload.data(), datagram.payload.size());
    });
  }
  /// What another engine learned of a neighbour.
  [[nodiscard]] bool put(const NeighbourNews& news) noexcept {
    return fill([&](Head& head, std::byte*) {
      head.is_news = true;
      head.news = news;
    });
  }

  /// Two loads from lines that nobody writes while packets arrive where they belong.
  [[nodiscard]] bool empty() const noexcept { return filled_.empty(); }

  /// Handles at most `limit` entries: on_datagram(const UdpArrival&, Via, from engine) or
  /// on_news(const NeighbourNews&). Returns how many. The owner's thread.
  template <class OnDatagram, class OnNews>
  std::uint32_t drain(std::uint32_t limit, OnDatagram&& on_datagram, OnNews&& on_news) noexcept {
    std::uint32_t done = 0;
    Slot slot = 0;
    while (done < limit && filled_.pop(slot)) {
      ++done;
      Head& head = heads_[slot];
      if (head.is_news)
        on_news(head.news);
      else
        on_datagram(head.datagram, head.via, head.from);
      while (!free_.push(slot)) {  // it has room for every slot there is
      }
    }
    return done;
  }

  // --- sleeping: declare, look again, sleep ---

  // Both sides exchange the same flag, which orders them: either the writer sees the sleeper, or
  // the sleeper's exchange comes later and acquires the writer's entry. No fence: ThreadSanitizer
  // does not know them.

  /// False: something is there, do not sleep. declare_awake() is due either way.
  [[nodiscard]] bool declare_asleep() noexcept {
    asleep_.exchange(true, std::memory_order_acq_rel);  // pairs with wants_bell()
    return empty();
  }
  /// An exchange too: a plain store would hide the writers' ones from the next declare_asleep().
  void declare_awake() noexcept { asleep_.exchange(false, std::memory_order_acq_rel); }
  /// After put(), once per batch: whether the owner must be woken. True once per sleep.
  [[nodiscard]] bool wants_bell() noexcept {
    return asleep_.exchange(false, std::memory_order_acq_rel);  // pairs with declare_asleep()
  }

 private:
  using Slot = std::uint16_t;
  struct Head {
    UdpArrival datagram;
    NeighbourNews news;
    std::uint32_t from;
    Via via;
    bool is_news;
  };
  using Queue = boost::lockfree::queue<Slot, boost::lockfree::fixed_sized<true>>;

  template <class Write>
  bool fill(Write&& write) noexcept {
    Slot slot = 0;
    if (!free_.pop(slot)) return false;
    heads_[slot].is_news = false;
    write(heads_[slot], payloads_.data() + std::size_t{slot} * stride_);
    while (!filled_.push(slot)) {  // it has room for every slot there is
    }
    return true;
  }

  // A stack: the slot that was used last is warm.
  boost::lockfree::stack<Slot, boost::lockfree::fixed_sized<true>> free_;
  Queue filled_;
  detail::LazyArray<Head> heads_;
  std::size_t stride_;
  detail::LazyArray<std::byte> payloads_;
  alignas(64) std::atomic<bool> asleep_{false};
};

}  // namespace proa
