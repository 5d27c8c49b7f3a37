// L2: the search for a pair of UDP ports that the peer's NIC hashes to the engine that owns the
// flow. Nobody can read or set that hash, so pairs are tried. Pure arithmetic.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>
#include <proa/wire/path.hpp>
#include <proa/wire/udp.hpp>

namespace proa {

/// UDP ports to choose from, both inclusive; the same range at both ends.
struct PortRange {
  std::uint16_t first = 49152;
  std::uint16_t last = 65535;

  [[nodiscard]] UdpPorts random_pair(Prng& random) const noexcept {
    const std::uint64_t size = std::uint64_t{1} + last - first;
    const auto source = static_cast<std::uint16_t>(first + random.below(size));
    return {source, static_cast<std::uint16_t>(first + random.below(size))};
  }
};

/// One search, or the rest after one in vain. The mean cost at N engines and a random hash is
/// 2 / (1 - (1 - 1/N)^2), about N + 1/2 probes.
/// Threading: none of its own; belongs to whoever sends.
class PathProbe {
 public:
  static constexpr std::uint32_t wave_probes = 2;
  static constexpr std::uint32_t probes_per_engine = 16;  // at N engines one of 10^7 searches fails
  static constexpr std::uint32_t engines_unknown = 4;     // until a result tells how many there are
  static constexpr Duration rest_first = std::chrono::seconds{1};
  static constexpr Duration rest_max = std::chrono::minutes{5};

  struct Probe {
    std::uint32_t tag = 0;
    UdpPorts ports;
  };
  struct Answer {
    UdpPorts ports;
    std::uint8_t engine = 0;
    bool hit = false;
  };

  /// `first` are tried before random pairs: they were good once. False: resting after a search in
  /// vain, or at it already.
  bool start(Instant now, std::uint8_t wanted, std::span<const UdpPorts> first) noexcept {
    if (searching_ || now < rest_until_) return false;
    searching_ = true;
    wanted_ = wanted;
    sent_ = left_in_wave_ = 0;
    next_at_ = now;
    first_count_ = std::min(first.size(), first_.size());
    std::copy_n(first.begin(), first_count_, first_.begin());
    return true;
  }
  /// Whoever asked is gone, or helped himself.
  void stop() noexcept { searching_ = false; }

  [[nodiscard]] bool searching() const noexcept { return searching_; }
  [[nodiscard]] Instant next_timeout() const noexcept { return searching_ ? next_at_ : never; }
  [[nodiscard]] std::uint32_t sent() const noexcept { return sent_; }

  /// The next probe to send now; call until it returns nothing. `wave_time`: srtt + 4 rttvar.
  [[nodiscard]] std::optional<Probe> poll(Instant now, Duration wave_time, const PortRange& range,
                                          Prng& random) noexcept {
    if (!searching_) return std::nullopt;
    if (left_in_wave_ == 0) {
      if (now < next_at_) return std::nullopt;
      if (sent_ >= probes_per_engine * engines_) {
        give_up(now);
        return std::nullopt;
      }
      left_in_wave_ = wave_probes;
      next_at_ = later(now, wave_time);
    }
    --left_in_wave_;
    Probe probe{random.next32(), next_pair(range, random)};
    pending_[sent_++ % pending_.size()] = {probe, true};
    return probe;
  }

  /// What a result says; nothing: of no probe still remembered. A hit ends the search.
  [[nodiscard]] std::optional<Answer> on_result(const PathResultBody& result) noexcept {
    const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) {
      return p.waiting && p.probe.tag == result.tag;
    });
    if (found == pending_.end()) return std::nullopt;
    found->waiting = false;
    engines_ = result.engines;
    const Answer answer{found->probe.ports, result.engine, result.engine == wanted_};
    if (answer.hit) {
      searching_ = false;
      rest_ = rest_first;
    }
    return answer;
  }

 private:
  struct Pending {
    Probe probe;
    bool waiting = false;
  };

  void give_up(Instant now) noexcept {
    searching_ = false;
    rest_until_ = later(now, rest_);
    rest_ = std::min(2 * rest_, rest_max);
  }
  [[nodiscard]] UdpPorts next_pair(const PortRange& range, Prng& random) noexcept {
    if (first_count_ > 0) return first_[--first_count_];
    return range.random_pair(random);
  }

  std::array<Pending, 8> pending_{};  // four waves: results may be late
  std::array<UdpPorts, 4> first_{};
  std::size_t first_count_ = 0;
  Instant next_at_ = never;
  Instant rest_until_{};
  Duration rest_ = rest_first;
  std::uint32_t sent_ = 0;
  std::uint32_t left_in_wave_ = 0;
  std::uint32_t engines_ = engines_unknown;
  std::uint8_t wanted_ = 0;
  bool searching_ = false;
};

}  // namespace proa
