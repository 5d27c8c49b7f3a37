// L2: the messages a flow has to send, as one stream of positions.
//
// Message i occupies length + 1 positions: its bytes and one for its end, so that empty messages
// count too. What packets carried, what is lost and what is acknowledged are ranges of positions;
// only the wire speaks of message numbers and offsets. Lost ranges go again in whatever packets
// come next (RFC 9000 13.3: information is sent again, not packets).
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>

#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/mem/grow_ring.hpp>
#include <proa/mem/interval_set.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/transport/options.hpp>
#include <proa/wire/frames.hpp>

namespace proa {

/// The sender's side of credit: what the peer allows in all and what has been used of it.
struct CreditUse {
  CreditLimit limit;  // the largest the peer has announced
  CreditLimit used;   // memory_cost of every message begun

  [[nodiscard]] std::uint32_t left() const noexcept { return limit.since(used); }
  [[nodiscard]] bool covers(std::uint32_t length) const noexcept {
    return memory_cost(length) <= left();
  }
  void charge(std::uint32_t length) noexcept { used = used.plus(memory_cost(length)); }
  void raise(CreditLimit to) noexcept {
    if (to.after(limit)) limit = to;
  }
};

template <MessageMemory Memory>
class SendQueue {
 public:
  SendQueue(ScratchPool& pool, const FlowOptions& options, MessageNumber first = {}) noexcept
      : messages_(pool, options.send_queue_messages_max),
        lost_(pool, ranges_max),
        acked_(pool, ranges_max),
        first_number_(first) {}

  [[nodiscard]] bool empty() const noexcept { return messages_.empty(); }
  [[nodiscard]] bool has_lost() const noexcept { return !lost_.empty(); }
  [[nodiscard]] bool has_new() const noexcept { return unsent_ < messages_.size(); }
  /// Parts of messages were sent and not all of them are acknowledged.
  [[nodiscard]] bool awaits_acknowledgement() const noexcept {
    return acknowledged_below_ < sent_below();
  }
  [[nodiscard]] std::uint64_t queued_bytes() const noexcept { return queued_bytes_; }
  [[nodiscard]] std::uint32_t queued_messages() const noexcept { return messages_.size(); }
  [[nodiscard]] MessageNumber next_number() const noexcept {
    return first_number_.plus(messages_.size());
  }
  [[nodiscard]] std::uint64_t total_messages() const noexcept { return total_messages_; }
  [[nodiscard]] std::uint32_t longest_message() const noexcept {
    std::uint32_t longest = 0;
    for (std::uint32_t i = 0; i < messages_.size(); ++i)
      longest = std::max(longest, messages_[i].block.length);
    return longest;
  }
  /// Every message before this one has been acknowledged.
  [[nodiscard]] MessageNumber first_unacknowledged() const noexcept { return first_number_; }

  /// One message always fits, however large; more only below the limits.
  [[nodiscard]] bool fits(std::uint32_t length, const FlowOptions& options) const noexcept {
    if (messages_.empty()) return true;
    return !messages_.full() && queued_bytes_ + length <= options.send_queue_bytes_max;
  }

  /// It gets the number before next_number(). False: no room to remember it.
  [[nodiscard]] bool push(const MessageBlock& block, bool notify) noexcept {
    OutMessage* const message = messages_.append();
    if (message == nullptr) return false;
    // end_ is where the newest message ends, acknowledged or not.
    message->block.assign(block);
    message->start = end_;
    message->notify = notify;
    end_ += std::uint64_t{block.length} + 1;
    queued_bytes_ += block.length;
    ++total_messages_;
    return true;
  }

  /// The next message to begin, if its credit is missing.
  struct Blocked {
    MessageNumber number;
    std::uint32_t length;
  };
  [[nodiscard]] std::optional<Blocked> blocked_on(const CreditUse& credit) const noexcept {
    const std::uint32_t i = first_unbegun();
    if (i >= messages_.size() || credit.covers(messages_[i].block.length)) return std::nullopt;
    return Blocked{first_number_.plus(i), messages_[i].block.length};
  }
  /// True if new data may go as far as credit is concerned.
  [[nodiscard]] bool can_begin_or_continue(const CreditUse& credit) const noexcept {
    if (!has_new()) return false;
    return unsent_offset_ > 0 || credit.covers(messages_[unsent_].block.length);
  }

