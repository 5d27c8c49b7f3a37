// L2: puts message parts where the application will read them, and hands messages out in order.
#pragma once
#include <cstdint>
#include <optional>

#include <proa/base/seq.hpp>
#include <proa/mem/grow_ring.hpp>
#include <proa/mem/interval_set.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/transport/credit.hpp>
#include <proa/wire/drop.hpp>
#include <proa/wire/frames.hpp>

namespace proa {

template <MessageMemory Memory>
class Reassembly {
 public:
  explicit Reassembly(ScratchPool& pool, MessageNumber first = {}) noexcept
      : messages_(pool, messages_max), islands_(pool, islands_max), next_(first) {}

  /// The message the application gets next.
  [[nodiscard]] MessageNumber next() const noexcept { return next_; }
  [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_; }
  [[nodiscard]] std::uint64_t undelivered_bytes() const noexcept { return undelivered_bytes_; }
  /// Parts so far that were here already.
  [[nodiscard]] std::uint32_t repeated_parts() const noexcept { return repeated_parts_; }
  [[nodiscard]] bool deliverable() const noexcept {
    return !messages_.empty() && messages_.front().complete();
  }
  /// Every message before `number` is complete, delivered or not.
  [[nodiscard]] bool complete_before(MessageNumber number) const noexcept {
    if (number.before(next_)) return true;
    const std::uint32_t missing = number.since(next_);
    if (missing > messages_.size()) return false;
    for (std::uint32_t i = 0; i < missing; ++i)
      if (!messages_[i].complete()) return false;
    return true;
  }
  [[nodiscard]] bool knows(MessageNumber number) const noexcept {
    if (number.before(next_)) return true;
    const std::uint32_t i = number.since(next_);
    return i < messages_.size() && messages_[i].known;
  }

  /// The first message that has no block yet. O(messages under way): for when memory is short.
  [[nodiscard]] MessageNumber first_without_block() const noexcept {
    std::uint32_t i = 0;
    while (i < messages_.size() && messages_[i].known) ++i;
    return next_.plus(i);
  }

  /// Whether the block of a message that has not begun can wait: one before the newest that has
  /// begun is still here, and of the newest, larger than `window_bytes`, less than an eighth has
  /// come. The missing part of the former is soon repaired, then its block is warm and most
  /// likely free: at 1 % loss three blocks took turns instead of two, which cost an eighth of the
  /// speed. Seven eighths are left for the request's round trip.
  [[nodiscard]] bool is_early(MessageNumber number, std::uint32_t window_bytes) const noexcept {
    if (messages_.size() < 2 || number.before(next_.plus(messages_.size()))) return false;
    const InMessage& newest = messages_.back();
    return newest.known && newest.block.length > window_bytes && !newest.advanced;
  }

  /// Places one part. Drop::none: it is in memory (or was already).
  [[nodiscard]] Drop place(const Frame& part, std::uint32_t message_bytes_max, CreditGiver& credit,
                           Memory& memory) noexcept {
    if (part.number.before(next_)) return repeated();  // delivered
    if (part.total > message_bytes_max) return Drop::protocol_violation;
    const std::uint32_t i = part.number.since(next_);
    if (const Drop why = begin(i, part, credit, memory); why != Drop::none) return why;
    InMessage& message = messages_[i];
    if (message.block.length != part.total) return Drop::protocol_violation;
    return add(message, i, part, memory);
  }

  /// The next message, if it is complete; its block is the caller's now.
  [[nodiscard]] bool take(MessageNumber& number, MessageBlock& block) noexcept {
    if (!deliverable()) return false;
    block = messages_.front().block;
    messages_.pop_front();
    number = next_;
    next_ = next_.plus(1);
    ++delivered_;
    undelivered_bytes_ -= memory_cost(block.length);
    return true;
  }

  void clear(Memory& memory) noexcept {
    for (; !messages_.empty(); messages_.pop_front())
      if (messages_.front().known) memory.release(messages_.front().block);
    islands_.clear();
    undelivered_bytes_ = 0;
    trim();
  }
  void trim() noexcept {
    messages_.trim();
    islands_.trim();
  }
  [[nodiscard]] const char* broken_invariant() const noexcept {
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < messages_.size(); ++i) {
      if (!messages_[i].known) continue;
      bytes += memory_cost(messages_[i].block.length);
      if (messages_[i].prefix > messages_[i].block.length) return "a message is longer than itself";
    }
    if (bytes != undelivered_bytes_) return "undelivered bytes differ from the messages";
    return islands_.broken_invariant();
  }

