// Simulation: the two directions of a wire between two hosts, with everything that goes wrong.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>

#include "faults.hpp"
#include "plan.hpp"

namespace proa::sim {

struct Datagram {
  Instant at;
  std::uint64_t id = 0;
  std::uint32_t to = 0, pair = 0;
  bool corrupt = false;  // differs from what was sent
  bool foreign = false;  // injected: not of this run
  std::unique_ptr<std::vector<std::byte>> bytes;
};

/// A packet as it is handed to the wire, for those who watch.
struct Passing {
  Instant now;
  std::uint32_t to = 0, pair = 0;
  std::uint64_t index = 0;  // of this direction, from 0
  std::span<const std::byte> bytes;
};

struct WireCounters {
  std::uint64_t sent = 0, delivered = 0, bytes = 0;
  std::uint64_t lost = 0, duplicated = 0, corrupted = 0, reordered = 0, overflowed = 0;
  std::uint64_t too_big = 0;  // for a path that became narrow; lost
  std::uint64_t clogged = 0;  // waited for the end of a clog
};

/// Deterministic: (time, id)-ordered.
class Wire {
 public:
  /// Sees every packet that is sent; true: this one is lost.
  using Watch = std::function<bool(const Passing&)>;

  Wire(const Plan& plan, std::uint64_t seed) : plan_(&plan), prng_(seed) {
    for (std::uint32_t to = 0; to < 2; ++to) lane_[to].faults = plan.faults[to];
  }

  void watch(Watch watch) { watch_ = std::move(watch); }
  void heal() {
    healed_ = true;
    for (auto& lane : lane_) lane.faults = {};
  }
  void cut() noexcept { cut_ = true; }
  /// Changes what goes wrong from now on.
  void set_faults(std::uint32_t to, const LinkFaults& faults) { lane_[to].faults = faults; }
  [[nodiscard]] Instant next() const noexcept {
    Instant at = heap_.empty() ? never : heap_.front().at;
    for (const auto& lane : lane_)
      for (const auto& held : lane.held) at = std::min(at, held.datagram.at);
    return at;
  }
  [[nodiscard]] const WireCounters& counters() const noexcept { return counters_; }

  void send(Instant now, std::uint32_t to, std::uint32_t pair, std::span<const std::byte> bytes) {
    ++counters_.sent;
    counters_.bytes += bytes.size();
    Lane& lane = lane_[to];
    const std::uint64_t index = lane.packets++;
    const bool singled_out = watch_ && watch_({now, to, pair, index, bytes});
    const bool too_big = plan_->narrow[to].swallows(now, bytes.size());
    counters_.too_big += too_big ? 1 : 0;
    if (singled_out || loses(now, to, index) || too_big) {
      ++counters_.lost;
      return;
    }
    const Instant departed = departure(now, lane, bytes.size());
    if (departed == never) {
      ++counters_.overflowed;
      return;
    }
    const bool twice = chance(lane.faults.duplicate_ppm);
    counters_.duplicated += twice ? 1 : 0;
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy) pass(arrival(departed, to), to, pair, bytes);
  }
  /// A packet of another run comes along.
  void inject(Instant at, std::uint32_t to, std::uint32_t pair, std::span<const std::byte> bytes) {
    Datagram datagram = make(at, to, pair, bytes);
    datagram.foreign = true;
    push(std::move(datagram));
  }
  /// The earliest datagram; only if next() is not `never`.
  [[nodiscard]] Datagram take() {
    for (auto& lane : lane_) release_overdue(lane);
    std::pop_heap(heap_.begin(), heap_.end(), after);
    Datagram out = std::move(heap_.back());
    heap_.pop_back();
    return out;
  }
  /// Its receiver was not looking: it waits until then.
  void put_off(Datagram datagram, Instant until) {
    datagram.at = until;
    push(std::move(datagram));
  }
  void recycle(Datagram datagram) {
    ++counters_.delivered;
    spare_.push_back(std::move(datagram.bytes));
  }

 private:
  struct Held {
    Datagram datagram;              // its time is when it goes on whatever happens
    std::uint32_t to_overtake = 0;  // packets that still pass it
  };
  struct Lane {
    LinkFaults faults;
    std::uint64_t packets = 0;
    std::uint32_t burst_left = 0;
    bool bad = false;  // Gilbert and Elliott's state
    Instant busy_until{};
    std::vector<Held> held;
  };

