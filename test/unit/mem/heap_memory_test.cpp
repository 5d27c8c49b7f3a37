// L1 tests: message memory on the heap and its ledger.
#include <catch2/catch.hpp>

#include <array>
#include <vector>

#include <proa/base/fixed_ring.hpp>
#include <proa/mem/heap_memory.hpp>

namespace proa {
namespace {
constexpr std::uint64_t mebi = std::uint64_t{1} << 20;
HeapMemory::Options small_memory() { return {2 * mebi, 2 * mebi, 256 * 1024}; }
}  // namespace

TEST_CASE("promises are shared out: one flow gets an eighth of what is free", "[mem][ledger]") {
  HeapMemory memory{small_memory()};
  const std::int64_t free = memory.ledger_free();
  CHECK(free == static_cast<std::int64_t>(2 * mebi - 256 * 1024));
  CHECK(memory.grant(1024) == 1024);
  const std::uint32_t most = memory.grant(~0U);
  CHECK(most == (free - 1024) / 8 / 64 * 64);
  memory.retract(most);
  memory.retract(1024);
  CHECK(memory.ledger_free() == free);
}

TEST_CASE("the ledger may go below zero but only real memory is handed out", "[mem][ledger]") {
  HeapMemory memory{small_memory()};
  const std::int64_t free = memory.ledger_free();
  while (memory.grant(~0U) != 0) {
  }
  std::vector<MessageBlock> blocks;
  while (auto block = memory.reserve(60'000)) blocks.push_back(*block);
  CHECK(blocks.size() == 28);
  CHECK(memory.ledger_free() < 0);
  CHECK(memory.grant(64) == 0);
  const auto last = memory.reserve_last(200'000);
  REQUIRE(last);
  CHECK_FALSE(memory.reserve_last(1));
  memory.release(*last);
  for (const MessageBlock& block : blocks) memory.release(block);
  CHECK(memory.receive_arena().used() == 0);
  CHECK(memory.ledger_free() < 512);  // everything is still promised, except crumbs
  CHECK(free > 512);
}

TEST_CASE("what is written into a block is read from it", "[mem]") {
  HeapMemory memory{small_memory()};
  const auto block = memory.allocate_send(1000);
  REQUIRE(block);
  const std::array in{std::byte{1}, std::byte{2}, std::byte{3}};
  memory.write(*block, 997, in);
  std::array<std::byte, 2> out{};
  memory.read(*block, 998, out);
  CHECK(out == std::array{std::byte{2}, std::byte{3}});
  memory.read(*block, 1000, {});
  CHECK(memory.send_arena().used() == 1024);
  memory.release(*block);
  CHECK(memory.send_arena().used() == 0);
}

TEST_CASE("a fixed ring keeps order and refuses when full", "[base]") {
  FixedRing<int> ring{3};
  CHECK(ring.capacity() == 4);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) REQUIRE(ring.push(i));
    CHECK(ring.full());
    CHECK_FALSE(ring.push(9));
    CHECK(ring.back() == 3);
    CHECK(ring[2] == 2);
    for (int i = 0; i < 4; ++i) CHECK(ring.pop() == i);
    CHECK(ring.empty());
  }
}

}  // namespace proa
