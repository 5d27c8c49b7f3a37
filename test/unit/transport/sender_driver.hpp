// A sender without a flow around it: for tests of what it takes for lost and when it probes.
#pragma once
#include <array>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/mem/heap_memory.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/transport/sender.hpp>

namespace proa::test {

/// Remembers what it was told.
struct Witness {
  std::uint32_t losses = 0, lost_packets = 0, undone = 0, persistent = 0, late = 0;
  AckSample last{};
  void on_ack(const AckSample& ack) noexcept { last = ack; }
  void on_loss(const LossSample& loss) noexcept {
    ++losses;
    lost_packets += loss.lost_packets;
  }
  void on_late(std::uint64_t) noexcept { ++late; }
  void on_spurious_timeout(Instant) noexcept { ++undone; }
  void on_persistent_congestion(Instant) noexcept { ++persistent; }
  void on_packet_size(std::uint32_t) noexcept {}
  [[nodiscard]] std::uint32_t window_bytes() const noexcept { return 1U << 20U; }
  [[nodiscard]] Duration pacing_interval(std::uint32_t) const noexcept { return {}; }
};

/// A sender of messages of one packet each. Packets are named by when they were sent, from 0.
template <class Congestion>
struct SenderOf {
  HeapMemory memory{HeapMemory::Options{}};
  ScratchPool pool{1U << 20U};
  FlowOptions options;
  PacketNumber first{0xffff'fff0U};
  Sender<HeapMemory, Congestion> sender{pool, options, first, options.packet_bytes_max};
  Instant now{1s};

  SenderOf() { sender.credit().raise(CreditLimit{0}.plus(1U << 24U)); }
  ~SenderOf() { sender.clear(memory); }

  void send(int packets = 1) {
    for (int i = 0; i < packets; ++i) {
      const auto block = memory.allocate_send(1000);
      REQUIRE(block);
      REQUIRE(sender.queue().push(*block, false));
      send_data();
    }
  }
  /// The first packet and its answer 40 us later: from here on there is a round trip to go by.
  void measure_round_trip() {
    send(1);
    now += 40us;
    (void)acknowledge(0);
  }
  void send_data() {
    REQUIRE(sender.may_send_data(now));
    std::array<std::byte, 1400> packet{};
    FrameWriter out{packet};
    SentPacket record;
    record.sent_at = now;
    sender.write_data(out, memory, record);
    REQUIRE(record.units != 0);
    record.bytes = static_cast<std::uint16_t>(out.size());
    record.state = PacketState::in_flight;
    REQUIRE(sender.packets().make_room());
    sender.on_sent(record);
  }
  /// A packet without message parts: in flight if it holds anything but an acknowledgement.
  void send_other(std::uint8_t content, std::uint16_t bytes = 100) {
    SentPacket record;
    record.sent_at = now;
    record.bytes = bytes;
    record.content = content;
    record.state = content != 0 ? PacketState::in_flight : PacketState::untracked;
    REQUIRE(sender.packets().make_room());
    sender.on_sent(record);
  }
  void send_probe() {
    REQUIRE(sender.probe_due());
    std::array<std::byte, 1400> packet{};
    FrameWriter out{packet};
    SentPacket record;
    record.sent_at = now;
    (void)sender.write_probe(out, memory, record);
    record.bytes = static_cast<std::uint16_t>(out.size());
    record.state = PacketState::in_flight;
    sender.on_sent(record);
  }
  void let_probe_timer_expire() {
    now = sender.probe_deadline();
    sender.on_probe_timer(now);
  }
  /// All up to `largest` arrived but those.
  Resolved acknowledge(std::uint32_t largest, const std::vector<std::uint32_t>& missing = {},
                       Duration delay = {}) {
    AckBits bits;
    bits.words.fill(~std::uint64_t{0});
    bits.dense = missing.empty();
    for (const auto one : missing)
      bits.words[(largest - 1 - one) / 64] &= ~(std::uint64_t{1} << ((largest - 1 - one) % 64));
    const Resolved out =
        sender.on_ack({first.plus(largest), delay, bits}, {now, {}, false}, memory);
    REQUIRE(sender.broken_invariant() == nullptr);
    return out;
  }
  [[nodiscard]] const Congestion& told() const { return *sender.congestion().controller(); }
};

}  // namespace proa::test
