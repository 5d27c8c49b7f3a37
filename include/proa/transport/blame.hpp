// L2: whether all that a controller decreased its window for has arrived after all.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/transport/congestion.hpp>

namespace proa {

/// A decrease is taken back only once every packet that was declared lost for it, or since, is
/// here: a single one that stays away is congestion (RFC 3522 3.2; Linux: undo_retrans is 0).
class Blame {
 public:
  /// A decrease for `lost` packets; those with an index below `from` caused an earlier one.
  void begin(std::uint64_t from, std::uint32_t lost) noexcept {
    from_ = from;
    missing_ = lost;
  }
  /// Losses that are all older than the decrease had one of their own.
  void on_loss(const LossSample& loss) noexcept {
    if (loss.newest_lost >= from_) missing_ += loss.lost_packets;
  }
  [[nodiscard]] bool any() const noexcept { return missing_ != 0; }
  /// The packet of that index has arrived. True: nothing is missing any more.
  [[nodiscard]] bool clears(std::uint64_t index) noexcept {
    if (index < from_) return false;
    missing_ -= std::min(missing_, 1U);
    return missing_ == 0;
  }

 private:
  std::uint64_t from_ = 0;
  std::uint32_t missing_ = 0;
};

}  // namespace proa
