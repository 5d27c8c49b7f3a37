// L1: the memory messages live in, as the transport sees it. Memory passed in is not I/O.
#pragma once
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace proa {

/// A message's bytes in some memory: where, how long, and the memory's own name for the block.
/// A plain value; the contract it is passed through says who owns it.
struct MessageBlock {
  std::byte* data = nullptr;
  std::uint32_t length = 0;  // bytes of the message
  std::uint32_t origin = 0;  // which part of the memory it belongs to (the memory's own business)
  std::uint64_t tag = 0;     // the memory's name for the block: offset, generation ...

  /// Copies member by member. A block just put together is still in the processor's store buffer,
  /// from where a wider load than the stores were would have to wait (about 5 ns per message).
  void assign(const MessageBlock& from) noexcept {
    data = from.data;
    length = from.length;
    origin = from.origin;
    tag = from.tag;
  }
};

inline constexpr std::uint32_t slab_bytes_min = 64;
inline constexpr std::uint32_t slab_bytes_max = 64 * 1024;

/// Receive memory a message of `length` bytes takes: its size class, a power of two.
/// Credit is counted in this unit by both ends, so it is part of the wire protocol.
[[nodiscard]] constexpr std::uint32_t memory_cost(std::uint32_t length) noexcept {
  return length <= slab_bytes_min ? slab_bytes_min : std::bit_ceil(length);
}

/// What a flow needs of the memory it sends from and receives into. All of it belongs to the
/// engine's thread and neither blocks nor allocates from the system.
///
/// Receive: a ledger of bytes (in memory_cost units) and the blocks themselves.
/// - grant(n) takes up to n bytes off the ledger as a promise to a peer (credit) and says how many;
///   it may say 0. retract(n) puts unused promises back.
/// - reserve(length) takes a block and its cost off the ledger; the ledger may go below zero (the
///   initial credit is overcommitted), but only real memory is ever handed out: else nothing.
///   A flow that uses promised credit calls retract(cost) and then reserve(length).
/// - reserve_last(length) may also take the block kept back for the oldest incomplete message.
/// - write(b, at, bytes): at + bytes.size() <= b.length is the caller's promise.
/// Send: read(b, at, out) from a block the application handed in, same promise.
/// - release(b): gives a block back: received and not delivered, or sent and acknowledged (or given
///   up). A block delivered to the application comes back by the application's side instead.
template <class M>
concept MessageMemory = requires(M& memory, const M& view, const MessageBlock& block,
                                 std::uint32_t n, std::span<const std::byte> in,
                                 std::span<std::byte> out) {
  { memory.grant(n) }
  noexcept->std::same_as<std::uint32_t>;
  { memory.retract(n) }
  noexcept->std::same_as<void>;
  { memory.reserve(n) }
  noexcept->std::same_as<std::optional<MessageBlock>>;
  { memory.reserve_last(n) }
  noexcept->std::same_as<std::optional<MessageBlock>>;
  { memory.write(block, n, in) }
  noexcept->std::same_as<void>;
  { view.read(block, n, out) }
  noexcept->std::same_as<void>;
  { memory.release(block) }
  noexcept->std::same_as<void>;
};

/// The smallest model: a memory that is always full.
struct MessageMemoryArchetype {
  std::uint32_t grant(std::uint32_t) noexcept { return 0; }
  void retract(std::uint32_t) noexcept {}
  std::optional<MessageBlock> reserve(std::uint32_t) noexcept { return std::nullopt; }
  std::optional<MessageBlock> reserve_last(std::uint32_t) noexcept { return std::nullopt; }
  void write(const MessageBlock&, std::uint32_t, std::span<const std::byte>) noexcept {}
  void read(const MessageBlock&, std::uint32_t, std::span<std::byte>) const noexcept {}
  void release(const MessageBlock&) noexcept {}
};
static_assert(MessageMemory<MessageMemoryArchetype>);

}  // namespace proa