  /// Packs parts of new messages until the packet is full, credit ends or nothing is left.
  /// Returns the positions written.
  Interval write_new(FrameWriter& out, const Memory& memory, CreditUse& credit) noexcept {
    Interval written{};
    while (has_new()) {
      const OutMessage& message = messages_[unsent_];
      if (unsent_offset_ == 0 && !credit.covers(message.block.length)) break;
      const std::uint32_t chunk = chunk_for(message.block.length, unsent_offset_, out.room());
      if (chunk == nothing_fits) break;
      if (unsent_offset_ == 0) credit.charge(message.block.length);
      const std::uint64_t begin = message.start + unsent_offset_;
      if (written.begin == written.end) written = {begin, begin};
      written.end = write_chunk(out, memory, unsent_, unsent_offset_, chunk);
      unsent_offset_ += chunk;
      if (unsent_offset_ == message.block.length) {
        ++unsent_;
        unsent_offset_ = 0;
      } else {
        break;  // the packet is full
      }
    }
    return written;
  }

  /// Packs the oldest lost range again, as far as it fits. The positions leave the lost set.
  Interval write_lost(FrameWriter& out, const Memory& memory) noexcept {
    if (lost_.empty()) return {};
    const Interval written = write_range(out, memory, lost_.front());
    (void)lost_.remove(written);  // a prefix of the first range: never needs another range
    return written;
  }

  /// Packs the oldest positions that were sent and are not acknowledged: for probes.
  Interval write_oldest(FrameWriter& out, const Memory& memory) noexcept {
    Interval range{acknowledged_below_, sent_below()};
    if (!acked_.empty()) range.end = std::min(range.end, acked_.front().begin);
    if (range.begin >= range.end) return {};
    const Interval written = write_range(out, memory, range);
    (void)lost_.remove(written);  // no room: sent once more, harmless
    return written;
  }

  /// Acknowledged positions: messages wholly covered leave, their blocks go back to `memory`.
  /// Returns false if there was no room to remember the range (then it stays unacknowledged).
  [[nodiscard]] bool acknowledge(Interval range, Memory& memory) noexcept {
    range.begin = std::max(range.begin, acknowledged_below_);
    if (range.begin >= range.end) return true;
    if (!lost_.empty()) (void)lost_.remove(range);  // no room: sent once more, harmless
    if (range.begin == acknowledged_below_ && acked_.empty()) {
      acknowledged_below_ = range.end;  // the common case: in order
    } else {
      if (!acked_.add(range)) return false;
      if (acked_.front().begin <= acknowledged_below_) {
        acknowledged_below_ = acked_.front().end;
        acked_.drop_below(acknowledged_below_);
      }
    }
    lost_.drop_below(acknowledged_below_);
    release_acknowledged(memory);
    return true;
  }

  /// Lost positions come back to be sent, less what has been acknowledged since.
  [[nodiscard]] bool lose(Interval range) noexcept {
    range.begin = std::max(range.begin, acknowledged_below_);
    if (range.begin >= range.end) return true;
    if (!lost_.add(range)) return false;
    for (std::uint32_t i = 0; i < acked_.count(); ++i)
      if (!lost_.remove(acked_[i])) return true;  // sent twice: harmless
    return true;
  }

  /// Takes the number of the newest acknowledged message that asked to be told, if any.
  [[nodiscard]] bool take_sent(MessageNumber& number) noexcept {
    if (!sent_to_tell_) return false;
    sent_to_tell_ = false;
    number = newest_to_tell_;
    return true;
  }
  [[nodiscard]] bool has_sent() const noexcept { return sent_to_tell_; }

  /// Gives everything up: all blocks go back to `memory`.
  void clear(Memory& memory) noexcept {
    for (; !messages_.empty(); messages_.pop_front()) {
      memory.release(messages_.front().block);
      first_number_ = first_number_.plus(1);
    }
    acknowledged_below_ = end_;
    unsent_ = unsent_offset_ = 0;
    queued_bytes_ = 0;
    lost_.clear();
    acked_.clear();
    trim();
  }
  void trim() noexcept {
    messages_.trim();
    lost_.trim();
    acked_.trim();
  }

  [[nodiscard]] const char* broken_invariant() const noexcept {
    if (const char* why = lost_.broken_invariant()) return why;
    if (const char* why = acked_.broken_invariant()) return why;
    if (unsent_ > messages_.size()) return "the send cursor is past the queue";
    if (!acked_.empty() && acked_.front().begin <= acknowledged_below_)
      return "an acknowledged range was not merged";
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < messages_.size(); ++i) bytes += messages_[i].block.length;
    return bytes == queued_bytes_ ? nullptr : "queued bytes differ from the messages";
  }

 private:
  struct OutMessage {
    MessageBlock block;
    std::uint64_t start = 0;
    bool notify = false;
    [[nodiscard]] std::uint64_t end() const noexcept { return start + block.length + 1; }
  };
  static constexpr std::uint32_t ranges_max = 16384;  // one per packet in flight
  static constexpr std::uint32_t nothing_fits = ~0U;
  static constexpr std::uint32_t split_bytes_min = 256;  // smaller pieces are not worth a header

