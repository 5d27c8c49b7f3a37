// Simulation, second level: a path that carries large frames no more for a while, without a word.
#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include <proa/base/time.hpp>
#include <proa/nic/nic.hpp>

namespace proa::sim {

/// From `from` until `to` nothing larger gets through.
struct Narrowing {
  Instant from = never, to = never;
  std::uint32_t bytes_max = 0;

  [[nodiscard]] bool swallows(Instant now, std::size_t bytes) const noexcept {
    return now >= from && now < to && bytes > bytes_max;
  }
};

/// A NIC decorator behind which the path is narrow: frames that are too long are taken and lost.
template <Nic Inner>
class NarrowPath : public Inner {
 public:
  NarrowPath(Inner inner, const Narrowing& narrowing)
      : Inner(std::move(inner)), narrowing_(narrowing) {}

  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    std::size_t done = 0;
    while (done < packets.size()) {
      const std::size_t fit = that_fit(now, packets.subspan(done));
      const std::size_t sent = fit == 0 ? 0 : Inner::tx_burst(now, packets.subspan(done, fit));
      done += sent;
      if (sent < fit || done == packets.size()) return done;
      Inner::release(packets.subspan(done++, 1));
      ++swallowed_;
    }
    return done;
  }
  [[nodiscard]] std::uint64_t swallowed() const noexcept { return swallowed_; }

 private:
  /// How many of the first ones get through.
  [[nodiscard]] std::size_t that_fit(Instant now, std::span<Packet> packets) const noexcept {
    std::size_t n = 0;
    while (n < packets.size() &&
           !narrowing_.swallows(now, std::as_const(packets[n]).bytes().size()))
      ++n;
    return n;
  }

  Narrowing narrowing_;
  std::uint64_t swallowed_ = 0;
};

}  // namespace proa::sim
