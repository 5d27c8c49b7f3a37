// The small pure parts of the transport: acknowledgement memory, loss, probes, states.
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/transport/ack_tracker.hpp>
#include <proa/transport/loss.hpp>
#include <proa/transport/probe.hpp>
#include <proa/transport/rtt.hpp>
#include <proa/transport/sent_packets.hpp>
#include <proa/transport/state.hpp>
#include <proa/transport/timers.hpp>

using namespace proa;

TEST_CASE("the ack tracker remembers exactly the window below the largest") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng{seed};
    ScratchPool pool{1U << 16U};
    AckTracker tracker{pool};
    std::uint64_t largest = 0xffff'ff00U;  // wraps early on
    std::set<std::uint64_t> seen;
    REQUIRE_FALSE(tracker.record(PacketNumber{static_cast<std::uint32_t>(largest)}, Instant{1ms}));
    for (std::uint64_t back = 0; back <= 600; ++back)
      seen.insert(largest - back);  // not ours to miss
    for (int i = 0; i < 3000; ++i) {
      const bool ahead = prng.chance(2, 3);
      const std::uint64_t n =
          ahead ? largest + 1 + prng.below(prng.chance(1, 50) ? 3 * ack_window : 4)
                : largest - prng.below(520);
      const PacketNumber wire{static_cast<std::uint32_t>(n)};
      const auto verdict = tracker.judge(wire);
      if (n + ack_window < largest) {
        REQUIRE(verdict == AckTracker::Verdict::too_old);
        continue;
      }
      REQUIRE((verdict == AckTracker::Verdict::duplicate) == (seen.count(n) == 1));
      if (verdict != AckTracker::Verdict::fresh) continue;
      REQUIRE(tracker.can_record(wire));
      (void)tracker.record(wire, Instant{1ms});
      seen.insert(n);
      largest = std::max(largest, n);
      const AckBits bits = tracker.bits();
      bool dense = true;
      for (std::uint32_t below = 0; below < ack_window; ++below) {
        const bool expected = seen.count(largest - 1 - below) == 1;
        dense = dense && expected;
        REQUIRE(bits.arrived(below) == expected);
      }
      REQUIRE(tracker.has_gaps() == !dense);
      REQUIRE((pool.arena().used() == 0) == dense);  // nothing is kept without gaps
    }
  }
}

TEST_CASE("a gap is forgotten when what filled it or its age says so, and not before") {
  const std::uint32_t filled_after = GENERATE(0U, 1U, 100U, 300U);  // 0: it never is
  ScratchPool pool{1U << 16U};
  AckTracker tracker{pool};
  (void)tracker.record(PacketNumber{100}, Instant{});
  (void)tracker.record(PacketNumber{102}, Instant{});  // 101 is missing for good
  (void)tracker.record(PacketNumber{104}, Instant{});
  for (std::uint32_t n = 105; n <= 103 + ack_window + 1; ++n) {
    if (filled_after != 0 && n == 105 + filled_after) {
      CHECK(tracker.record(PacketNumber{103}, Instant{}));
    }
    CHECK_FALSE(tracker.record(PacketNumber{n}, Instant{}));
    const std::uint32_t last_gap = n >= 105 + filled_after && filled_after != 0 ? 101 : 103;
    CHECK(tracker.has_gaps() == (n - last_gap <= ack_window));
  }
  CHECK_FALSE(tracker.has_gaps());
}

