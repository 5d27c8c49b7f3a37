// The sending half of a flow: what it takes for lost, and what it takes back.
#include <algorithm>
#include <array>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/transport/cubic.hpp>
#include <proa/transport/swift.hpp>

#include "sender_driver.hpp"

using namespace proa;
using namespace proa::test;

namespace {

using Fixture = SenderOf<Witness>;

}  // namespace

TEST_CASE("an answer for which the clock has not moved on is no round trip of a nanosecond") {
  Fixture f;
  f.send();
  (void)f.acknowledge(0);
  CHECK_FALSE(f.sender.rtt().has_sample());
  CHECK(f.told().last.acked_packets == 1);
  CHECK(f.told().last.rtt == 0ns);  // none
  f.send();
  f.now += 40us;
  (void)f.acknowledge(1);
  f.send();
  (void)f.acknowledge(2);
  CHECK(f.sender.rtt().minimum() == 40us);
  CHECK(f.sender.rtt().smoothed() == 40us);
}

TEST_CASE("a packet is lost once three later ones are acknowledged", "[rfc9002-6.1.1]") {
  Fixture f;
  f.send(5);
  f.now += 40us;
  (void)f.acknowledge(2, {0});
  CHECK(f.sender.lost_packets() == 0);
  (void)f.acknowledge(3, {0});
  CHECK(f.sender.lost_packets() == 1);
  CHECK(f.told().losses == 1);
  CHECK(f.sender.queue().has_lost());
  f.send_data();  // a frame is sent again, in a packet of its own number
  CHECK_FALSE(f.sender.queue().has_lost());
  CHECK(f.sender.resent_bytes() == 1001);  // and its end mark
  CHECK(f.sender.packets().next() == f.first.plus(6));
}

TEST_CASE("a packet that only acknowledges is none of the three", "[rfc9002-6.1.1]") {
  Fixture f;
  f.measure_round_trip();
  f.send(3);
  f.send_other(0);
  f.send(1);
  f.now += 40us;
  (void)f.acknowledge(4, {1});
  CHECK(f.sender.lost_packets() == 0);
  (void)f.acknowledge(5, {1});
  CHECK(f.sender.lost_packets() == 1);
}

TEST_CASE("a packet is lost by time once a later one is acknowledged", "[rfc9002-6.1.2]") {
  Fixture f;
  f.send(2);
  f.now += 40us;
  (void)f.acknowledge(1, {0});
  // srtt 40 us and a reordering window of a quarter of the minimum.
  CHECK(f.sender.loss_deadline() == Instant{1s} + 50us);
  f.now = f.sender.loss_deadline() - 1ns;
  (void)f.sender.on_loss_timer(f.now);
  CHECK(f.sender.lost_packets() == 0);
  f.now += 1ns;
  (void)f.sender.on_loss_timer(f.now);
  CHECK(f.sender.lost_packets() == 1);
  CHECK(f.sender.loss_deadline() == never);
}

TEST_CASE("a packet overtaken by two, not lost, ends the decision by count", "[rfc8985-6.2]") {
  Fixture f;
  f.send(3);
  f.now += 40us;
  (void)f.acknowledge(2, {0});
  (void)f.acknowledge(2);  // there it is
  f.send(10);
  f.now += 40us;
  (void)f.acknowledge(12, {3});
  CHECK(f.sender.lost_packets() == 0);
  f.now = f.sender.loss_deadline();
  (void)f.sender.on_loss_timer(f.now);
  CHECK(f.sender.lost_packets() == 1);
}

TEST_CASE("what arrives in order is no reordering, however old the acknowledgement",
          "[rfc8985-6.2]") {
  Fixture f;
  f.send(20);
  f.now += 40us;
  (void)f.acknowledge(5);
  (void)f.acknowledge(9);
  (void)f.acknowledge(7);  // overtaken on the way
  (void)f.acknowledge(19, {12});
  CHECK(f.sender.lost_packets() == 1);  // by count, still
}

