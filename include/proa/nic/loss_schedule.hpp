// L2: which packets of one direction are lost: a random share, in bursts, and those listed.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include <proa/base/prng.hpp>

namespace proa {

/// Names the next packet to lose, so that packets that pass cost no decision of their own: beside
/// some 150 ns per packet of bulk a random number for each would pass for the price of losses.
class LossSchedule {
 public:
  /// Starts again at packet 0. `ppm` of the packets get lost, 1 to `burst_max` in a row, and those
  /// of `list`, ascending; the caller keeps the list's memory.
  void set(std::uint32_t ppm, std::uint32_t burst_max, std::span<const std::uint64_t> list,
           Prng& random) noexcept {
    burst_max_ = std::max(1U, burst_max);
    list_ = list;
    next_ = 0;
    log_of_pass_ = std::log1p(-start_share(std::min(ppm, 1'000'000U) / 1e6));
    random_at_ = 0;
    begin_burst_after_run(random);
    find_lost();
  }
  /// How many packets pass before one is lost.
  [[nodiscard]] std::uint64_t passing() const noexcept { return lost_ - next_; }
  void on_passed(std::uint64_t packets) noexcept { next_ += packets; }
  /// The next packet is lost; passing() was 0.
  void on_lost(Prng& random) noexcept {
    if (next_ == random_at_) {
      ++random_at_;
      if (burst_left_ != 0)
        --burst_left_;
      else
        begin_burst_after_run(random);
    }
    ++next_;
    find_lost();
  }

 private:
  static constexpr std::uint64_t never_lost = std::numeric_limits<std::uint64_t>::max();

  /// How often a burst of mean length b must start for a share p to be lost: p / (p + b (1 - p)).
  [[nodiscard]] double start_share(double p) const noexcept {
    const double b = (1 + static_cast<double>(burst_max_)) / 2;
    return p / (p + b * (1 - p));
  }
  /// The run of packets before a burst is geometrically distributed: what a toss per packet would
  /// make of it (inversion; Devroye, "Non-Uniform Random Variate Generation", X.2).
  void begin_burst_after_run(Prng& random) noexcept {
    constexpr double longest = 1e18;
    // In (0, 1]. Where all get lost the divisor is minus infinity; where none do it is zero.
    const double toss = (static_cast<double>(random.next() >> 11U) + 1) * 0x1p-53;
    const double run = log_of_pass_ == 0 ? longest : std::log(toss) / log_of_pass_;
    random_at_ = run >= longest ? never_lost : random_at_ + static_cast<std::uint64_t>(run);
    burst_left_ = static_cast<std::uint32_t>(random.below(burst_max_));
  }
  void find_lost() noexcept {
    const auto listed = std::lower_bound(list_.begin(), list_.end(), next_);
    lost_ = std::min(random_at_, listed == list_.end() ? never_lost : *listed);
  }

  std::span<const std::uint64_t> list_;
  double log_of_pass_ = 0;                // of the chance that no burst starts
  std::uint64_t next_ = 0;                // number of the next packet
  std::uint64_t lost_ = never_lost;       // the next one that gets lost
  std::uint64_t random_at_ = never_lost;  // the next one that gets lost at random
  std::uint32_t burst_max_ = 1;
  std::uint32_t burst_left_ = 0;  // behind that
};

}  // namespace proa
