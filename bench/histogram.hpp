// bench: a latency histogram of fixed size, cheap enough to record into from a polled loop.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace proa::bench {

/// Counts durations in nanoseconds: exact below 512 ns, within 0.4 % above, up to 2^40 ns (18 min);
/// longer ones count as that. Belongs to one thread.
class Histogram {
 public:
  void record(std::uint64_t duration_ns) noexcept {
    ++counts_[bucket_of(duration_ns)];
    ++total_;
    max_ = std::max(max_, duration_ns);
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t max_ns() const noexcept { return max_; }

  /// The smallest recorded value that at least `part` (0 to 1) of all values do not exceed; the
  /// middle of its bucket, so within the resolution above. 0 without values.
  [[nodiscard]] double quantile_ns(double part) const noexcept {
    if (total_ == 0) return 0;
    const auto wanted = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(part * static_cast<double>(total_) + 0.5));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return middle_of(i);
    }
    return static_cast<double>(max_);
  }

  void clear() noexcept { *this = Histogram{}; }

 private:
  static constexpr unsigned sub_bits = 8;  // 256 buckets per power of two: 0.4 %
  static constexpr unsigned top_bit = 40;
  static constexpr std::size_t bucket_count = std::size_t{top_bit - sub_bits + 1} << sub_bits;

  static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
    ns = std::min(ns, (std::uint64_t{1} << top_bit) - 1);
    if (ns < (2U << sub_bits)) return static_cast<std::size_t>(ns);
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 1U - sub_bits;
    return (std::size_t{shift} << sub_bits) + static_cast<std::size_t>(ns >> shift);
  }
  static constexpr double middle_of(std::size_t bucket) noexcept {
    if (bucket < (2U << sub_bits)) return static_cast<double>(bucket);
    const auto shift = (bucket >> sub_bits) - 1;
    const auto low = (bucket - (shift << sub_bits)) << shift;
    return static_cast<double>(low) + static_cast<double>((std::size_t{1} << shift) - 1) / 2.0;
  }

  std::array<std::uint32_t, bucket_count> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace proa::bench
