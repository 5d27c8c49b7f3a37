// L2: the sender's records of packets that are acknowledged, from the oldest unresolved one on.
#pragma once
#include <algorithm>
#include <cstdint>

#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/mem/grow_ring.hpp>
#include <proa/mem/interval_set.hpp>

namespace proa {

enum class PacketState : std::uint8_t {
  untracked,  // only acknowledgement or credit: never in flight, never acknowledged, no record
  in_flight,
  acked,
  lost,  // declared lost, kept a while to notice that it was not
};

/// What a packet carried besides message parts; a bit set.
enum class PacketContent : std::uint8_t {
  ping = 1U << 0U,
  want = 1U << 1U,
  fin = 1U << 2U,
  reset = 1U << 3U,
  room = 1U << 4U,  // the peer whom we refused something hears that there is memory now
  probe = 1U << 5U,
  size_probe = 1U << 6U,  // padding only: tells whether the path carries its size
  refused = 1U << 7U,     // the peer had no memory for it: if lost, not on the path
};
[[nodiscard]] constexpr bool holds(std::uint8_t content, PacketContent what) noexcept {
  return (content & static_cast<std::uint8_t>(what)) != 0;
}
[[nodiscard]] constexpr std::uint8_t with(std::uint8_t content, PacketContent what) noexcept {
  return static_cast<std::uint8_t>(content | static_cast<std::uint8_t>(what));
}
[[nodiscard]] constexpr std::uint8_t without(std::uint8_t content, PacketContent what) noexcept {
  return static_cast<std::uint8_t>(content & ~static_cast<unsigned>(what));
}

struct SentPacket {
  Instant sent_at{};
  std::uint64_t begin = 0;  // stream positions it carried: [begin, begin + units)
  std::uint32_t units = 0;  // once it is acknowledged: see SentPackets::acked_run()
  PacketNumber number;      // SentPackets sets it
  std::uint16_t bytes = 0;  // Proa bytes; what counts as in flight
  PacketState state = PacketState::untracked;
  std::uint8_t content = 0;  // PacketContent bits

  [[nodiscard]] Interval range() const noexcept { return {begin, begin + units}; }
};
static_assert(sizeof(SentPacket) == 32);

/// In the order of their numbers, which never repeat; the oldest records leave once resolved.
/// Who only acknowledges uses numbers and no memory.
class SentPackets {
 public:
  SentPackets(ScratchPool& pool, std::uint32_t packets_max, PacketNumber first) noexcept
      : ring_(pool, packets_max), next_(first) {}

  /// The number the next packet gets.
  [[nodiscard]] PacketNumber next() const noexcept { return next_; }
  /// The oldest with a record; the next one if there is none.
  [[nodiscard]] PacketNumber oldest() const noexcept {
    return ring_.empty() ? next_ : ring_.front().number;
  }
  [[nodiscard]] std::uint32_t count() const noexcept { return ring_.size(); }
  /// at() of the oldest one in flight; count() if there is none. Lost ones stay a while: who asks
  /// for each acknowledgement what is overdue shall not look at them again and again.
  [[nodiscard]] std::uint32_t oldest_in_flight() const noexcept {
    while (settled_ < ring_.size() && ring_[settled_].state != PacketState::in_flight) ++settled_;
    return settled_;
  }
  /// Room for one more record. Where there is none the packet declared lost longest ago is
  /// forgotten: waiting for it to be old enough, with nothing in flight that would be acknowledged,
  /// would be waiting for ever. If it arrives after all nobody notices that the loss was spurious.
  [[nodiscard]] bool make_room() noexcept {
    if (ring_.make_room()) [[likely]]
      return true;
    if (ring_.empty() || ring_.front().state == PacketState::in_flight) return false;
    drop_front();
    forget(Instant::min());
    return ring_.make_room();
  }
  /// An eighth is kept for control and probes: without those nothing in flight would ever leave.
  [[nodiscard]] bool takes_data() const noexcept {
    const std::uint32_t most = ring_.limit() - ring_.limit() / 8;
    if (ring_.size() < most) [[likely]]
      return true;
    return ring_.size() - oldest_in_flight() < most;  // those before it give way
  }
  [[nodiscard]] std::uint32_t in_flight_bytes() const noexcept { return in_flight_bytes_; }
  [[nodiscard]] std::uint32_t in_flight_packets() const noexcept { return in_flight_packets_; }