TEST_CASE("a loss that was none is noticed, taken back, and widens the reordering window",
          "[rfc8985-6.2]") {
  Fixture f;
  f.send(5);
  f.now += 40us;
  (void)f.acknowledge(4, {0});
  REQUIRE(f.sender.lost_packets() == 1);
  f.send_data();
  (void)f.acknowledge(4);  // the first one was only late
  CHECK(f.sender.spurious_losses() == 1);
  CHECK(f.told().late == 1);
  f.send(2);
  f.now += 40us;
  (void)f.acknowledge(7, {6});
  CHECK(f.sender.loss_deadline() - (f.now - 40us) == 60us);  // two quarters
}

TEST_CASE("of two size probes lost the newer one is told, which is the one under way") {
  Fixture f;
  f.send_other(with(0, PacketContent::size_probe), 4000);
  f.send_other(with(0, PacketContent::size_probe), 1400);
  f.send(5);
  f.now += 40us;
  CHECK(f.acknowledge(6, {0, 1}).size_probe_lost == 1400);
}

TEST_CASE("a size probe that was only late is no loss for nothing", "[rfc8899-3]") {
  Fixture f;
  f.send_other(with(0, PacketContent::size_probe), 1400);
  f.send(5);
  f.now += 40us;
  CHECK(f.acknowledge(5, {0, 1}).size_probe_lost == 1400);
  CHECK(f.sender.lost_packets() == 1);
  CHECK(f.acknowledge(5, {1}).size_probe_acked == 1400);
  CHECK(f.sender.spurious_losses() == 0);
  CHECK(f.told().late == 0);
  (void)f.acknowledge(5);
  CHECK(f.sender.spurious_losses() == 1);
  CHECK(f.told().late == 1);
}

TEST_CASE(
    "what was taken for refused is no loss for nothing when it comes, what was lost before is") {
  Fixture f;
  f.measure_round_trip();
  f.send(5);
  f.now += 40us;
  (void)f.acknowledge(4, {1});
  CHECK(f.told().lost_packets == 1);
  f.send(4);
  f.now += 40us;
  f.sender.on_peer_room({f.now, {}, false});
  f.send_probe();
  (void)f.acknowledge(10, {1, 5, 6});
  CHECK(f.sender.lost_packets() == 3);
  CHECK(f.told().lost_packets == 1);
  (void)f.acknowledge(10, {1});
  CHECK(f.told().late == 0);
  (void)f.acknowledge(10);
  CHECK(f.told().late == 1);
}

TEMPLATE_TEST_CASE("a decrease is taken back when all its packets are here, not when one is",
                   "[rfc9438-4.9][rfc3522]", Swift, Cubic) {
  SenderOf<TestType> f;
  f.send(16);
  f.now += 40us;
  (void)f.acknowledge(15);
  f.send(12);
  const std::uint32_t before = f.sender.congestion().window_bytes();
  f.now += 40us;
  (void)f.acknowledge(27, {16, 17, 18, 19, 20, 21});
  CHECK(f.sender.lost_packets() == 6);
  f.send(4);
  f.now += 40us;
  (void)f.acknowledge(31, {16, 17, 18, 19, 20, 21});  // Swift decides at the end of the round
  const std::uint32_t after = f.sender.congestion().window_bytes();
  REQUIRE(after < before);
  (void)f.acknowledge(31, {16, 17, 18, 19});  // two were only late
  CHECK(f.sender.congestion().window_bytes() == after);
  (void)f.acknowledge(31, {16});
  CHECK(f.sender.congestion().window_bytes() == after);
  (void)f.acknowledge(31);
  CHECK(f.sender.congestion().window_bytes() >= before);
}

