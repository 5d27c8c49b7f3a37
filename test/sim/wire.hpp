// Simulation: the two directions of a wire between two hosts, with everything that goes wrong.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>

#include "plan.hpp"

namespace proa::sim {

struct Datagram {
  Instant at;
  std::uint64_t id = 0;
  std::uint32_t to = 0, pair = 0;
  bool corrupt = false;  // differs from what was sent
  std::unique_ptr<std::vector<std::byte>> bytes;
};

struct WireCounters {
  std::uint64_t sent = 0, delivered = 0, bytes = 0;
  std::uint64_t lost = 0, duplicated = 0, corrupted = 0, reordered = 0, overflowed = 0;
};

/// Deterministic: (time, id)-ordered.
class Wire {
 public:
  Wire(const Plan& plan, std::uint64_t seed) : plan_(&plan), faults_(plan.faults), prng_(seed) {}

  void heal() noexcept {
    healed_ = true;
    faults_ = {};
  }
  void cut() noexcept { cut_ = true; }
  [[nodiscard]] Instant next() const noexcept { return heap_.empty() ? never : heap_.front().at; }
  [[nodiscard]] const WireCounters& counters() const noexcept { return counters_; }

  void send(Instant now, std::uint32_t to, std::uint32_t pair, std::span<const std::byte> bytes) {
    ++counters_.sent;
    counters_.bytes += bytes.size();
    const LinkFaults& faults = faults_[to];
    if (loses(now, to, faults)) {
      ++counters_.lost;
      return;
    }
    const Instant departed = departure(now, to, bytes.size());
    if (departed == never) {
      ++counters_.overflowed;
      return;
    }
    const bool twice = chance(faults.duplicate_ppm);
    counters_.duplicated += twice ? 1 : 0;
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy)
      push(arrival(departed, faults), to, pair, bytes, faults);
  }
  /// The earliest datagram; only if next() is not `never`.
  [[nodiscard]] Datagram take() {
    std::pop_heap(heap_.begin(), heap_.end(), after);
    Datagram out = std::move(heap_.back());
    heap_.pop_back();
    return out;
  }
  /// Its receiver was not looking: it waits until then.
  void put_off(Datagram datagram, Instant until) {
    datagram.at = until;
    heap_.push_back(std::move(datagram));
    std::push_heap(heap_.begin(), heap_.end(), after);
  }
  void recycle(Datagram datagram) {
    ++counters_.delivered;
    spare_.push_back(std::move(datagram.bytes));
  }

 private:
  static bool after(const Datagram& a, const Datagram& b) noexcept {
    return a.at != b.at ? a.at > b.at : a.id > b.id;
  }
  [[nodiscard]] bool chance(std::uint32_t ppm) noexcept {
    return ppm != 0 && prng_.chance(ppm, 1'000'000);
  }
  [[nodiscard]] bool loses(Instant now, std::uint32_t to, const LinkFaults& faults) noexcept {
    if (cut_) return true;
    for (const auto& hole : plan_->blackholes)
      if (!healed_ && hole.direction[to] && now >= hole.from && now < hole.to) return true;
    if (burst_left_[to] > 0) {
      --burst_left_[to];
      return !healed_;
    }
    // A burst of mean length b starts so often that the share p is lost in all.
    const std::uint64_t p = faults.loss_ppm, twice_b = faults.burst_max + 1;
    const auto start = 2 * p * 1'000'000 / (2 * p + twice_b * (1'000'000 - p));
    if (!chance(static_cast<std::uint32_t>(start))) return false;
    burst_left_[to] = static_cast<std::uint32_t>(prng_.below(faults.burst_max));
    return true;
  }
  [[nodiscard]] Instant departure(Instant now, std::uint32_t to, std::size_t size) noexcept {
    constexpr std::size_t overhead = 66;  // Ethernet, IPv4 and UDP headers, FCS, preamble, gap
    const auto time = Duration{static_cast<std::int64_t>((size + overhead) * 8 * 1'000'000'000ULL /
                                                         plan_->bits_per_second)};
    const auto queue_time = Duration{static_cast<std::int64_t>(
        plan_->queue_bytes * 8 * 1'000'000'000ULL / plan_->bits_per_second)};
    if (busy_[to] > now + queue_time) return never;
    busy_[to] = std::max(busy_[to], now) + time;
    return busy_[to];
  }
  [[nodiscard]] Instant arrival(Instant departed, const LinkFaults& faults) noexcept {
    Duration delay = plan_->delay;
    if (chance(faults.reorder_ppm)) {
      ++counters_.reordered;
      delay += Duration{static_cast<std::int64_t>(
          prng_.below(static_cast<std::uint64_t>(faults.reorder_max.count())))};
    }
    return departed + delay;
  }
  void push(Instant at, std::uint32_t to, std::uint32_t pair, std::span<const std::byte> bytes,
            const LinkFaults& faults) {
    Datagram out{at, next_id_++, to, pair, false, take_buffer()};
    out.bytes->assign(bytes.begin(), bytes.end());
    if (chance(faults.corrupt_ppm)) out.corrupt = corrupt(*out.bytes, bytes, faults.single_bit);
    counters_.corrupted += out.corrupt ? 1 : 0;
    heap_.push_back(std::move(out));
    std::push_heap(heap_.begin(), heap_.end(), after);
  }
  bool corrupt(std::vector<std::byte>& out, std::span<const std::byte> was, bool single_bit) {
    if (single_bit) {
      out[prng_.below(out.size())] ^= std::byte{1} << prng_.below(8);
      return true;
    }
    if (prng_.chance(1, 8)) out.resize(prng_.below(out.size()));  // cut short
    for (auto n = 1 + prng_.below(8); n > 0 && !out.empty(); --n)
      out[prng_.below(out.size())] = static_cast<std::byte>(prng_.below(256));
    return !std::equal(out.begin(), out.end(), was.begin(), was.end());
  }
  [[nodiscard]] std::unique_ptr<std::vector<std::byte>> take_buffer() {
    if (spare_.empty()) return std::make_unique<std::vector<std::byte>>();
    auto out = std::move(spare_.back());
    spare_.pop_back();
    return out;
  }

  const Plan* plan_;
  std::array<LinkFaults, 2> faults_;
  Prng prng_;
  bool healed_ = false, cut_ = false;
  std::uint64_t next_id_ = 0;
  std::array<std::uint32_t, 2> burst_left_{};
  std::array<Instant, 2> busy_{};
  std::vector<Datagram> heap_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> spare_;
  WireCounters counters_;
};

}  // namespace proa::sim
