// L2: the memory of a channel as the application's side sees it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <proa/base/fixed_ring.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/ipc/shm.hpp>
#include <proa/mem/arena.hpp>
#include <proa/mem/heap_region.hpp>
#include <proa/mem/message_memory.hpp>

namespace proa {

/// Owns the mappings, so it outlives every message and buffer that points into them, and the
/// channel client too. Blocks are of three origins: to send from, received and leased, received in
/// slots and copied. Threading: the stack's thread. Construction may throw std::bad_alloc.
class ClientMemory {
 public:
  enum Origin : std::uint32_t { send_block = 0, leased = 1, copied = 2 };

  /// The mappings have the sizes of `g`, which is possible(); `receive` needs no write access.
  /// `channel` is found again in every block: channel_of().
  ClientMemory(const ChannelGeometry& g, SharedMapping send, SharedMapping receive,
               std::uint32_t channel = 0)
      : geometry_(g),
        channel_bits_(channel << channel_shift),
        send_(std::move(send)),
        receive_(std::move(receive)),
        send_arena_(g.send_bytes),
        copies_region_(copies_bytes),
        copies_(copies_bytes),
        returns_(g.leases_max) {}
  ClientMemory(const ClientMemory&) = delete;
  ClientMemory& operator=(const ClientMemory&) = delete;

  /// Memory for a message of `length` bytes to be sent; nothing when there is none now.
  [[nodiscard]] std::optional<MessageBlock> allocate_send(std::uint32_t length) noexcept {
    const auto at = send_arena_.allocate(length);
    if (!at) return std::nullopt;
    return MessageBlock{send_at(*at), length, channel_bits_ | send_block, *at};
  }

  /// A message that came in slots, in private memory; nothing when the application holds too many.
  [[nodiscard]] std::optional<MessageBlock> copy(std::span<const std::byte> first,
                                                 std::span<const std::byte> second) noexcept {
    const std::size_t length = first.size() + second.size();
    const auto at = copies_.allocate(length);
    if (!at) return std::nullopt;
    std::byte* to = copies_region_.data() + *at;
    if (!first.empty()) std::memcpy(to, first.data(), first.size());
    if (!second.empty()) std::memcpy(to + first.size(), second.data(), second.size());
    return MessageBlock{to, static_cast<std::uint32_t>(length), channel_bits_ | copied, *at};
  }

  /// A message the sidecar lent; nothing when it lies outside the arena or is longer than any may
  /// be.
  [[nodiscard]] std::optional<MessageBlock> lease(const MessageBlockEvent& m) const noexcept {
    if (m.length > geometry_.message_bytes_max || m.offset > geometry_.receive_bytes - m.length)
      return std::nullopt;
    std::byte* at = receive_.data() + receive_layout(geometry_).arena_offset() + m.offset;
    return MessageBlock{at, m.length, channel_bits_ | leased,
                        (std::uint64_t{m.lease.generation} << 32U) | m.lease.index};
  }

  /// Takes back any block this memory handed out. Callable after the channel has ended.
  void release(const MessageBlock& block) noexcept {
    const std::uint32_t origin = block.origin & ((1U << channel_shift) - 1);
    if (origin == send_block)
      static_cast<void>(send_arena_.release(block.tag));
    else if (origin == copied)
      static_cast<void>(copies_.release(block.tag));
    else  // a full list means that the sidecar lent more than it may: its loss
      static_cast<void>(returns_.push(
          {static_cast<std::uint32_t>(block.tag), static_cast<std::uint32_t>(block.tag >> 32U)}));
  }

  /// Which of an application's channels a block belongs to, as told to its memory when made.
  [[nodiscard]] static std::uint32_t channel_of(const MessageBlock& block) noexcept {
    return block.origin >> channel_shift;
  }

  // --- the channel client's side ---

  [[nodiscard]] FixedRing<LeaseName>& returns() noexcept { return returns_; }
  [[nodiscard]] Arena& send_arena() noexcept { return send_arena_; }
  [[nodiscard]] std::byte* send_region() noexcept { return send_.data(); }
  [[nodiscard]] const std::byte* receive_region() const noexcept { return receive_.data(); }
  [[nodiscard]] const ChannelGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] std::uint64_t copies_used() const noexcept { return copies_.used(); }

 private:
  static constexpr std::uint64_t copies_bytes = std::uint64_t{8} << 20;  // 65,536 messages of 112 B

  [[nodiscard]] std::byte* send_at(std::uint64_t offset) const noexcept {
    return send_.data() + send_layout(geometry_).arena_offset() + offset;
  }

  static constexpr std::uint32_t channel_shift = 8;  // of the channel in MessageBlock::origin

  ChannelGeometry geometry_;
  std::uint32_t channel_bits_;
  SharedMapping send_;
  SharedMapping receive_;
  Arena send_arena_;
  HeapRegion copies_region_;
  Arena copies_;
  FixedRing<LeaseName> returns_;
};

}  // namespace proa