 private:
  struct InMessage {
    MessageBlock block;
    std::uint32_t prefix = 0;  // bytes present from the start on, without a hole
    bool known = false;        // a part has arrived, so there is a block
    bool advanced = false;     // of what has arrived the furthest byte is beyond an eighth
    [[nodiscard]] bool complete() const noexcept { return known && prefix == block.length; }
  };
  static constexpr std::uint32_t messages_max = 1U << 16U;
  static constexpr std::uint32_t islands_max = 16384;  // holes in flight at once
  // Above the largest message, so that ranges of neighbouring messages never touch.
  static constexpr unsigned island_shift = 27;

  [[nodiscard]] std::uint64_t key(std::uint32_t i, std::uint32_t offset) const noexcept {
    return ((delivered_ + i) << island_shift) | offset;
  }

  /// Makes the record and the block of a message at its first part.
  [[nodiscard]] Drop begin(std::uint32_t i, const Frame& part, CreditGiver& credit,
                           Memory& memory) noexcept {
    if (i < messages_.size() && messages_[i].known) return Drop::none;
    if (memory_cost(part.total) > credit.left()) return Drop::credit_exceeded;
    if (i >= messages_.size()) {
      // Every message before it costs credit too: an honest peer cannot be further ahead.
      const std::uint64_t unseen = i - messages_.size();
      if (unseen * slab_bytes_min + memory_cost(part.total) > credit.left())
        return Drop::credit_exceeded;
      while (messages_.size() <= i) {
        InMessage* const message = messages_.append();
        if (message == nullptr) return Drop::no_memory;
        message->prefix = 0;
        message->known = false;
        message->advanced = false;
      }
    }
    InMessage& message = messages_[i];
    if (!credit.consume(memory, part.number, part.total, message.block)) {
      // Its credit is spent, so only the block is missing: wait for it in turn.
      credit.want_block(memory, part.number, part.total);
      return Drop::no_memory;
    }
    message.known = true;
    undelivered_bytes_ += memory_cost(part.total);
    return Drop::none;
  }

  [[nodiscard]] Drop repeated() noexcept {
    ++repeated_parts_;
    return Drop::none;
  }
  [[nodiscard]] Drop add(InMessage& message, std::uint32_t i, const Frame& part,
                         Memory& memory) noexcept {
    const auto size = static_cast<std::uint32_t>(part.bytes.size());
    const std::uint32_t end = part.offset + size;
    if (end >= message.block.length / 8) message.advanced = true;
    if (end <= message.prefix && part.total != 0) return repeated();
    if (part.offset <= message.prefix) {
      memory.write(message.block, part.offset, part.bytes);
      message.prefix = end;
      absorb_islands(message, i);
      return Drop::none;
    }
    const Interval island{key(i, part.offset), key(i, end)};
    if (islands_.contains(island)) return repeated();
    if (!islands_.add(island)) return Drop::no_memory;
    memory.write(message.block, part.offset, part.bytes);
    return Drop::none;
  }
  void absorb_islands(InMessage& message, std::uint32_t i) noexcept {
    if (islands_.empty()) return;
    const Interval so_far{key(i, 0), key(i, message.prefix)};
    if (!islands_.add(so_far)) return;  // no room: the hole is filled by a repetition
    for (std::uint32_t at = 0; at < islands_.count(); ++at) {
      if (islands_[at].begin != so_far.begin) continue;
      const Interval merged = islands_[at];
      message.prefix = static_cast<std::uint32_t>(merged.end - so_far.begin);
      (void)islands_.remove(merged);  // a whole range: never needs another one
      return;
    }
  }

  GrowRing<InMessage> messages_;  // from next_ on; unknown ones are placeholders
  IntervalSet islands_;           // parts beyond a message's prefix
  std::uint64_t delivered_ = 0;   // messages handed out: next_ without the wrap
  std::uint64_t undelivered_bytes_ = 0;
  std::uint32_t repeated_parts_ = 0;
  MessageNumber next_;
};

}  // namespace proa
