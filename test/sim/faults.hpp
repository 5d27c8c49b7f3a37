// Simulation: what goes wrong on a wire, as a value: shares, bursts, lists, and times.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include <proa/base/time.hpp>

namespace proa::sim {

/// Of one direction; shares are parts per million of its packets.
struct LinkFaults {
  std::uint32_t loss_ppm = 0, burst_max = 1;  // bursts of 1 to burst_max; loss_ppm is the whole
  // Gilbert and Elliott's two states: each packet may change the state, then is lost by its share.
  std::uint32_t worsen_ppm = 0;          // good to bad; 0: always good
  std::uint32_t recover_ppm = 0;         // bad to good
  std::uint32_t bad_loss_ppm = 0;        // in the bad state; loss_ppm holds in both
  std::vector<std::uint64_t> drop_list;  // of this direction's packets, from 0, ascending
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t corrupt_ppm = 0;
  bool single_bit = false;
  std::uint32_t reorder_ppm = 0;  // delayed by up to reorder_max
  Duration reorder_max{};
  // Overtaken by 1 to displace_max of the packets behind it, but held no longer than displace_wait.
  std::uint32_t displace_ppm = 0, displace_max = 0;
  Duration displace_wait = std::chrono::milliseconds{1};
};

/// Nothing gets through.
struct Blackhole {
  Instant from, to;
  std::array<bool, 2> direction{};  // [0]: towards host 0
};

/// Nothing gets through until `to`: then all of it, in order.
struct Clog {
  Instant from, to;
  std::array<bool, 2> direction{};
};

}  // namespace proa::sim
