// The flow table: slots, keys, ids and the two indexes.
#include <proa/engine/flow_table.hpp>

#include <set>
#include <unordered_map>
#include <vector>

#include <catch2/catch.hpp>

using namespace proa;

namespace {

struct Toy {
  explicit Toy(int v) : value(v) { ++alive; }
  ~Toy() { --alive; }
  int value;
  static inline int alive = 0;
};

}  // namespace

TEST_CASE("Flow ids carry their engine, look random and do not come again soon") {
  FlowIdSequence ids{37, 1};
  std::set<std::uint32_t> seen;
  std::uint32_t ascending = 0;
  std::uint32_t last = 0;
  for (int i = 0; i < 200'000; ++i) {
    const auto id = ids.next();
    REQUIRE((id & (engines_max - 1)) == 37);
    REQUIRE(seen.insert(id).second);
    ascending += id > last ? 1U : 0U;
    last = id;
  }
  CHECK(ascending > 98'000);
  CHECK(ascending < 102'000);
  CHECK(FlowIdSequence{37, 2}.next() != FlowIdSequence{37, 1}.next());
}

TEST_CASE("A key finds its flow until it is erased, never the slot's next one") {
  FlowTable<Toy> table{4, 0, 1};
  const auto slot = table.emplace(table.fresh_id(), 1);
  const auto key = table.key(slot);
  CHECK(table.find(key) == slot);
  table.erase(slot);
  CHECK(table.find(key) == no_slot);
  const auto again = table.emplace(table.fresh_id(), 2);
  CHECK(again == slot);
  CHECK(table.find(key) == no_slot);
  CHECK(table.find(table.key(again)) == again);
  CHECK(table.find(FlowKey{0xffff'ffff}) == no_slot);
  CHECK(table.find(FlowKey{}) == no_slot);
}

TEST_CASE("A flow table destroys what it still holds") {
  {
    FlowTable<Toy> table{4, 0, 1};
    table.emplace(64, 1);
    table.emplace(128, 2);
    CHECK(Toy::alive == 2);
  }
  CHECK(Toy::alive == 0);
}

TEST_CASE("Both indexes of the flow table agree with a map under random use") {
  const auto seed = GENERATE(range(1U, 6U));
  CAPTURE(seed);
  Prng random{seed};
  constexpr std::uint32_t capacity = 200;
  FlowTable<Toy> table{capacity, 5, seed};
  struct Known {
    std::uint32_t id, peer_id;
    IpAddress address;
  };
  std::unordered_map<std::uint32_t, Known> model;
  for (int step = 0; step < 20'000; ++step) {
    if (!table.full() && random.chance(1, 2)) {
      const Known known{table.fresh_id(), random.next32() % 64,
                        IpAddress::v4(static_cast<std::uint32_t>(random.below(8)))};
      const auto slot = table.emplace(known.id, step);
      table.note_peer(slot, known.address, known.peer_id);
      REQUIRE(model.emplace(slot, known).second);
    } else if (!model.empty()) {
      auto victim = model.begin();
      std::advance(victim, random.below(model.size()));
      table.erase(victim->first);
      REQUIRE(table.find_id(victim->second.id) == no_slot);
      model.erase(victim);
    }
    REQUIRE(table.size() == model.size());
    if (step % 100 != 0) continue;
    for (const auto& [slot, known] : model) {
      REQUIRE(table.find_id(known.id) == slot);
      const auto& wanted = table[slot];
      REQUIRE(table.find_peer(known.address, known.peer_id,
                              [&](const Toy& toy) { return &toy == &wanted; }) == slot);
    }
  }
}

TEST_CASE("A table for a hundred thousand flows fills up and empties") {
  FlowTable<Toy> table{100'000, 0, 3};
  CHECK(table.slots_touched() == 0);
  std::vector<std::uint32_t> slots;
  while (!table.full()) slots.push_back(table.emplace(table.fresh_id(), 0));
  CHECK(slots.size() == 100'000);
  for (const auto slot : slots) table.erase(slot);
  CHECK(table.size() == 0);
}