TEST_CASE("the oldest packet in flight is found past acknowledged and lost ones") {
  ScratchPool pool{1U << 16U};
  SentPackets packets{pool, 1024, PacketNumber{0xffff'fffeU}};
  for (int i = 0; i < 6; ++i) {
    SentPacket packet;
    packet.sent_at = Instant{1ms * i};
    packet.bytes = 100;
    packet.state = i == 2 ? PacketState::untracked : PacketState::in_flight;
    REQUIRE(packets.make_room());
    packets.push(packet);
  }
  CHECK(packets.oldest_in_flight() == 0);
  packets.acknowledge(1);
  CHECK(packets.oldest_in_flight() == 0);
  packets.lose(packets.at(0));
  CHECK(packets.oldest_in_flight() == 2);  // the untracked one has no record
  CHECK(packets.count() == 5);
  packets.forget(Instant{});  // the lost one stays, and what is behind it
  CHECK(packets.oldest_in_flight() == 2);
  CHECK(packets.broken_invariant() == nullptr);
  packets.forget(Instant{1ms});
  CHECK(packets.oldest() == PacketNumber{1});
  CHECK(packets.oldest_in_flight() == 0);
  for (const std::uint32_t i : {0U, 1U, 2U}) packets.acknowledge(i);
  CHECK(packets.oldest_in_flight() == packets.count());
  CHECK(packets.broken_invariant() == nullptr);
  packets.forget(Instant{});
  CHECK(packets.oldest_in_flight() == 0);
  packets.clear();
}

TEST_CASE("behind a lost packet one look passes all that were acknowledged in order") {
  ScratchPool pool{1U << 20U};
  SentPackets packets{pool, 1024, PacketNumber{0xffff'fff0U}};
  for (int i = 0; i < 100; ++i) {
    SentPacket packet;
    packet.units = 1000;
    packet.state = PacketState::in_flight;
    REQUIRE(packets.make_room());
    packets.push(packet);
  }
  packets.lose(packets.at(0));
  for (std::uint32_t i = 1; i < 40; ++i) packets.acknowledge(i);
  packets.forget(Instant{1ms});  // the lost one goes, and what is behind it
  CHECK(packets.count() == 60);
  packets.lose(packets.at(0));
  packets.lose(packets.at(30));
  for (std::uint32_t i = 1; i < 60; ++i)
    if (i != 30) packets.acknowledge(i);
  CHECK(packets.acked_run(59) == 29);
  CHECK(packets.acked_run(29) == 29);
  CHECK(packets.acked_run(1) == 1);
  packets.acknowledge(30);  // late: what is above it does not know
  CHECK(packets.acked_run(59) == 29);
  CHECK(packets.acked_run(30) == 30);
  CHECK(packets.broken_invariant() == nullptr);
  packets.at(59).units = 31;
  CHECK(packets.broken_invariant() == nullptr);
  for (const std::uint32_t wrong : {0U, 60U, 61U}) {
    packets.at(59).units = wrong;
    CHECK(packets.broken_invariant() != nullptr);
  }
  packets.clear();
}

TEST_CASE("acknowledgements that overtake each other leave runs as long as in order") {
  ScratchPool pool{1U << 20U};
  SentPackets packets{pool, 1024, PacketNumber{1}};
  for (int i = 0; i < 61; ++i) {
    SentPacket packet;
    packet.state = PacketState::in_flight;
    REQUIRE(packets.make_room());
    packets.push(packet);
  }
  packets.lose(packets.at(0));
  for (std::uint32_t i = 1; i < 61; i += 3)
    for (const std::uint32_t k : {i + 1, i, i + 2}) packets.acknowledge(k);
  CHECK(packets.acked_run(60) == 60);
  CHECK(packets.broken_invariant() == nullptr);
  packets.clear();
}

TEST_CASE("a record is found by its number, whatever lies between that has none") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng{seed};
    ScratchPool pool{1U << 20U};
    const PacketNumber first{0xffff'ff80U};  // wraps
    SentPackets packets{pool, 512, first};
    std::vector<bool> recorded;
    const auto tracked_of_4 = prng.below(5);
    for (std::uint32_t i = 0; i < 400; ++i) {
      SentPacket packet;
      const bool tracked = prng.chance(tracked_of_4, 4);
      packet.state = tracked ? PacketState::in_flight : PacketState::untracked;
      REQUIRE(packets.make_room());
      packets.push(packet);
      recorded.push_back(tracked);
    }
    const auto resolved = static_cast<std::uint32_t>(prng.below(packets.count() + 1));
    for (std::uint32_t i = 0; i < resolved; ++i) packets.acknowledge(i);
    packets.forget(Instant{});
    REQUIRE(packets.broken_invariant() == nullptr);
    REQUIRE(packets.next() == first.plus(400));
    std::uint32_t gone = 0, before = 0;
    for (std::uint32_t i = 0; i < 400; ++i) {
      const bool kept = recorded[i] && gone >= resolved;
      REQUIRE(packets.position(first.plus(i)) == before);
      const SentPacket* const found = packets.find(first.plus(i));
      REQUIRE((found != nullptr) == kept);
      if (kept) REQUIRE(found->number == first.plus(i));
      if (recorded[i]) ++gone;
      if (kept) ++before;
    }
    for (const std::uint32_t ahead : {400U, 401U, 1U << 30U}) {  // what a forger may name
      REQUIRE(packets.find(first.plus(ahead)) == nullptr);
      REQUIRE(packets.position(first.plus(ahead)) == packets.count());
    }
    packets.clear();
  }
}

TEST_CASE("packets declared lost give way to new ones, the oldest first; those in flight do not") {
  ScratchPool pool{1U << 20U};
  SentPackets packets{pool, 32, PacketNumber{7}};
  const auto send = [&](PacketState state) {
    SentPacket packet;
    packet.sent_at = Instant{1ms};
    packet.bytes = 100;
    packet.state = state;
    REQUIRE(packets.make_room());
    packets.push(packet);
  };
  for (int i = 0; i < 32; ++i) send(PacketState::in_flight);
  CHECK_FALSE(packets.make_room());
  for (std::uint32_t i = 0; i < 32; ++i) {
    if (i == 0 || i == 4)
      packets.lose(packets.at(i));
    else
      packets.acknowledge(i);
  }
  packets.forget(Instant{1ms});
  REQUIRE(packets.count() == 32);  // the lost one is not old enough
  send(PacketState::in_flight);
  CHECK(packets.oldest() == PacketNumber{7 + 4});  // the next lost one
  CHECK(packets.in_flight_packets() == 1);
  CHECK(packets.broken_invariant() == nullptr);
  packets.clear();
}

TEST_CASE(
    "a burst of losses longer than the window leaves nothing acknowledged that did not come") {
  ScratchPool pool{1U << 16U};
  for (std::uint32_t lost = 1; lost <= 4 * ack_window; ++lost) {
    AckTracker tracker{pool};
    (void)tracker.record(PacketNumber{9000}, Instant{});
    (void)tracker.record(PacketNumber{9000 + lost + 1}, Instant{});
    const AckBits bits = tracker.bits();
    for (std::uint32_t below = 0; below < ack_window; ++below)
      REQUIRE(bits.arrived(below) == (below >= lost));
  }
}

TEST_CASE("packet numbers beyond 2^20 from the largest are not this flow's") {
  ScratchPool pool{1U << 16U};
  AckTracker tracker{pool};
  (void)tracker.record(PacketNumber{5}, Instant{});
  CHECK(tracker.judge(PacketNumber{5 + packet_number_window}) == AckTracker::Verdict::fresh);
  CHECK(tracker.judge(PacketNumber{6 + packet_number_window}) ==
        AckTracker::Verdict::out_of_window);
  CHECK(tracker.judge(PacketNumber{5}.minus(packet_number_window + 1)) ==
        AckTracker::Verdict::out_of_window);
}

TEST_CASE("without memory for a gap only the next packet in order is taken") {
  ScratchPool none{0};
  AckTracker tracker{none};
  (void)tracker.record(PacketNumber{5}, Instant{});
  CHECK_FALSE(tracker.can_record(PacketNumber{7}));
  REQUIRE(tracker.can_record(PacketNumber{6}));
  CHECK_FALSE(tracker.record(PacketNumber{6}, Instant{}));
  CHECK(tracker.judge(PacketNumber{6}) == AckTracker::Verdict::duplicate);
  CHECK(tracker.can_record(PacketNumber{7}));
}

TEST_CASE("three later packets make a loss until the flow has seen reordering", "[rfc9002-6.1.1]") {
  LossRule rule;
  CHECK_FALSE(rule.lost_by_count(2));
  CHECK(rule.lost_by_count(3));
  rule.on_reordering();
  CHECK_FALSE(rule.lost_by_count(100));
}

TEST_CASE("the reordering window widens with spurious losses up to one srtt", "[rfc8985-6.2]") {
  RttEstimator rtt;
  rtt.update(100us, 0us, 0us);
  LossRule rule;
  CHECK(rule.patience(rtt) == 125us);
  rule.on_spurious_loss(0, 10);
  CHECK(rule.patience(rtt) == 150us);
  rule.on_spurious_loss(9, 12);  // sent before it widened: nothing was learned since
  CHECK(rule.patience(rtt) == 150us);
  rule.on_spurious_loss(10, 20);
  CHECK(rule.patience(rtt) == 175us);
  for (std::uint64_t i = 20; i < 40; ++i) rule.on_spurious_loss(i, i + 1);
  CHECK(rule.patience(rtt) == 200us);
}

TEST_CASE("the reordering window narrows after 16 recoveries without a spurious loss",
          "[rfc8985-6.2]") {
  RttEstimator rtt;
  rtt.update(100us, 0us, 0us);
  LossRule rule;
  rule.on_spurious_loss(0, 10);
  std::uint64_t next = 10;
  const auto recover = [&] {
    rule.on_loss(next, next + 5);
    rule.on_loss(next + 1, next + 7);  // of the same recovery
    next += 10;
  };
  for (int i = 0; i < 15; ++i) recover();
  CHECK(rule.patience(rtt) == 150us);
  rule.on_spurious_loss(0, 10);  // starts the count again
  for (int i = 0; i < 15; ++i) recover();
  CHECK(rule.patience(rtt) == 150us);
  recover();
  CHECK(rule.patience(rtt) == 125us);
  CHECK(rule.reordering_seen());  // for good
}

TEST_CASE("probe timeouts: early first, then doubling to one second", "[rfc9002-6.2]") {
  FlowOptions options;
  RttEstimator rtt;
  CHECK(probe_timeout(rtt, options, 0) == 1ms);
  CHECK(probe_timeout(rtt, options, 3) == 8ms);
  rtt.update(40us, 0us, 0us);
  CHECK(probe_timeout(rtt, options, 0) == 2 * 40us + 25us);
  CHECK(probe_timeout(rtt, options, 1) == 40us + 80us + 25us);
  CHECK(probe_timeout(rtt, options, 2) == 2 * 145us);
  CHECK(probe_timeout(rtt, options, 40) == 1s);
}

TEST_CASE("a path or a slack longer than the longest wait is probed at that wait, not later") {
  RttEstimator rtt;
  rtt.update(3s, 0us, 0us);
  for (const Duration slack : {Duration{25us}, Duration{20s}}) {
    FlowOptions options;
    options.probe_slack = slack;
    for (const std::uint32_t sent : {0U, 1U, 2U, 40U})
      CHECK(probe_timeout(rtt, options, sent) == options.probe_max);
  }
}

TEST_CASE("a peer that is often late is given time before it is probed, and less as it mends") {
  const FlowOptions options;
  RttEstimator rtt;
  rtt.update(40us, 0us, 0us);
  CHECK(probe_timeout(rtt, options, 0) == 105us);
  for (int i = 0; i < 20; ++i) rtt.note_peer_lateness(200us);
  CHECK(probe_timeout(rtt, options, 0) >= 80us + 199us);
  for (int i = 0; i < 20; ++i) rtt.note_peer_lateness(0us);
  CHECK(probe_timeout(rtt, options, 0) == 105us);
  rtt.note_peer_lateness(4ms);  // one pause
  CHECK(probe_timeout(rtt, options, 0) <= 2100us);
}

TEST_CASE("the next timer is the earliest and fires once") {
  FlowTimers timers;
  CHECK(timers.next() == never);
  timers.arm(FlowTimer::ack, Instant{5us});
  timers.arm(FlowTimer::probe, Instant{3us});
  CHECK(timers.next() == Instant{3us});
  CHECK_FALSE(timers.take_expired(FlowTimer::probe, Instant{2us}));
  CHECK(timers.take_expired(FlowTimer::probe, Instant{3us}));
  CHECK_FALSE(timers.take_expired(FlowTimer::probe, Instant{9us}));
  CHECK(timers.next() == Instant{5us});
}

TEST_CASE("the whole table of flow states and inputs is as reviewed") {
  // Rows: states in order; columns: syn_ack first_data close flushed peer_fin peer_reset reset
  // reset_acked gone_silent linger_over. Letters: o open, c closing, r resetting, l lingering,
  // f finished, . means nothing in that state.
  const std::string expected =
      "o....lf.f.\n"   // syn_sent
      ".o...lr.f.\n"   // syn_received
      "..c.llr.f.\n"   // open
      "...lllr.f.\n"   // closing
      ".....l.l.f\n"   // resetting
      ".........f\n"   // lingering
      "..........\n";  // finished
  std::string actual;
  for (std::uint8_t s = 0; s < flow_state_count; ++s) {
    for (std::uint8_t i = 0; i < flow_input_count; ++i) {
      const auto to = next(static_cast<FlowState>(s), static_cast<FlowInput>(i));
      actual += to ? "srocRlf"[static_cast<std::size_t>(*to)] : '.';
    }
    actual += '\n';
  }
  for (auto& c : actual)
    if (c == 'R') c = 'r';
  CHECK(actual == expected);
}