  /// Every position below this was sent at least once.
  [[nodiscard]] std::uint64_t sent_below() const noexcept {
    return has_new() ? messages_[unsent_].start + unsent_offset_ : end_;
  }
  [[nodiscard]] std::uint32_t first_unbegun() const noexcept {
    return unsent_offset_ > 0 ? unsent_ + 1 : unsent_;
  }

  /// How many bytes of a message to put into `room`: all that is left, a piece, or nothing_fits.
  [[nodiscard]] static std::uint32_t chunk_for(std::uint32_t length, std::uint32_t offset,
                                               std::size_t room) noexcept {
    const std::uint32_t left = length - offset;
    const std::size_t head = offset == 0 ? whole_frame_bytes : part_frame_bytes;
    if (left + head <= room && left <= 0xffff) return left;
    if (room < part_frame_bytes + std::min(left, split_bytes_min)) return nothing_fits;
    return std::min({left, static_cast<std::uint32_t>(room - part_frame_bytes), 0xffffU});
  }

  /// Writes one frame; returns the position after it (past the end mark if it ends the message).
  std::uint64_t write_chunk(FrameWriter& out, const Memory& memory, std::uint32_t index,
                            std::uint32_t offset, std::uint32_t chunk) noexcept {
    const OutMessage& message = messages_[index];
    const auto number = first_number_.plus(index);
    const auto size = static_cast<std::uint16_t>(chunk);
    const MutableBytes to = chunk == message.block.length
                                ? out.whole(number, size)
                                : out.part(number, offset, message.block.length, size);
    memory.read(message.block, offset, to);
    const bool ends = offset + chunk == message.block.length;
    return message.start + offset + chunk + (ends ? 1 : 0);
  }

  Interval write_range(FrameWriter& out, const Memory& memory, Interval range) noexcept {
    Interval written{range.begin, range.begin};
    std::uint32_t i = message_at(range.begin);
    while (written.end < range.end && i < messages_.size()) {
      const OutMessage& message = messages_[i];
      // A range may begin at a bare end mark only when the last byte is still wanted with it.
      auto offset = static_cast<std::uint32_t>(written.end - message.start);
      offset = std::min(offset, message.block.length == 0 ? 0 : message.block.length - 1);
      const std::uint64_t stop = std::min(range.end, message.start + message.block.length);
      const auto wanted_to = static_cast<std::uint32_t>(stop - message.start);
      const std::uint32_t wanted = std::max(wanted_to, offset + (message.block.length ? 1 : 0));
      const std::uint32_t chunk =
          chunk_for(wanted, offset,
                    wanted == message.block.length ? out.room() : part_room(out.room(), offset));
      if (chunk == nothing_fits) break;
      written.end = write_chunk(out, memory, i, offset, chunk);
      if (offset + chunk < wanted) break;  // the packet is full
      ++i;
    }
    return written;
  }
  /// chunk_for assumes the short frame head at offset 0, which only whole messages have.
  [[nodiscard]] static std::size_t part_room(std::size_t room, std::uint32_t offset) noexcept {
    if (offset != 0) return room;
    const std::size_t more = part_frame_bytes - whole_frame_bytes;
    return room > more ? room - more : 0;
  }

  [[nodiscard]] std::uint32_t message_at(std::uint64_t position) const noexcept {
    std::uint32_t low = 0;
    std::uint32_t high = messages_.size();
    while (low < high) {
      const std::uint32_t middle = (low + high) / 2;
      if (messages_[middle].end() <= position)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  void release_acknowledged(Memory& memory) noexcept {
    while (!messages_.empty() && messages_.front().end() <= acknowledged_below_) {
      const OutMessage& done = messages_.front();
      memory.release(done.block);
      queued_bytes_ -= done.block.length;
      if (done.notify) {
        sent_to_tell_ = true;
        newest_to_tell_ = first_number_;
      }
      messages_.pop_front();
      first_number_ = first_number_.plus(1);
      --unsent_;  // it was sent, so the cursor is past it
    }
  }

  GrowRing<OutMessage> messages_;  // from the oldest with an unacknowledged position
  IntervalSet lost_;               // to be sent again
  IntervalSet acked_;              // acknowledged above acknowledged_below_
  std::uint64_t acknowledged_below_ = 0;
  std::uint64_t end_ = 0;  // position after the last message
  std::uint64_t queued_bytes_ = 0;
  std::uint64_t total_messages_ = 0;
  std::uint32_t unsent_ = 0;  // index of the message the next new data comes from
  std::uint32_t unsent_offset_ = 0;
  MessageNumber first_number_;  // number of messages_.front()
  MessageNumber newest_to_tell_;
  bool sent_to_tell_ = false;
};

}  // namespace proa
