// L1: message memory of an in-process stack: two private regions, one to send from, one to receive
// into.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <proa/base/check.hpp>
#include <proa/mem/arena.hpp>
#include <proa/mem/heap_region.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/mem/part_copy.hpp>
#include <proa/mem/receive_ledger.hpp>

namespace proa {

/// Models MessageMemory. Address space is taken at construction (which may throw std::bad_alloc),
/// memory as it is touched. Threading: none.
class HeapMemory {
 public:
  struct Options {
    std::uint64_t send_bytes = std::uint64_t{256} << 20;
    std::uint64_t receive_bytes = std::uint64_t{256} << 20;
    std::uint32_t message_bytes_max = std::uint32_t{8} << 20;  // a receive block of it is kept back
  };
  enum Origin : std::uint32_t { send_origin = 0, receive_origin = 1 };

  HeapMemory() : HeapMemory(Options{}) {}
  explicit HeapMemory(const Options& options)
      : send_(options.send_bytes), receive_(options.receive_bytes), ledger_(0) {
    static_cast<void>(receive_.arena.keep_back(memory_cost(options.message_bytes_max)));
    ledger_ = ReceiveLedger{receive_.arena.capacity() - receive_.arena.kept()};
  }
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;

  /// A block for the application to write a message of `length` bytes into; nothing when full.
  [[nodiscard, gnu::always_inline]] std::optional<MessageBlock> allocate_send(
      std::uint32_t length) noexcept {
    return block(send_, send_origin, length, send_.arena.take(length));
  }

  [[nodiscard]] std::uint32_t grant(std::uint32_t n) noexcept { return ledger_.grant(n); }
  void retract(std::uint32_t n) noexcept { ledger_.retract(n); }
  [[nodiscard, gnu::always_inline]] std::optional<MessageBlock> reserve(
      std::uint32_t length) noexcept {
    return received(length, receive_.arena.take(length));
  }
  [[nodiscard]] std::optional<MessageBlock> reserve_last(std::uint32_t length) noexcept {
    return received(length, receive_.arena.allocate_last(length).value_or(Arena::no_block));
  }
  void write(const MessageBlock& to, std::uint32_t at, std::span<const std::byte> in) noexcept {
    write_part(to, at, in);
  }
  void read(const MessageBlock& from, std::uint32_t at, std::span<std::byte> out) const noexcept {
    read_part(from, at, out);
  }
  void release(const MessageBlock& b) noexcept {
    if (b.origin == receive_origin) {
      PROA_CHECK(receive_.arena.release(b.tag));
      ledger_.give_back(b.length);
    } else {
      PROA_CHECK(b.origin == send_origin && send_.arena.release(b.tag));
    }
  }

  [[nodiscard]] const Arena& send_arena() const noexcept { return send_.arena; }
  [[nodiscard]] const Arena& receive_arena() const noexcept { return receive_.arena; }
  [[nodiscard]] std::int64_t ledger_free() const noexcept { return ledger_.free(); }

 private:
  struct Side {
    explicit Side(std::uint64_t bytes)
        : region(std::make_shared<HeapRegion>(bytes)), base(region->data()), arena(bytes) {}
    std::shared_ptr<HeapRegion> region;
    std::byte* base;
    Arena arena;
  };

  [[nodiscard, gnu::always_inline]] std::optional<MessageBlock> received(
      std::uint32_t length, std::uint64_t at) noexcept {
    if (at != Arena::no_block) ledger_.take(length);
    return block(receive_, receive_origin, length, at);
  }
  [[nodiscard, gnu::always_inline]] static std::optional<MessageBlock> block(
      const Side& side, Origin origin, std::uint32_t length, std::uint64_t at) noexcept {
    if (at == Arena::no_block) return std::nullopt;
    return MessageBlock{side.base + at, length, origin, at};
  }

  Side send_;
  Side receive_;
  ReceiveLedger ledger_;
};
static_assert(MessageMemory<HeapMemory>);

}  // namespace proa
