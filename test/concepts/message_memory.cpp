// MessageMemory: what is enough, and for each requirement a near miss that does not pass.
#include <proa/mem/heap_memory.hpp>
#include <proa/mem/message_memory.hpp>

namespace proa {
namespace {

using Base = MessageMemoryArchetype;
static_assert(MessageMemory<MessageMemoryArchetype>);
static_assert(MessageMemory<HeapMemory>);

struct ThrowingReserve : Base {
  std::optional<MessageBlock> reserve(std::uint32_t) { return std::nullopt; }
};
struct PointerReserve : Base {  // a pointer says nothing about which block it was
  std::byte* reserve(std::uint32_t) noexcept { return nullptr; }
};
struct WideGrant : Base {  // the ledger's unit is part of the wire protocol: 32 bits
  std::uint64_t grant(std::uint32_t) noexcept { return 0; }
};
struct SilentGrant : Base {
  void grant(std::uint32_t) noexcept {}
};
struct AnsweringRetract : Base {
  bool retract(std::uint32_t) noexcept { return true; }
};
struct NoLastReserve : Base {
  void reserve_last() noexcept {}
};
struct MutatingRead : Base {  // sending must not change what is sent
  void read(const MessageBlock&, std::uint32_t, std::span<std::byte>) noexcept {}
};
struct ShortWrite : Base {  // the caller promises the range: there is nothing to report
  std::size_t write(const MessageBlock&, std::uint32_t, std::span<const std::byte>) noexcept {
    return 0;
  }
};
struct WriteFromMutable : Base {  // would let the memory change received bytes
  void write(const MessageBlock&, std::uint32_t, std::span<std::byte>) noexcept {}
};
struct ConsumingRelease : Base {
  void release(MessageBlock&) noexcept {}
};
struct ThrowingRelease : Base {
  void release(const MessageBlock&) {}
};

static_assert(!MessageMemory<ThrowingReserve>);
static_assert(!MessageMemory<PointerReserve>);
static_assert(!MessageMemory<WideGrant>);
static_assert(!MessageMemory<SilentGrant>);
static_assert(!MessageMemory<AnsweringRetract>);
static_assert(!MessageMemory<NoLastReserve>);
static_assert(!MessageMemory<MutatingRead>);
static_assert(!MessageMemory<ShortWrite>);
static_assert(!MessageMemory<WriteFromMutable>);
static_assert(!MessageMemory<ConsumingRelease>);
static_assert(!MessageMemory<ThrowingRelease>);
static_assert(!MessageMemory<int>);

// The unit of credit, as both ends count it.
static_assert(memory_cost(0) == 64 && memory_cost(64) == 64 && memory_cost(65) == 128);
static_assert(memory_cost(8 << 20) == 8 << 20 && memory_cost((4 << 20) + 1) == 8 << 20);

}  // namespace
}  // namespace proa
