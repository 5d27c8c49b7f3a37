// L2: one-way rings of 64-byte slots between two processes that do not trust each other, and the
// words by which a sleeper is found. The only file of ipc/ with atomics.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace proa {

/// What one slot carries besides its sequence number.
using SlotBody = std::array<std::byte, 60>;

/// One cache line of shared memory. Slot i of lap l (positions i + l * capacity) is full when
/// `sequence` is its position + 1; zeroed memory is an empty ring. The sequence number is stored
/// last, so whoever sees it sees the body. Any other value means "not ready", whatever its cause.
struct alignas(64) RingSlot {
  std::uint32_t sequence = 0;
  SlotBody body{};
};
static_assert(sizeof(RingSlot) == 64 && std::is_trivially_copyable_v<RingSlot> &&
              std::has_unique_object_representations_v<RingSlot>);

/// What a reader tells its writer, in memory only the reader's side writes.
struct alignas(64) ReaderLine {
  std::uint32_t consumed = 0;  // positions read so far
  std::array<std::uint32_t, 15> unused{};
};

/// What a side tells about its waiting, in memory only it writes.
struct alignas(64) SleepLine {
  std::uint32_t word = 0;   // see SleepFlag
  std::uint32_t wants = 0;  // 1 = tell me of progress at once
  std::array<std::uint32_t, 14> unused{};
};
static_assert(sizeof(ReaderLine) == 64 && sizeof(SleepLine) == 64);

namespace detail {

inline std::uint32_t load_acquire(const std::uint32_t& from) noexcept {
  // atomic_ref wants a mutable object; the other side's pages are read-only, and a load stays one.
  return std::atomic_ref{const_cast<std::uint32_t&>(from)}.load(std::memory_order_acquire);
}
inline std::uint32_t load_relaxed(const std::uint32_t& from) noexcept {
  return std::atomic_ref{const_cast<std::uint32_t&>(from)}.load(std::memory_order_relaxed);
}
inline void store_release(std::uint32_t& to, std::uint32_t value) noexcept {
  std::atomic_ref{to}.store(value, std::memory_order_release);
}
inline void store_relaxed(std::uint32_t& to, std::uint32_t value) noexcept {
  std::atomic_ref{to}.store(value, std::memory_order_relaxed);
}

/// Orders this thread's earlier stores before its later loads. An exchange on the own stack is one
/// too on every processor we build for, is cheaper than mfence, and ThreadSanitizer knows it.
inline void full_fence() noexcept {
  std::atomic<std::uint32_t> own{0};
  static_cast<void>(own.exchange(1, std::memory_order_seq_cst));
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// From here on `value` is what was read, even if the shared memory it came from changes: the
/// compiler may not read it again.
template <class T>
inline void pin_copy(T& value) noexcept {
  asm volatile("" : "+m"(value) : : "memory");
}

}  // namespace detail

/// The writing end. Geometry and position live in private memory; the reader's counter is looked at
/// only when the room seen last is used up, and believed only if it is possible.
/// Threading: one thread. Errors: `broken()`.
class RingWriter {
 public:
  RingWriter() = default;
  /// `capacity` slots (a power of two) this side may write; `reader` is written by the other side.
  RingWriter(RingSlot* slots, std::uint32_t capacity, const ReaderLine* reader) noexcept
      : slots_(slots), reader_(reader), mask_(capacity - 1), limit_(capacity) {}

  /// Slots that may be filled now, looking again at the reader's counter if fewer than `wanted`
  /// are known to be free.
  [[nodiscard]] std::uint32_t room(std::uint32_t wanted = 1) noexcept {
    const std::uint32_t known = limit_ - next_;
    return known >= wanted ? known : look();
  }

  /// The body of the slot `ahead` places after the last published one; room() was larger.
  [[nodiscard]] std::byte* body(std::uint32_t ahead = 0) noexcept {
    return slots_[(next_ + ahead) & mask_].body.data();
  }

  /// Makes the next `count` slots visible, the first of them last: who sees the first sees all.
  void publish(std::uint32_t count = 1) noexcept {
    for (std::uint32_t i = count; i-- > 0;) {
      // Pairs with RingReader::ready: the body is written before.
      detail::store_release(slots_[(next_ + i) & mask_].sequence, next_ + i + 1);
    }
    next_ += count;
  }

  /// The reader's counter went where no correct reader's goes. The ring looks full from then on.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  [[nodiscard]] std::uint32_t written() const noexcept { return next_; }

 private:
  std::uint32_t look() noexcept {
    // Pairs with RingReader::publish: the slots counted were copied out before.
    const std::uint32_t consumed = detail::load_acquire(reader_->consumed);
    const std::uint32_t unread = next_ - consumed;
    const std::uint32_t unread_before = next_ + mask_ + 1 - limit_;
    if (unread > unread_before) {
      broken_ = true;
    } else if (!broken_) {
      limit_ = consumed + mask_ + 1;
    }
    return broken_ ? 0 : limit_ - next_;
  }

