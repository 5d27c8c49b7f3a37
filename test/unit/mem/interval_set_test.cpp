// IntervalSet against a set of single positions; GrowRing against std::deque.
#include <deque>
#include <set>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/mem/interval_set.hpp>

using namespace proa;

TEST_CASE("an interval set behaves as a set of positions") {
  ScratchPool pool{1U << 20U};
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng{seed};
    IntervalSet ranges{pool, 256};
    std::set<std::uint64_t> model;
    for (int i = 0; i < 400; ++i) {
      const std::uint64_t begin = prng.below(200);
      const Interval range{begin, begin + prng.below(20)};
      const auto action = prng.below(5);
      if (action < 3) {
        REQUIRE(ranges.add(range));
        for (auto p = range.begin; p < range.end; ++p) model.insert(p);
      } else if (action == 3) {
        REQUIRE(ranges.remove(range));
        for (auto p = range.begin; p < range.end; ++p) model.erase(p);
      } else if (prng.chance(1, 10)) {
        ranges.drop_below(begin);
        model.erase(model.begin(), model.lower_bound(begin));
      }
      REQUIRE(ranges.broken_invariant() == nullptr);
      std::set<std::uint64_t> positions;
      for (std::uint32_t k = 0; k < ranges.count(); ++k)
        for (auto p = ranges[k].begin; p < ranges[k].end; ++p) positions.insert(p);
      REQUIRE(positions == model);
      bool all = range.begin < range.end;
      for (auto p = range.begin; p < range.end; ++p) all = all && model.count(p) == 1;
      if (range.begin < range.end) REQUIRE(ranges.contains(range) == all);
    }
  }
}

TEST_CASE("an interval set without room for one more range says so and stays as it was") {
  ScratchPool pool{1U << 20U};
  IntervalSet ranges{pool, 2};
  for (std::uint64_t at = 0; ranges.add({at * 10, at * 10 + 1}); ++at) REQUIRE(at < 64);
  const auto count = ranges.count();
  CHECK_FALSE(ranges.add({100'000, 100'001}));
  CHECK(ranges.count() == count);
  CHECK(ranges.broken_invariant() == nullptr);
}

TEST_CASE("a grow ring behaves as a deque and gives its storage back") {
  ScratchPool pool{1U << 20U};
  {
    Prng prng{3};
    GrowRing<std::uint64_t> ring{pool, 1024};
    std::deque<std::uint64_t> model;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      const auto action = prng.below(10);
      if (action < 5 && !ring.full()) {
        REQUIRE(ring.push_back(i));
        model.push_back(i);
      } else if (action < 8 && !ring.empty()) {
        REQUIRE(ring.front() == model.front());
        ring.pop_front();
        model.pop_front();
      } else if (action == 8 && !ring.empty() && !ring.full()) {
        const auto at = static_cast<std::uint32_t>(prng.below(ring.size()));
        REQUIRE(ring.insert(at, i));
        model.insert(model.begin() + at, i);
      } else if (!ring.empty()) {
        const auto from = static_cast<std::uint32_t>(prng.below(ring.size()));
        const auto to = from + static_cast<std::uint32_t>(prng.below(ring.size() - from + 1));
        ring.erase(from, to);
        model.erase(model.begin() + from, model.begin() + to);
      }
      REQUIRE(ring.size() == model.size());
      if (!model.empty()) {
        const auto at = static_cast<std::uint32_t>(prng.below(model.size()));
        REQUIRE(ring[at] == model[at]);
        REQUIRE(ring.back() == model.back());
      }
    }
    ring.clear();
    ring.trim();
    CHECK(ring.storage_bytes() == 0);
  }
  CHECK(pool.arena().used() == 0);
}