  static bool after(const Datagram& a, const Datagram& b) noexcept {
    return a.at != b.at ? a.at > b.at : a.id > b.id;
  }
  [[nodiscard]] bool chance(std::uint32_t ppm) noexcept {
    return ppm != 0 && prng_.chance(ppm, 1'000'000);
  }
  [[nodiscard]] bool loses(Instant now, std::uint32_t to, std::uint64_t index) noexcept {
    if (cut_) return true;
    for (const auto& hole : plan_->blackholes)
      if (!healed_ && hole.direction[to] && now >= hole.from && now < hole.to) return true;
    const auto& list = lane_[to].faults.drop_list;
    if (std::binary_search(list.begin(), list.end(), index)) return true;
    return loses_in_bad_state(lane_[to]) || loses_in_burst(lane_[to]);
  }
  [[nodiscard]] bool loses_in_bad_state(Lane& lane) noexcept {
    if (lane.faults.worsen_ppm == 0) return false;
    if (chance(lane.bad ? lane.faults.recover_ppm : lane.faults.worsen_ppm)) lane.bad = !lane.bad;
    return lane.bad && chance(lane.faults.bad_loss_ppm);
  }
  [[nodiscard]] bool loses_in_burst(Lane& lane) noexcept {
    if (lane.burst_left > 0) {
      --lane.burst_left;
      return !healed_;
    }
    // A burst of mean length b starts so often that the share p is lost in all.
    const std::uint64_t p = lane.faults.loss_ppm, twice_b = lane.faults.burst_max + 1;
    const auto start = 2 * p * 1'000'000 / (2 * p + twice_b * (1'000'000 - p));
    if (!chance(static_cast<std::uint32_t>(start))) return false;
    lane.burst_left = static_cast<std::uint32_t>(prng_.below(lane.faults.burst_max));
    return true;
  }
  [[nodiscard]] Instant departure(Instant now, Lane& lane, std::size_t size) noexcept {
    constexpr std::size_t overhead = 66;  // Ethernet, IPv4 and UDP headers, FCS, preamble, gap
    const auto time = Duration{static_cast<std::int64_t>((size + overhead) * 8 * 1'000'000'000ULL /
                                                         plan_->bits_per_second)};
    const auto queue_time = Duration{static_cast<std::int64_t>(
        plan_->queue_bytes * 8 * 1'000'000'000ULL / plan_->bits_per_second)};
    if (lane.busy_until > now + queue_time) return never;
    lane.busy_until = std::max(lane.busy_until, now) + time;
    return lane.busy_until;
  }
  [[nodiscard]] Instant arrival(Instant departed, std::uint32_t to) noexcept {
    const LinkFaults& faults = lane_[to].faults;
    Instant at = departed + plan_->delay;
    if (chance(faults.reorder_ppm)) {
      ++counters_.reordered;
      at += Duration{static_cast<std::int64_t>(
          prng_.below(static_cast<std::uint64_t>(faults.reorder_max.count())))};
    }
    const Instant unclogged = at;
    for (const auto& clog : plan_->clogs)
      if (!healed_ && clog.direction[to] && at >= clog.from && at < clog.to) at = clog.to;
    counters_.clogged += at != unclogged ? 1 : 0;
    return at;
  }
  /// What arrived at the far end of the lane: corrupted, held back, or delivered then.
  void pass(Instant at, std::uint32_t to, std::uint32_t pair, std::span<const std::byte> bytes) {
    Lane& lane = lane_[to];
    Datagram out = make(at, to, pair, bytes);
    if (chance(lane.faults.corrupt_ppm))
      out.corrupt = corrupt(*out.bytes, bytes, lane.faults.single_bit);
    counters_.corrupted += out.corrupt ? 1 : 0;
    if (chance(lane.faults.displace_ppm)) {
      ++counters_.reordered;
      out.at += lane.faults.displace_wait;
      const auto n = 1 + prng_.below(lane.faults.displace_max);
      lane.held.push_back({std::move(out), static_cast<std::uint32_t>(n)});
      return;
    }
    push(std::move(out));
    let_overtake(lane, at);
  }
  /// One more packet passed those held back, and arrives at that time.
  void let_overtake(Lane& lane, Instant at) {
    for (std::size_t i = 0; i < lane.held.size();) {
      if (--lane.held[i].to_overtake > 0) {
        ++i;
        continue;
      }
      Datagram datagram = std::move(lane.held[i].datagram);
      lane.held.erase(lane.held.begin() + static_cast<std::ptrdiff_t>(i));
      datagram.at = std::min(datagram.at, at);
      datagram.id = next_id_++;  // behind the one that passed it
      push(std::move(datagram));
    }
  }
  void release_overdue(Lane& lane) {
    for (std::size_t i = 0; i < lane.held.size();) {
      if (!heap_.empty() && heap_.front().at <= lane.held[i].datagram.at) {
        ++i;
        continue;
      }
      push(std::move(lane.held[i].datagram));
      lane.held.erase(lane.held.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  [[nodiscard]] Datagram make(Instant at, std::uint32_t to, std::uint32_t pair,
                              std::span<const std::byte> bytes) {
    Datagram out{at, next_id_++, to, pair, false, false, take_buffer()};
    out.bytes->assign(bytes.begin(), bytes.end());
    return out;
  }
  void push(Datagram datagram) {
    heap_.push_back(std::move(datagram));
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
  std::array<Lane, 2> lane_;  // [0]: towards host 0
  Prng prng_;
  Watch watch_;
  bool healed_ = false, cut_ = false;
  std::uint64_t next_id_ = 0;
  std::vector<Datagram> heap_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> spare_;
  WireCounters counters_;
};

}  // namespace proa::sim