  RingSlot* slots_ = nullptr;
  const ReaderLine* reader_ = nullptr;
  std::uint32_t mask_ = 0;
  std::uint32_t next_ = 0;   // position to be written
  std::uint32_t limit_ = 0;  // first position that may still be unread
  bool broken_ = false;
};

/// The reading end. Threading: one thread.
class RingReader {
 public:
  RingReader() = default;
  /// `slots` is written by the other side, `own` by this one.
  RingReader(const RingSlot* slots, std::uint32_t capacity, ReaderLine* own) noexcept
      : slots_(slots), own_(own), mask_(capacity - 1) {}

  /// Whether the slot `ahead` places after the last consumed one holds something.
  [[nodiscard]] bool ready(std::uint32_t ahead = 0) const noexcept {
    // Pairs with RingWriter::publish: the body was written before.
    return detail::load_acquire(slots_[(next_ + ahead) & mask_].sequence) == next_ + ahead + 1;
  }

  /// Copies a ready slot's body, once: afterwards nobody can change what was read.
  void copy(SlotBody& to, std::uint32_t ahead = 0) const noexcept {
    std::memcpy(to.data(), slots_[(next_ + ahead) & mask_].body.data(), to.size());
    detail::pin_copy(to);
  }
  /// ready() and copy().
  [[nodiscard]] bool peek(SlotBody& to, std::uint32_t ahead = 0) const noexcept {
    if (!ready(ahead)) return false;
    copy(to, ahead);
    return true;
  }

  /// Done with `count` slots. The writer learns of it a quarter of the ring at a time.
  /// Returns true when it was told just now.
  bool advance(std::uint32_t count = 1) noexcept {
    next_ += count;
    if (next_ - told_ <= (mask_ >> 2U)) return false;
    told_ = next_;
    // Pairs with RingWriter::look: the slots were copied out before.
    detail::store_release(own_->consumed, next_);
    return true;
  }
  [[nodiscard]] std::uint32_t read() const noexcept { return next_; }

 private:
  const RingSlot* slots_ = nullptr;
  ReaderLine* own_ = nullptr;
  std::uint32_t mask_ = 0;
  std::uint32_t next_ = 0;
  std::uint32_t told_ = 0;
};

/// One side's declaration that it is about to sleep: declare(), look once more for work, sleep,
/// awake(). The word is a count of sleeps, shifted left, its two lowest bits: asleep, wants room.
class SleepFlag {
 public:
  SleepFlag() = default;
  explicit SleepFlag(SleepLine* own) noexcept : own_(own) {}

  /// After it, whatever the other side published before looking at this word is visible here, or
  /// the other side sees the declaration and rings. `wants_room`: also ring when slots were read.
  void declare(bool wants_room) noexcept {
    sleeps_ += 4;
    detail::store_relaxed(own_->word, sleeps_ | 1U | (wants_room ? 2U : 0U));
    detail::full_fence();  // pairs with SleepWatch::must_ring: one of the two sees the other's
    declared_ = true;
  }
  void awake() noexcept {
    if (!declared_) return;
    declared_ = false;
    detail::store_relaxed(own_->word, sleeps_);  // ordered by nothing: a late ring is harmless
  }

  /// A hint to the other side, seen some time.
  void want_progress(bool wanted) noexcept {
    if (wanted == wanted_) return;
    wanted_ = wanted;
    detail::store_relaxed(own_->wants, wanted ? 1U : 0U);  // a hint: orders nothing
  }

 private:
  SleepLine* own_ = nullptr;
  std::uint32_t sleeps_ = 0;
  bool declared_ = false;
  bool wanted_ = false;
};

/// What was done since the other side was last considered.
struct Published {
  bool events = false;    // slots it waits for
  bool progress = false;  // slots it waits for only if it said so
  bool room = false;      // slots of its own were read, and it can know
};

/// The other side's view of a SleepFlag.
class SleepWatch {
 public:
  SleepWatch() = default;
  explicit SleepWatch(const SleepLine* theirs) noexcept : theirs_(theirs) {}

  /// Called once per batch, after publishing: true if the doorbell must be rung, once per sleep.
  [[nodiscard]] bool must_ring(const Published& done) noexcept {
    if (!done.events && !done.progress && !done.room) return false;
    detail::full_fence();  // pairs with SleepFlag::declare
    const std::uint32_t word = detail::load_relaxed(theirs_->word);
    if ((word & 1U) == 0 || word == rung_for_) return false;
    if (!done.events && !(done.room && (word & 2U) != 0) && !(done.progress && wants_progress()))
      return false;
    rung_for_ = word;
    return true;
  }
  [[nodiscard]] bool wants_progress() const noexcept {
    // Set before SleepFlag::declare by one who will sleep for it; else a hint without ordering.
    return detail::load_relaxed(theirs_->wants) != 0;
  }

 private:
  const SleepLine* theirs_ = nullptr;
  std::uint32_t rung_for_ = 0;
};

}  // namespace proa
