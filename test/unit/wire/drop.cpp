// Tests of wire/drop.hpp.
#include <catch2/catch.hpp>
#include <proa/wire/drop.hpp>
#include <set>

using namespace proa;

TEST_CASE("every drop reason has its own name and its own counter", "[wire][drop]") {
  std::set<std::string_view> names;
  DropCounters counters;
  for (std::size_t i = 0; i < drop_count; ++i) {
    const auto drop = static_cast<Drop>(i);
    names.insert(text(drop));
    counters.add(drop);
  }
  CHECK(names.size() == drop_count);
  CHECK(names.count("unknown") == 0);
  CHECK(names.count("") == 0);
  CHECK(counters.total() == drop_count - 1);  // `none` is not a refusal
  CHECK(counters[Drop::bad_checksum] == 1);
  counters += counters;
  CHECK(counters[Drop::bad_checksum] == 2);
}

TEST_CASE("a value outside the list of drop reasons is named unknown", "[wire][drop]") {
  CHECK(text(Drop::count_) == "unknown");
  CHECK(text(static_cast<Drop>(255)) == "unknown");
}
