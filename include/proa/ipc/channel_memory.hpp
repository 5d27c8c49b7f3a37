// L2: the message memory of one channel as the sidecar's engine sees it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <proa/base/check.hpp>
#include <proa/base/fixed_ring.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/mem/arena.hpp>
#include <proa/mem/heap_region.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/mem/part_copy.hpp>
#include <proa/mem/receive_ledger.hpp>

namespace proa {

/// What the application must be told of memory it sent from. `inline_released` of a single flow is
/// the server's business: it takes the names from `flows`.
struct SendReleases {
  SendReleases(std::uint32_t blocks_max, std::uint32_t inline_max)
      : block_ids(blocks_max), flows(inline_max) {}
  FixedRing<std::uint32_t> block_ids;  // not told yet
  FixedRing<std::uint32_t> flows;      // a handle per released inline message, not told yet
  std::uint64_t block_bytes = 0;       // of block_ids
};

/// Models MessageMemory. Receives into the channel's shared arena, whose bookkeeping is private;
/// sends from the application's region, which it only reads, or from private copies of messages
/// that travelled in slots. The bytes of a sent block may change while it is read: that harms its
/// own message only. Threading: the engine's thread.
class ChannelMemory {
 public:
  enum Origin : std::uint32_t { send_block = 0, inline_copy = 1, receive_block = 2 };

  /// `send_arena` and `receive_arena` have the sizes of `g` and outlive this. May throw
  /// std::bad_alloc.
  ChannelMemory(const ChannelGeometry& g, const std::byte* send_arena, std::byte* receive_arena)
      : send_at_(send_arena),
        receive_at_(receive_arena),
        receive_(g.receive_bytes),
        ledger_(0),
        copies_region_(std::uint64_t{g.inline_messages_max} * copy_bytes + Arena::page_bytes * 2),
        copies_(copies_region_.size()),
        blocks_max_(g.blocks_max),
        inline_max_(g.inline_messages_max),
        releases_(g.blocks_max, g.inline_messages_max) {
    static_cast<void>(receive_.keep_back(memory_cost(g.message_bytes_max)));
    ledger_ = ReceiveLedger{receive_.capacity() - receive_.kept()};
  }
  ChannelMemory(const ChannelMemory&) = delete;
  ChannelMemory& operator=(const ChannelMemory&) = delete;

  [[nodiscard]] std::uint32_t grant(std::uint32_t n) noexcept { return ledger_.grant(n); }
  void retract(std::uint32_t n) noexcept { ledger_.retract(n); }
  [[nodiscard]] std::optional<MessageBlock> reserve(std::uint32_t length) noexcept {
    return received(length, receive_.allocate(length));
  }
  [[nodiscard]] std::optional<MessageBlock> reserve_last(std::uint32_t length) noexcept {
    return received(length, receive_.allocate_last(length));
  }
  void write(const MessageBlock& to, std::uint32_t at, std::span<const std::byte> in) noexcept {
    write_part(to, at, in);
  }
  void read(const MessageBlock& from, std::uint32_t at, std::span<std::byte> out) const noexcept {
    read_part(from, at, out);
  }
  void release(const MessageBlock& block) noexcept {
    switch (block.origin) {
      case send_block:
        PROA_CHECK(releases_.block_ids.push(static_cast<std::uint32_t>(block.tag)));
        releases_.block_bytes += block.length;
        return;
      case inline_copy:
        PROA_CHECK(copies_.release(static_cast<std::uint64_t>(block.data - copies_region_.data())));
        PROA_CHECK(releases_.flows.push(static_cast<std::uint32_t>(block.tag >> 32U)));
        return;
      default:
        PROA_CHECK(block.origin == receive_block && receive_.release(block.tag));
        ledger_.give_back(block.length);
    }
  }

  // --- the channel server's side ---

  /// A block of the application's send arena; [offset, offset + length) was found inside it.
  /// Nothing when the application has more outstanding than it may.
  [[nodiscard]] std::optional<MessageBlock> sent_block(ChannelHandle flow,
                                                       const SubmitBlock& s) noexcept {
    if (blocks_out_ == blocks_max_) return std::nullopt;
    ++blocks_out_;
    // The engine only reads it; the mapping is read-only besides.
    return MessageBlock{const_cast<std::byte*>(send_at_) + s.offset, s.length, send_block,
                        tag_of(flow) | s.id};
  }
  /// A private block for a message that travels in slots; nothing as above.
  [[nodiscard]] std::optional<MessageBlock> sent_copy(ChannelHandle flow,
                                                      std::uint32_t length) noexcept {
    if (inline_out_ == inline_max_) return std::nullopt;
    const auto at = copies_.allocate(copy_bytes);
    if (!at) return std::nullopt;
    ++inline_out_;
    return MessageBlock{copies_region_.data() + *at, length, inline_copy, tag_of(flow)};
  }
  /// A sent block or copy that the engine has not taken: as if it had never been asked for.
  void undo(const MessageBlock& block) noexcept {
    if (block.origin == send_block) {
      --blocks_out_;
    } else {
      PROA_CHECK(copies_.release(static_cast<std::uint64_t>(block.data - copies_region_.data())));
      --inline_out_;
    }
  }
  /// The application has been, or is about to be, told of so many.
  void told_blocks(std::uint32_t count) noexcept { blocks_out_ -= count; }
  void told_inline(std::uint32_t count) noexcept { inline_out_ -= count; }

  [[nodiscard]] SendReleases& releases() noexcept { return releases_; }
  [[nodiscard]] std::uint64_t offset_of(const MessageBlock& received) const noexcept {
    return static_cast<std::uint64_t>(received.data - receive_at_);
  }
  /// Nothing of the channel is in the engine's hands.
  [[nodiscard]] bool idle() const noexcept {
    return receive_.used() == 0 && blocks_out_ == releases_.block_ids.size() &&
           inline_out_ == releases_.flows.size();
  }
  [[nodiscard]] const Arena& receive_arena() const noexcept { return receive_; }
  [[nodiscard]] std::int64_t ledger_free() const noexcept { return ledger_.free(); }

 private:
  static constexpr std::uint32_t copy_bytes = 128;  // one size: the limit is never met early
  static_assert(inline_two <= copy_bytes);

  static constexpr std::uint64_t tag_of(ChannelHandle flow) noexcept {
    return std::uint64_t{flow.value} << 32U;
  }
  [[nodiscard]] std::optional<MessageBlock> received(std::uint32_t length,
                                                     std::optional<std::uint64_t> at) noexcept {
    if (!at) return std::nullopt;
    ledger_.take(length);
    return MessageBlock{receive_at_ + *at, length, receive_block, *at};
  }

  const std::byte* send_at_;
  std::byte* receive_at_;
  Arena receive_;
  ReceiveLedger ledger_;
  HeapRegion copies_region_;
  Arena copies_;
  std::uint32_t blocks_max_;
  std::uint32_t inline_max_;
  std::uint32_t blocks_out_ = 0;  // submitted, release not told
  std::uint32_t inline_out_ = 0;
  SendReleases releases_;
};
static_assert(MessageMemory<ChannelMemory>);

}  // namespace proa
