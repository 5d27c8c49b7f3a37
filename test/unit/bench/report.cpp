// Tests of bench/report.hpp.
#include "report.hpp"

#include <catch2/catch.hpp>

using namespace proa::bench;

namespace {

Repeat repeat_of(double value, Mood mood) {
  return {.sample = {{"rate", "messages/s", value}}, .mood = mood};
}

CaseRepeats case_of(std::string name, std::string reference, std::vector<Repeat> repeats) {
  return {{.name = std::move(name), .reference = std::move(reference)}, std::move(repeats)};
}

}  // namespace

TEST_CASE("the median of an even number of values lies between the middle two") {
  CHECK(median({}) == 0);
  CHECK(median({3}) == 3);
  CHECK(median({4, 1, 3}) == 3);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("a row holds median, extremes and the ratio to its reference") {
  const auto rows =
      summarise({case_of("raw", "", {repeat_of(10, Mood::fast), repeat_of(20, Mood::fast)}),
                 case_of("ours", "raw", {repeat_of(30, Mood::fast), repeat_of(60, Mood::fast)})});
  REQUIRE(rows.size() == 2);
  CHECK_FALSE(rows[0].ratio().has_value());
  CHECK(rows[1].value == 45);
  CHECK(rows[1].min == 30);
  CHECK(rows[1].max == 60);
  CHECK(rows[1].repeats == 2);
  CHECK(rows[1].reference_value == 15);
  CHECK(rows[1].ratio() == 3);
}

TEST_CASE("nothing is compared across moods") {
  const std::vector<CaseRepeats> cases{
      case_of("raw", "",
              {repeat_of(10, Mood::fast), repeat_of(1, Mood::slow), repeat_of(1, Mood::slow)}),
      case_of("ours", "raw",
              {repeat_of(20, Mood::fast), repeat_of(22, Mood::fast), repeat_of(2, Mood::slow)})};
  CHECK(reported_mood(cases) == Mood::fast);
  const auto rows = summarise(cases);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].value == 10);
  CHECK(rows[1].value == 21);
  CHECK(rows[1].repeats == 2);
}

TEST_CASE("a subject whose reference was only measured in the other mood has no ratio") {
  const auto rows =
      summarise({case_of("raw", "", {repeat_of(1, Mood::slow)}),
                 case_of("ours", "raw", {repeat_of(20, Mood::fast), repeat_of(22, Mood::fast)})});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].labels.name == "ours");
  CHECK_FALSE(rows[0].ratio().has_value());
}

TEST_CASE("what was measured together is compared with each other") {
  const auto at = [](double value, std::uint32_t together, Mood mood = Mood::fast) {
    Repeat repeat = repeat_of(value, mood);
    repeat.together = together;
    return repeat;
  };
  // Three times as fast each time; the medians, of different times, say otherwise.
  const auto rows = summarise(
      {case_of("raw", "", {at(10, 1), at(100, 2), at(50, 3), at(1, 4, Mood::slow), at(20, 0)}),
       case_of("ours", "raw", {at(30, 1), at(40, 4, Mood::slow), at(300, 2), at(10, 5)}),
       case_of("alone", "raw", {at(70, 0)})});
  REQUIRE(rows.size() == 3);
  CHECK_FALSE(rows[0].ratio().has_value());
  CHECK(rows[1].value == 30);
  CHECK(rows[1].reference_value == 35);
  CHECK(rows[1].ratio() == 3);
  CHECK(rows[2].ratio() == 2);
}

TEST_CASE("a JSON row has exactly the agreed keys, null where something does not apply") {
  Row row{.labels = {.name = "a \"b\"",
                     .wire = "veth",
                     .placement = "sidecar",
                     .size = 0,
                     .has_size = true,
                     .window = 64,
                     .reference = "raw"},
          .metric = "rtt_p50",
          .unit = "ns",
          .value = 450,
          .min = 440,
          .max = 460.5,
          .repeats = 5,
          .reference_value = 300};
  CHECK(to_json("bench_x", row) ==
        R"({"bench": "bench_x", "metric": "rtt_p50", "unit": "ns", "value": 450, "min": 440, )"
        R"("max": 460.5, "repeats": 5, "wire": "veth", "placement": "sidecar", "size": 0, )"
        R"("window": 64, "reference": "raw", "reference_value": 300, "ratio": 1.5})");
  CHECK(to_json("bench_\"x", Row{}) ==
        R"({"bench": "bench_\"x", "metric": "", "unit": "", "value": 0, "min": 0, "max": 0, )"
        R"("repeats": 0, "wire": null, "placement": null, "size": null, "window": null, )"
        R"("reference": null, "reference_value": null, "ratio": null})");
}
