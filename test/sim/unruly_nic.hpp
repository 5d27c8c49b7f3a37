// Simulation under load: a NIC that does to frames what SimLinkOptions has no word for.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <proa/base/prng.hpp>
#include <proa/nic/sim.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/header.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>
#include <proa/wire/udp.hpp>

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
  UnrulyNic(SimPort& port, std::uint32_t queue, const UnrulyFaults& faults,
            std::uint64_t seed) noexcept
      : SimNic(port, queue), faults_(faults), prng_(seed) {}
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
    const MutableBytes body = body_of(packet.bytes());
    if (body.empty()) return;
    body[prng_.below(body.size())] ^= std::byte{1} << prng_.below(8);
    ++corrupted_;
  }
  /// What is behind Proa's header, whatever the family and with a tag or without; else nothing.
  [[nodiscard]] static MutableBytes body_of(MutableBytes frame) noexcept {
    const auto ethernet = parse_ethernet(frame);
    if (!ethernet) return {};
    const bool v4 = ethernet->type == EtherType::ipv4;
    if (!v4 && ethernet->type != EtherType::ipv6) return {};
    const auto ip = v4 ? parse_ipv4(ethernet->payload) : parse_ipv6(ethernet->payload);
    constexpr std::size_t headers = udp_header_bytes + PacketHeader::size;
    if (!ip || ip->protocol != static_cast<std::uint8_t>(IpProtocol::udp) ||
        ip->payload.size() <= headers)
      return {};
    const auto at = static_cast<std::size_t>(ip->payload.data() - frame.data());
    return frame.subspan(at + headers, ip->payload.size() - headers);
  }

  UnrulyFaults faults_;
  Prng prng_;
  std::uint64_t corrupted_ = 0;
  std::array<Packet, 64> copies_;  // of frames that leave once more
};
static_assert(Nic<UnrulyNic>);

}  // namespace proa::sim
