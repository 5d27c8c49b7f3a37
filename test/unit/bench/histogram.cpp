// Tests of bench/histogram.hpp.
#include "histogram.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <memory>

using proa::bench::Histogram;

TEST_CASE("a histogram without values has quantile zero") {
  const auto histogram = std::make_unique<Histogram>();
  CHECK(histogram->count() == 0);
  CHECK(histogram->quantile_ns(0.5) == 0);
}

TEST_CASE("quantiles are exact below 512 ns") {
  const auto histogram = std::make_unique<Histogram>();
  for (std::uint64_t i = 1; i <= 100; ++i) histogram->record(i);
  CHECK(histogram->count() == 100);
  CHECK(histogram->quantile_ns(0.50) == 50);
  CHECK(histogram->quantile_ns(0.99) == 99);
  CHECK(histogram->quantile_ns(0.999) == 100);
  CHECK(histogram->quantile_ns(0) == 1);
  CHECK(histogram->max_ns() == 100);
}

TEST_CASE("every duration to 2^40 ns is found again within 0.4 percent") {
  const auto histogram = std::make_unique<Histogram>();
  for (std::uint64_t ns = 1; ns < (std::uint64_t{1} << 40); ns = ns * 9 / 8 + 1) {
    histogram->clear();
    histogram->record(ns);
    const double error = std::abs(histogram->quantile_ns(0.5) / static_cast<double>(ns) - 1);
    INFO(ns << " ns");
    CHECK(error <= 0.004);
  }
}

TEST_CASE("a duration beyond the histogram's range counts as its largest") {
  const auto histogram = std::make_unique<Histogram>();
  histogram->record(~std::uint64_t{0});
  CHECK(histogram->count() == 1);
  CHECK(histogram->max_ns() == ~std::uint64_t{0});
  CHECK(histogram->quantile_ns(0.5) > 1.09e12);
}
