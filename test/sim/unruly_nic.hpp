// Simulation under load: a NIC that does to frames what SimLinkOptions has no word for.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/base/prng.hpp>
#include <proa/nic/sim.hpp>

namespace proa::sim {

/// Parts per million of the frames sent.
struct UnrulyFaults {
  std::uint32_t repeat_ppm = 0;  // leave a second time, later

  [[nodiscard]] bool none() const noexcept { return repeat_ppm == 0; }
};

/// Its repetitions leave with some later burst, so that a world need not ask it for its next event.
class UnrulyNic : public SimNic {
 public:
  UnrulyNic(SimPort& port, const UnrulyFaults& faults, std::uint64_t seed) noexcept
      : SimNic(port.nic()), faults_(faults), prng_(seed) {}
  UnrulyNic(const UnrulyNic&) = delete;
  UnrulyNic& operator=(const UnrulyNic&) = delete;
  ~UnrulyNic() { behave(); }

  /// From now on.
  void behave() noexcept {
    faults_ = {};
    release(copies_);
  }

  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    if (faults_.none()) return SimNic::tx_burst(now, packets);
    for (Packet& copy : copies_)
      if (copy && prng_.chance(1, 16) && SimNic::tx_burst(now, {&copy, 1}) == 0) break;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      if (prng_.chance(faults_.repeat_ppm, 1'000'000)) keep_copy(packets[i]);
      if (SimNic::tx_burst(now, packets.subspan(i, 1)) == 0) return i;
    }
    return packets.size();
  }

 private:
  void keep_copy(const Packet& packet) noexcept {
    Packet& copy = copies_[prng_.below(copies_.size())];
    if (copy || allocate({&copy, 1}) == 0) return;
    const auto bytes = packet.bytes();
    std::memcpy(copy.storage().data(), bytes.data(), bytes.size());
    copy.set_length(static_cast<std::uint32_t>(bytes.size()));
  }

  UnrulyFaults faults_;
  Prng prng_;
  std::array<Packet, 64> copies_;  // of frames that leave once more
};
static_assert(Nic<UnrulyNic>);

}  // namespace proa::sim
