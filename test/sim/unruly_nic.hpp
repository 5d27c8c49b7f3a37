// Simulation under load: a NIC that does to frames what SimLinkOptions has no word for.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/base/prng.hpp>
#include <proa/engine/header_template.hpp>
#include <proa/nic/sim.hpp>
#include <proa/wire/header.hpp>

namespace proa::sim {

/// Parts per million of the frames sent.
struct UnrulyFaults {
  std::uint32_t repeat_ppm = 0;   // leave a second time, later
  std::uint32_t corrupt_ppm = 0;  // of Proa's: one bit behind the header flips

  [[nodiscard]] bool none() const noexcept { return repeat_ppm == 0 && corrupt_ppm == 0; }
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
      if (prng_.chance(faults_.corrupt_ppm, 1'000'000)) corrupt(packets[i]);
      if (SimNic::tx_burst(now, packets.subspan(i, 1)) == 0) return i;
    }
    return packets.size();
  }
  [[nodiscard]] std::uint64_t corrupted() const noexcept { return corrupted_; }

 private:
  void keep_copy(const Packet& packet) noexcept {
    Packet& copy = copies_[prng_.below(copies_.size())];
    if (copy || allocate({&copy, 1}) == 0) return;
    const auto bytes = packet.bytes();
    std::memcpy(copy.storage().data(), bytes.data(), bytes.size());
    copy.set_length(static_cast<std::uint32_t>(bytes.size()));
  }

  /// For whom a packet is stays readable: it is dropped for its checksum and nothing else.
  void corrupt(Packet& packet) noexcept {
    constexpr std::size_t from = frame_header_bytes + PacketHeader::size;
    const auto bytes = packet.bytes();
    if (bytes.size() <= from || load_be<std::uint16_t>(bytes.data() + 12) != ether_type_ipv4)
      return;
    bytes[from + prng_.below(bytes.size() - from)] ^= std::byte{1} << prng_.below(8);
    ++corrupted_;
  }

  static constexpr std::uint16_t ether_type_ipv4 = 0x0800;
  UnrulyFaults faults_;
  Prng prng_;
  std::uint64_t corrupted_ = 0;
  std::array<Packet, 64> copies_;  // of frames that leave once more
};
static_assert(Nic<UnrulyNic>);

}  // namespace proa::sim
