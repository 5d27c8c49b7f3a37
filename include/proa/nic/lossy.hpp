// L2: a NIC that loses, repeats, delays, reorders and corrupts packets; a decorator for any NIC.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/base/time.hpp>
#include <proa/mem/packet.hpp>
#include <proa/nic/loss_schedule.hpp>
#include <proa/nic/nic.hpp>

namespace proa {

enum class Corruption : std::uint8_t {
  random_bytes,  // 1 to 8 bytes at random places get random values (may be the same ones)
  single_bit,    // one bit flips
};

/// What happens to the packets of one direction. Shares are parts per million of the packets.
struct LossyFaults {
  std::uint32_t drop_ppm = 0;
  std::uint32_t drop_burst_max = 1;  // lost in a row: 1 to this; drop_ppm remains the whole share
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t corrupt_ppm = 0;
  Corruption corruption = Corruption::random_bytes;
  std::uint32_t corrupt_from_byte = 14;  // earlier bytes stay (14: the Ethernet header)
  std::uint32_t reorder_ppm = 0;         // held back by a random time up to reorder_delay_max
  Duration reorder_delay_max = std::chrono::microseconds{100};
  Duration delay{};  // of every packet
  /// Packets to drop, counted from 0 at set_tx/set_rx, ascending; the caller keeps the memory.
  std::span<const std::uint64_t> drop_list{};

  [[nodiscard]] bool any() const noexcept {
    return drop_ppm != 0 || duplicate_ppm != 0 || corrupt_ppm != 0 || reorder_ppm != 0 ||
           delay > Duration::zero() || !drop_list.empty();
  }
  /// Nothing is changed, repeated or held back.
  [[nodiscard]] bool only_drops() const noexcept {
    return duplicate_ppm == 0 && corrupt_ppm == 0 && reorder_ppm == 0 && delay <= Duration::zero();
  }
};

struct LossyCounters {
  std::uint64_t passed = 0;  // including the repeated, late and corrupted ones
  std::uint64_t dropped = 0, duplicated = 0, corrupted = 0, reordered = 0;
  std::uint64_t not_held = 0;  // lost for want of a place (or, of a copy, a buffer) to hold it
};

namespace detail {

/// One direction's decisions and the packets it holds back. Allocates only when made.
class LossyLane {
 public:
  static constexpr std::size_t held_max = 2048;  // packets

  explicit LossyLane(std::uint64_t seed) : prng_(seed) { held_.reserve(held_max); }

  void set(const LossyFaults& faults) noexcept {
    faults_ = faults;
    schedule_.set(faults.drop_ppm, faults.drop_burst_max, faults.drop_list, prng_);
  }
  [[nodiscard]] const LossyFaults& faults() const noexcept { return faults_; }
  [[nodiscard]] const LossyCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] bool idle() const noexcept { return held_.empty() && !faults_.any(); }
  [[nodiscard]] bool only_drops() const noexcept { return held_.empty() && faults_.only_drops(); }
  [[nodiscard]] std::size_t held() const noexcept { return held_.size(); }
  [[nodiscard]] Instant next_event() const noexcept {
    return held_.empty() ? never : held_.front().at;
  }

  /// How many of the next packets pass before one is lost, up to `most`.
  [[nodiscard]] std::size_t passing(std::size_t most) const noexcept {
    return std::min<std::uint64_t>(schedule_.passing(), most);
  }
  void on_passed(std::size_t packets) noexcept {
    schedule_.on_passed(packets);
    counters_.passed += packets;
  }
  void on_lost() noexcept {
    schedule_.on_lost(prng_);
    ++counters_.dropped;
  }
  /// Whether the next packet is lost; it is counted by that alone where it passes.
  [[nodiscard]] bool drops() noexcept {
    const bool lost = schedule_.passing() == 0;
    if (lost)
      on_lost();
    else
      schedule_.on_passed(1);
    return lost;
  }
  [[nodiscard]] bool corrupts(Packet& packet) noexcept {
    if (faults_.corrupt_ppm == 0 || !chance(faults_.corrupt_ppm)) return false;
    auto bytes = packet.bytes();
    if (bytes.size() <= faults_.corrupt_from_byte) return false;
    bytes = bytes.subspan(faults_.corrupt_from_byte);
    ++counters_.corrupted;
    if (faults_.corruption == Corruption::single_bit) {
      bytes[prng_.below(bytes.size())] ^= std::byte{1} << prng_.below(8);
      return true;
    }
    for (auto n = 1 + prng_.below(8); n > 0; --n)
      bytes[prng_.below(bytes.size())] = static_cast<std::byte>(prng_.below(256));
    return true;
  }
  [[nodiscard]] bool duplicates() noexcept {
    return faults_.duplicate_ppm != 0 && chance(faults_.duplicate_ppm);
  }
  /// When the next packet goes on.
  [[nodiscard]] Instant departure(Instant now) noexcept {
    Instant at = later(now, faults_.delay);
    if (faults_.reorder_ppm == 0 || !chance(faults_.reorder_ppm)) return at;
    ++counters_.reordered;
    const auto max_ns = std::max<std::int64_t>(1, faults_.reorder_delay_max.count());
    return later(
        at,
        Duration{1 + static_cast<std::int64_t>(prng_.below(static_cast<std::uint64_t>(max_ns)))});
  }

