// Swift driven by hand-made rounds, past its start-up: for tests of its formulas.
#pragma once
#include <proa/transport/swift.hpp>

#include "congestion_driver.hpp"

namespace proa::test {

/// A flow whose start-up is over, with a window of `packets` or a little more.
inline Driver<Swift> settled(std::uint32_t packets, Duration base = 100us) {
  Driver<Swift> d;
  while (d.packets() < 2 * packets) d.round(base);
  while (d.controller.starting()) d.round(2 * base);
  d.round(base);  // drains
  while (d.packets() < packets) d.round(base);
  return d;
}

}  // namespace proa::test
