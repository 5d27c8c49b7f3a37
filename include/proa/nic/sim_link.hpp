// L2: what the simulated cables do to frames besides carrying them: losses in bursts, CE marks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <proa/base/bytes.hpp>
#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>
#include <proa/base/units.hpp>
#include <proa/wire/checksum.hpp>

namespace proa {

/// Losses in bursts: a good and a bad state, one step per frame (Gilbert 1960, Elliott 1963).
struct SimLoss {
  std::uint32_t enter_ppm = 0;          // from good to bad
  std::uint32_t leave_ppm = 1'000'000;  // from bad to good; the mean burst has 1e6 / leave frames
  std::uint32_t good_ppm = 0;           // lost while good
  std::uint32_t bad_ppm = 1'000'000;    // lost while bad

  [[nodiscard]] constexpr bool none() const noexcept { return enter_ppm == 0 && good_ppm == 0; }
  friend bool operator==(const SimLoss&, const SimLoss&) = default;
};

/// The cable between one port and the switch; both directions have the same delay and rate.
struct SimLinkOptions {
  Duration delay = std::chrono::microseconds{10};  // one way; four of them make a round trip
  std::uint64_t bits_per_second = 25'000'000'000;  // 0: frames take no time to leave
  ByteCount queue_limit = mib(1);                  // waiting at the switch; beyond it: dropped
  ByteCount mark_above{std::numeric_limits<std::uint64_t>::max()};  // RFC 3168: a queue longer
                                                                    // than this marks CE
  std::uint32_t mark_ppm = 0;                                       // and so does mere chance
  SimLoss to_switch{}, to_port{};  // each direction has its own losses
  friend bool operator==(const SimLinkOptions&, const SimLinkOptions&) = default;
};

namespace detail {

/// Where one direction of one cable is in its bursts.
class SimLossState {
 public:
  [[nodiscard]] bool loses(const SimLoss& loss, Prng& prng) noexcept {
    constexpr std::uint32_t million = 1'000'000;
    if (loss.none()) {
      bad_ = false;
      return false;
    }
    bad_ = bad_ ? !prng.chance(loss.leave_ppm, million) : prng.chance(loss.enter_ppm, million);
    return prng.chance(bad_ ? loss.bad_ppm : loss.good_ppm, million);
  }

 private:
  bool bad_ = false;
};

/// RFC 3168 5: CE on a packet whose sender is ECN-capable; false: it is not, or no IP packet.
inline bool sim_mark_ce(std::span<std::byte> frame) noexcept {
  constexpr std::size_t ip = 14;
  constexpr std::byte ecn_v4{3}, ecn_v6{3U << 4U};  // of the second byte: IPv6 has its class higher
  if (frame.size() < ip + 20) return false;
  const auto type = load_be<std::uint16_t>(frame.data() + 12);
  std::byte& second = frame[ip + 1];
  if (type == 0x86dd) {
    if ((second & ecn_v6) == std::byte{}) return false;
    second |= ecn_v6;
    return true;
  }
  if (type != 0x0800 || (second & ecn_v4) == std::byte{}) return false;
  const auto before = load_be<std::uint16_t>(frame.data() + ip);
  second |= ecn_v4;
  const auto after = load_be<std::uint16_t>(frame.data() + ip);
  const auto checksum = load_be<std::uint16_t>(frame.data() + ip + 10);
  store_be(frame.data() + ip + 10, checksum_replace(checksum, before, after));
  return true;
}

}  // namespace detail

/// What a pair of ports suffers in one direction, between arriving at the switch and its queue.
struct SimPathFault {
  std::uint32_t from = 0, to = 0;
  bool cut = false;         // nothing passes
  Instant clogged_until{};  // what arrives before waits until then, in its order
};

}  // namespace proa