TEST_CASE("what a packet lay before the peer's late poller is no delay of the path", "[A26]") {
  Fixture f;
  f.measure_round_trip();
  const auto send_and_hear = [&](Duration answer, Duration delay) {
    f.send(1);
    const std::uint32_t number = f.sender.packets().next().since(f.first) - 1;
    f.now += answer;
    (void)f.acknowledge(number, {}, delay);
  };
  send_and_hear(65us, 25us);  // an acknowledgement that waited: exact
  CHECK(f.told().last.rtt == 40us);
  CHECK(f.told().last.rtt_reliable);
  for (const Duration stall : {Duration{100us}, Duration{1ms}, Duration{20ms}}) {
    CAPTURE(stall.count());
    send_and_hear(40us + stall, std::min(stall + 19us, ack_delay_saturated));
    CHECK_FALSE(f.told().last.rtt_reliable);
    CHECK(f.told().last.rtt == 40us + stall);  // nothing that could pass for a shorter path
    CHECK(f.sender.rtt().smoothed() == 40us);
    for (int i = 0; i < 40; ++i) send_and_hear(40us, 0us);
  }
}

TEST_CASE("an acknowledgement of what was never sent is told apart and changes nothing") {
  Fixture f;
  f.send(3);
  f.now += 40us;
  CHECK(f.acknowledge(3).acks_unsent);
  CHECK(f.sender.packets().in_flight_packets() == 3);
  CHECK(f.acknowledge(2).progress);
  CHECK_FALSE(f.acknowledge(2).progress);  // twice
  CHECK_FALSE(f.acknowledge(1).progress);  // older than all records
  CHECK(f.sender.packets().in_flight_packets() == 0);
}

TEST_CASE("an acknowledgement that lay unread does not make packets late", "[rfc9002-6.1.2]") {
  Fixture f;
  f.send(2);
  f.now += 10ms;  // this end was not looking
  AckBits bits;
  bits.words.fill(~std::uint64_t{0} << 1U);
  bits.dense = false;
  (void)f.sender.on_ack({f.first.plus(1), 0us, bits}, {f.now, 10ms - 40us, false}, f.memory);
  CHECK(f.sender.lost_packets() == 0);
}

TEST_CASE("whatever acknowledgements say in whatever order, what one names is acknowledged") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng{seed};
    SenderOf<Witness> f;
    constexpr std::uint32_t packets = 700;
    std::array<bool, packets> named{};
    std::uint32_t sent = 0;
    while (sent < packets) {
      const auto burst =
          std::min<std::uint32_t>(1 + static_cast<std::uint32_t>(prng.below(60)), packets - sent);
      for (std::uint32_t i = 0; i < burst; ++i) {
        if (prng.chance(1, 8))
          f.send_other(0);  // takes a number and leaves no record
        else
          f.send();
      }
      sent += burst;
      f.now += Duration{static_cast<std::int64_t>(prng.below(20'000))};
      // Mostly of the newest, now and then one that was overtaken.
      const std::uint32_t back =
          prng.chance(1, 4) ? static_cast<std::uint32_t>(prng.below(600)) : 0;
      const std::uint32_t largest = sent - 1 - std::min(back, sent - 1);
      AckBits bits;
      bits.dense = prng.chance(1, 16);
      bits.count = bits.dense || prng.chance(1, 4) ? ack_window : 64;
      const auto missing_of_1000 = prng.below(3) * 20;
      bits.words.fill(0);
      for (std::uint32_t below = 0; below < bits.count; ++below)
        if (!prng.chance(missing_of_1000, 1000))
          bits.words[below / 64] |= std::uint64_t{1} << (below % 64);
      (void)f.sender.on_ack({f.first.plus(largest), {}, bits}, {f.now, {}, false}, f.memory);
      named[largest] = true;
      for (std::uint32_t below = 0; below < bits.count && below < largest; ++below)
        if (bits.arrived(below)) named[largest - 1 - below] = true;
      REQUIRE(f.sender.broken_invariant() == nullptr);
      std::uint32_t in_flight = 0;
      for (std::uint32_t i = 0; i < f.sender.packets().count(); ++i) {
        const SentPacket& packet = f.sender.packets().at(i);
        REQUIRE((packet.state == PacketState::acked) == named[packet.number.since(f.first)]);
        in_flight += packet.state == PacketState::in_flight ? 1 : 0;
      }
      REQUIRE(in_flight == f.sender.packets().in_flight_packets());
    }
  }
}