  [[nodiscard]] bool full() const noexcept { return held_.size() == held_max; }
  void hold(Instant at, Packet packet) noexcept {
    held_.push_back({at, next_id_++, std::move(packet)});  // within what was reserved
    std::push_heap(held_.begin(), held_.end(), later_first);
  }
  [[nodiscard]] bool due(Instant now) const noexcept {
    return !held_.empty() && held_.front().at <= now;
  }
  [[nodiscard]] Packet& front() noexcept { return held_.front().packet; }
  [[nodiscard]] Packet pop() noexcept {
    std::pop_heap(held_.begin(), held_.end(), later_first);
    Packet packet = std::move(held_.back().packet);
    held_.pop_back();
    return packet;
  }

  void count_passed() noexcept { ++counters_.passed; }
  void count_duplicated() noexcept { ++counters_.duplicated; }
  void count_not_held() noexcept { ++counters_.not_held; }

 private:
  struct Held {
    Instant at;
    std::uint64_t id;
    Packet packet;
  };
  static bool later_first(const Held& a, const Held& b) noexcept {
    return a.at != b.at ? a.at > b.at : a.id > b.id;
  }
  [[nodiscard]] bool chance(std::uint32_t ppm) noexcept { return prng_.chance(ppm, 1'000'000); }

  LossyFaults faults_;
  LossyCounters counters_;
  Prng prng_;
  LossSchedule schedule_;
  std::uint64_t next_id_ = 0;
  std::vector<Held> held_;
};

}  // namespace detail

/// Wraps a NIC. Faults are set per direction at run time and do nothing at first. Packets held
/// back sit in buffers of the inner NIC's pool and are given back when this is destroyed; they
/// leave during later bursts, so someone has to keep polling (next_event() says until when).
/// Threading: as the inner NIC.
template <Nic Inner>
class Lossy {
 public:
  Lossy(Inner inner, std::uint64_t seed)
      : inner_(std::move(inner)), tx_(seed), rx_(seed ^ 0x5ca1'ab1e'0ddb'a11fU) {}
  Lossy(Lossy&&) = default;
  Lossy& operator=(Lossy&&) = delete;
  ~Lossy() {
    while (tx_.held() > 0) release_one(tx_.pop());
    while (rx_.held() > 0) release_one(rx_.pop());
  }

  void set_tx(const LossyFaults& faults) noexcept { tx_.set(faults); }
  void set_rx(const LossyFaults& faults) noexcept { rx_.set(faults); }
  [[nodiscard]] const LossyCounters& tx_counters() const noexcept { return tx_.counters(); }
  [[nodiscard]] const LossyCounters& rx_counters() const noexcept { return rx_.counters(); }
  [[nodiscard]] std::size_t packets_held() const noexcept { return tx_.held() + rx_.held(); }
  [[nodiscard]] Inner& inner() noexcept { return inner_; }

  /// When a packet held back is due: poll then.
  [[nodiscard]] Instant next_event() const noexcept {
    Instant at = std::min(tx_.next_event(), rx_.next_event());
    if constexpr (requires { inner_.next_event(); }) at = std::min(at, inner_.next_event());
    return at;
  }

  [[nodiscard]] NicCapabilities capabilities() const noexcept { return inner_.capabilities(); }
  [[nodiscard]] NicCounters counters() const noexcept { return inner_.counters(); }
  [[nodiscard]] bool link_up() const noexcept { return inner_.link_up(); }
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept {
    return inner_.link_interruptions();
  }
  std::size_t allocate(std::span<Packet> out) noexcept { return inner_.allocate(out); }
  void release(std::span<Packet> packets) noexcept { inner_.release(packets); }
  std::size_t wait_descriptors(std::span<int> out) noexcept { return inner_.wait_descriptors(out); }
  bool arm_wait() noexcept { return packets_held() == 0 && inner_.arm_wait(); }
  void disarm_wait() noexcept { inner_.disarm_wait(); }

  std::size_t rx_burst(Instant now, std::span<Packet> out) noexcept {
    send_due(now);
    if (rx_.idle()) return inner_.rx_burst(now, out);
    if (rx_.only_drops()) return receive_kept(now, out);
    std::size_t n = 0;
    while (n < out.size() && rx_.due(now)) out[n++] = rx_.pop();
    while (n < out.size()) {
      const std::size_t room = out.size() - n;
      const std::size_t got = inner_.rx_burst(now, out.subspan(n));
      n += sift(now, out.subspan(n, got));
      if (got < room) break;
    }
    return n;
  }

  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    send_due(now);
    if (tx_.idle()) return inner_.tx_burst(now, packets);
    if (tx_.only_drops()) return transmit_runs(now, packets);
    std::size_t n = 0;
    // A packet that is due and stuck means the inner ring is full: then the rest is refused.
    while (n < packets.size() && !tx_.full() && !tx_.due(now)) {
      Packet packet = std::move(packets[n++]);
      if (tx_.drops()) {
        release_one(std::move(packet));
        continue;
      }
      pass(tx_, now, std::move(packet));
      send_due(now);
    }
    return n;
  }