  /// False for numbers this flow has not used yet: nobody honest acknowledges them.
  [[nodiscard]] bool was_sent(PacketNumber number) const noexcept { return number.before(next()); }
  [[nodiscard]] SentPacket* find(PacketNumber number) noexcept {
    const std::uint32_t i = position(number);
    return i < ring_.size() && ring_[i].number == number ? &ring_[i] : nullptr;
  }
  /// at() of the first record whose number is not before `number`; count() if there is none.
  [[nodiscard]] std::uint32_t position(PacketNumber number) const noexcept {
    if (ring_.empty() || !oldest().before(number)) return 0;
    if (ring_.back().number.before(number)) return ring_.size();
    // Exact unless packets without a record came between: then it lies before.
    const std::uint32_t guess = std::min(number.since(oldest()), ring_.size() - 1);
    return ring_[guess].number == number ? guess : search(number, guess);
  }
  [[nodiscard]] SentPacket& at(std::uint32_t i) noexcept { return ring_[i]; }
  [[nodiscard]] const SentPacket& at(std::uint32_t i) const noexcept { return ring_[i]; }

  /// The caller has asked make_room().
  void push(const SentPacket& packet) noexcept {
    const PacketNumber number = next_;
    next_ = number.plus(1);
    if (packet.state == PacketState::untracked) return;
    const bool stored = ring_.push_back(packet);
    PROA_CHECK(stored);
    ring_.back().number = number;
    in_flight_bytes_ += packet.bytes;
    ++in_flight_packets_;
  }
  /// in_flight -> lost.
  void lose(SentPacket& packet) noexcept {
    leave_flight(packet);
    packet.state = PacketState::lost;
  }
  /// in_flight or lost -> acked. What it carried is forgotten.
  void acknowledge(std::uint32_t i) noexcept {
    SentPacket& packet = ring_[i];
    leave_flight(packet);
    packet.state = PacketState::acked;
    packet.units = 1;
    while (packet.units <= i && ring_[i - packet.units].state == PacketState::acked)
      packet.units += acked_run(i - packet.units);
  }
  /// How many records in a row, from at(i), an acknowledged one, down, were acknowledged when it
  /// was. Such a run stays while a lost record before it does, and leaves whole; who looks for
  /// others passes it at once.
  [[nodiscard]] std::uint32_t acked_run(std::uint32_t i) const noexcept { return ring_[i].units; }
  /// Drops resolved records from the front; lost ones only when sent before `forget_before`.
  void forget(Instant forget_before) noexcept {
    while (!ring_.empty()) {
      const SentPacket& front = ring_.front();
      if (front.state == PacketState::in_flight) break;
      if (front.state == PacketState::lost && front.sent_at >= forget_before) break;
      drop_front();
    }
  }
  void trim() noexcept { ring_.trim(); }
  void clear() noexcept {
    ring_.clear();
    in_flight_bytes_ = in_flight_packets_ = settled_ = 0;
  }

  [[nodiscard]] const char* broken_invariant() const noexcept {
    std::uint32_t bytes = 0;
    std::uint32_t packets = 0;
    std::uint32_t acked = 0;
    if (settled_ > ring_.size()) return "more packets settled than there are records";
    for (std::uint32_t i = 1; i < ring_.size(); ++i)
      if (!ring_[i - 1].number.before(ring_[i].number)) return "records out of order";
    for (std::uint32_t i = 0; i < ring_.size(); ++i) {
      acked = ring_[i].state == PacketState::acked ? acked + 1 : 0;
      if (acked != 0 && (acked_run(i) == 0 || acked_run(i) > acked))
        return "a run of acknowledged packets is empty or holds another one";
      if (ring_[i].state != PacketState::in_flight) continue;
      if (i < settled_) return "a packet in flight among the settled ones";
      bytes += ring_[i].bytes;
      ++packets;
    }
    if (bytes != in_flight_bytes_) return "bytes in flight differ from the records";
    if (packets != in_flight_packets_) return "packets in flight differ from the records";
    return nullptr;
  }

 private:
  void leave_flight(const SentPacket& packet) noexcept {
    if (packet.state != PacketState::in_flight) return;
    in_flight_bytes_ -= packet.bytes;
    --in_flight_packets_;
  }
  void drop_front() noexcept {
    ring_.pop_front();
    if (settled_ != 0) --settled_;
  }

  /// position(), which lies in [0, end].
  [[nodiscard, gnu::noinline]] std::uint32_t search(PacketNumber number,
                                                    std::uint32_t end) const noexcept {
    std::uint32_t begin = 0;
    while (begin < end) {
      const std::uint32_t middle = begin + (end - begin) / 2;
      if (ring_[middle].number.before(number))
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }

  GrowRing<SentPacket> ring_;
  PacketNumber next_;
  std::uint32_t in_flight_bytes_ = 0;
  std::uint32_t in_flight_packets_ = 0;
  mutable std::uint32_t settled_ = 0;  // records in front that are known not to be in flight
};

}  // namespace proa
