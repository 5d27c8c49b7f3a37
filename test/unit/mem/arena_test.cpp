// L1 tests: the arena against a model that remembers every block.
#include <catch2/catch.hpp>

#include <iterator>
#include <map>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/mem/arena.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/mem/scratch_pool.hpp>

namespace proa {
namespace {

constexpr std::uint64_t page = Arena::page_bytes;

/// Allocated blocks by offset; a new one must not touch its neighbours.
struct Model {
  std::map<std::uint64_t, std::uint64_t> blocks;
  std::uint64_t used = 0;

  void add(std::uint64_t at, std::uint64_t size) {
    const auto next = blocks.lower_bound(at);
    if (next != blocks.end()) REQUIRE(at + size <= next->first);
    if (next != blocks.begin()) {
      const auto before = std::prev(next);
      REQUIRE(before->first + before->second <= at);
    }
    blocks.emplace(at, size);
    used += size;
  }
  std::uint64_t remove(std::size_t index) {
    const auto it = std::next(blocks.begin(), static_cast<std::ptrdiff_t>(index));
    const std::uint64_t at = it->first;
    used -= it->second;
    blocks.erase(it);
    return at;
  }
};

std::uint64_t random_size(Prng& prng, std::uint64_t max) {
  const std::uint64_t top = std::uint64_t{1} << prng.below(24);
  return std::min(prng.below(top + 1), max);
}

void run_against_model(std::uint64_t seed, std::uint64_t region, int steps) {
  INFO("seed " << seed << " region " << region);
  Prng prng{seed};
  Arena arena{region};
  Model model;
  for (int i = 0; i < steps; ++i) {
    const bool fill = (static_cast<unsigned>(i) / 512U) % 2U == 0;
    if (model.blocks.empty() || prng.chance(fill ? 3 : 1, 4)) {
      const std::uint64_t bytes = random_size(prng, region + 1);
      if (const auto at = arena.allocate(bytes)) {
        const std::uint64_t size = arena.size_of(*at);
        REQUIRE(size >= bytes);
        REQUIRE(*at % std::min(size, page) == 0);
        REQUIRE(*at + size <= arena.capacity());
        model.add(*at, size);
      }
    } else {
      const std::uint64_t at = model.remove(prng.below(model.blocks.size()));
      REQUIRE(arena.release(at));
      REQUIRE_FALSE(arena.release(at));
    }
    REQUIRE(arena.used() == model.used);
    if (i % 64 == 0) REQUIRE(arena.broken_invariant() == nullptr);
  }
  while (!model.blocks.empty()) REQUIRE(arena.release(model.remove(0)));
  REQUIRE(arena.used() == 0);
  REQUIRE(arena.broken_invariant() == nullptr);
}

}  // namespace

TEST_CASE("an arena behaves as a model of disjoint blocks under random use", "[mem][arena]") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    run_against_model(seed, 3 * page, 2'000);
    run_against_model(seed, 64 * page, 4'000);
    run_against_model(seed, 301 * page + 5, 4'000);
  }
}

TEST_CASE("a region that is emptied can be handed out whole", "[mem][arena]") {
  Arena arena{128 * page};
  std::vector<std::uint64_t> blocks;
  while (const auto at = arena.allocate(64)) blocks.push_back(*at);
  CHECK(blocks.size() == 128 * page / 64);
  CHECK(arena.free() == 0);
  CHECK_FALSE(arena.allocate(1));
  for (const std::uint64_t at : blocks) REQUIRE(arena.release(at));
  CHECK(arena.allocate(128 * page) == 0U);
  CHECK_FALSE(arena.allocate(0));
}

TEST_CASE("the block released last is handed out first", "[mem][arena]") {
  Arena arena{64 * page};
  for (const std::uint64_t bytes : {64U, 1000U, 30'000U, 65'536U, 1'000'000U}) {
    const auto first = arena.allocate(bytes);
    REQUIRE(first);
    REQUIRE(arena.release(*first));
    CHECK(arena.allocate(bytes) == first);
  }
}

TEST_CASE("a wrong offset given to release changes nothing", "[mem][arena]") {
  Arena arena{16 * page};
  const auto small = arena.allocate(100);
  const auto large = arena.allocate(3 * page);
  REQUIRE(small);
  REQUIRE(large);
  const std::uint64_t used = arena.used();
  for (const std::uint64_t wrong :
       {*small + 1, *small + 64, *small + 128, *large + 64, *large + page, 16 * page, ~0UL,
        ~0UL << 16, *large ^ (8 * page)})
    CHECK_FALSE(arena.release(wrong));
  CHECK(arena.used() == used);
  CHECK(arena.size_of(*small) == 128);
  CHECK(arena.size_of(*large) == 4 * page);
  CHECK(arena.size_of(*large + page) == 0);
}

TEST_CASE("a block kept back is there when nothing else is", "[mem][arena]") {
  Arena arena{32 * page};
  REQUIRE(arena.keep_back(8 * page));
  CHECK_FALSE(arena.keep_back(page));
  CHECK(arena.used() == 0);
  std::uint64_t handed_out = 0;
  while (arena.allocate(page)) ++handed_out;
  CHECK(handed_out == 24);
  CHECK_FALSE(arena.allocate_last(9 * page));
  const auto last = arena.allocate_last(7 * page);
  REQUIRE(last);
  CHECK(arena.size_of(*last) == 8 * page);
  CHECK_FALSE(arena.allocate_last(page));
  CHECK(arena.free() == 0);
  CHECK(arena.release(*last));
  CHECK_FALSE(arena.release(*last));
  CHECK_FALSE(arena.allocate(page));
  CHECK(arena.allocate_last(page) == last);
  CHECK(arena.broken_invariant() == nullptr);
}

TEST_CASE("an arena smaller than a page is always full", "[mem][arena]") {
  Arena arena{page - 1};
  CHECK(arena.capacity() == 0);
  CHECK_FALSE(arena.allocate(1));
  CHECK_FALSE(arena.keep_back(1));
  CHECK_FALSE(arena.release(0));
}

TEST_CASE("a scratch pool hands out aligned blocks and says when it is full", "[mem][scratch]") {
  ScratchPool pool{4 * page};
  std::vector<std::byte*> blocks;
  while (std::byte* block = pool.allocate(5'000)) {
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
    block[0] = block[4'999] = std::byte{1};
    blocks.push_back(block);
  }
  CHECK(blocks.size() == 32);
  for (std::byte* block : blocks) pool.release(block);
  pool.release(nullptr);
  CHECK(pool.arena().used() == 0);
}

}  // namespace proa