 private:
  void release_one(Packet packet) noexcept { inner_.release({&packet, 1}); }

  /// What lies between two lost packets leaves in one burst, as without faults: else the price of
  /// small bursts would pass for that of losses.
  std::size_t transmit_runs(Instant now, std::span<Packet> packets) noexcept {
    std::size_t n = 0;
    while (n < packets.size()) {
      const std::size_t run = tx_.passing(packets.size() - n);
      if (run == 0) {
        tx_.on_lost();
        release_one(std::move(packets[n++]));
        continue;
      }
      const std::size_t accepted = inner_.tx_burst(now, packets.subspan(n, run));
      tx_.on_passed(accepted);
      n += accepted;
      if (accepted < run) break;
    }
    return n;
  }
  /// Fewer than asked for says that there are no more: what is lost is made up for.
  std::size_t receive_kept(Instant now, std::span<Packet> out) noexcept {
    std::size_t n = 0;
    while (n < out.size()) {
      const std::size_t room = out.size() - n;
      const std::size_t got = inner_.rx_burst(now, out.subspan(n));
      n += keep(out.subspan(n, got));
      if (got < room) break;
    }
    return n;
  }
  /// Moves the received packets that are not lost to the front.
  std::size_t keep(std::span<Packet> packets) noexcept {
    std::size_t kept = 0;
    for (auto& packet : packets) {
      if (rx_.passing(1) == 0) {
        rx_.on_lost();
        release_one(std::move(packet));
        continue;
      }
      rx_.on_passed(1);
      if (&packets[kept] != &packet) packets[kept] = std::move(packet);
      ++kept;
    }
    return kept;
  }

  /// A packet that was not lost: repeated, corrupted, delayed, into the lane's queue.
  void pass(detail::LossyLane& lane, Instant now, Packet packet) noexcept {
    if (lane.duplicates()) duplicate(lane, now, packet);
    (void)lane.corrupts(packet);
    lane.count_passed();
    lane.hold(lane.departure(now), std::move(packet));
  }
  void duplicate(detail::LossyLane& lane, Instant now, const Packet& packet) noexcept {
    Packet copy;
    const bool room = lane.held() + 1 < detail::LossyLane::held_max;  // one more for the original
    if (!room || inner_.allocate({&copy, 1}) != 1) return lane.count_not_held();
    const auto bytes = packet.bytes();
    std::memcpy(copy.storage().data(), bytes.data(), bytes.size());
    copy.set_length(packet.length());
    copy_flags(packet, copy);
    lane.count_duplicated();
    lane.count_passed();
    lane.hold(lane.departure(now), std::move(copy));
  }
  static void copy_flags(const Packet& from, Packet& to) noexcept {
    for (std::uint16_t bit = 1; bit != 0; bit = static_cast<std::uint16_t>(bit << 1U))
      if ((from.flags() & bit) != 0) to.set(static_cast<PacketFlag>(bit));
  }
  /// Hands the inner NIC what is due, as far as its ring has room.
  void send_due(Instant now) noexcept {
    while (tx_.due(now)) {
      if (inner_.tx_burst(now, {&tx_.front(), 1}) == 0) return;
      (void)tx_.pop();
    }
  }
  /// Applies the faults to received packets; those to deliver now are moved to the front.
  std::size_t sift(Instant now, std::span<Packet> packets) noexcept {
    for (auto& packet : packets) {
      Packet taken = std::move(packet);
      if (rx_.drops()) {
        release_one(std::move(taken));
      } else if (rx_.full()) {
        rx_.count_not_held();
        release_one(std::move(taken));
      } else {
        pass(rx_, now, std::move(taken));
      }
    }
    std::size_t n = 0;
    while (n < packets.size() && rx_.due(now)) packets[n++] = rx_.pop();
    return n;
  }

  Inner inner_;
  detail::LossyLane tx_, rx_;
};

}  // namespace proa
