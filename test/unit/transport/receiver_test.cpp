// The receiving half of a flow: when it acknowledges, and how often.
#include <algorithm>
#include <array>

#include <catch2/catch.hpp>

#include <proa/mem/heap_memory.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/transport/receiver.hpp>

using namespace proa;

namespace {

struct Fixture {
  HeapMemory memory{HeapMemory::Options{}};
  ScratchPool pool{1U << 20U};
  FlowOptions options;
  RttEstimator rtt;
  Receiver<HeapMemory> receiver{pool, options};
  Instant now{1s};
  PacketNumber number{100};
  std::array<std::byte, 100> bytes{};

  Fixture() { receiver.raise_credit(memory); }
  ~Fixture() { receiver.clear(memory); }

  void arrive(std::uint32_t message, Duration uncertainty = {}) {
    Frame frame;
    frame.type = FrameType::whole;
    frame.number = MessageNumber{message};
    frame.total = static_cast<std::uint32_t>(bytes.size());
    frame.bytes = bytes;
    REQUIRE(receiver.reassembly().place(frame, options.message_bytes_max, receiver.credit(),
                                        memory) == Drop::none);
    receiver.on_packet(number, true, {now, uncertainty, false}, options, rtt);
    number = number.plus(1);
  }
  void leave() { receiver.on_left(now, options, true); }
  /// The next packet's acknowledgement: its frame, or nothing in front of a header without one.
  bool acknowledges() {
    PacketHeader header;
    receiver.fill_ack(header, now);
    std::array<std::byte, 200> room{};
    FrameWriter frames{room};
    receiver.write_ack_frame(frames);
    if (!header.has(HeaderFlag::acks)) CHECK(frames.size() == 0);
    return header.has(HeaderFlag::acks);
  }
  int packets_that_acknowledge() {
    int count = 0;
    for (int sent = 0; sent < 256; ++sent) {
      count += acknowledges() ? 1 : 0;
      leave();
    }
    return count;
  }
  /// How many acknowledgements leave from now on if nothing else happens.
  int acknowledgements() {
    int count = 0;
    while (receiver.ack_deadline() != never || receiver.ack_is_due(now)) {
      REQUIRE(acknowledges());
      if (!receiver.ack_is_due(now)) now = receiver.ack_deadline();
      leave();
      ++count;
      REQUIRE(count < 1000);
    }
    return count;
  }
};

}  // namespace

TEST_CASE("one acknowledgement answers a packet, and the eighth does not wait", "[rfc9000-13.2]") {
  Fixture f;
  f.arrive(0);
  CHECK_FALSE(f.receiver.ack_is_due(f.now));
  CHECK(f.receiver.ack_is_due(f.now + f.options.ack_delay_max));
  CHECK(f.acknowledgements() == 1);
  for (std::uint32_t i = 1; i <= 8; ++i) {
    CHECK_FALSE(f.receiver.ack_is_due(f.now));
    f.arrive(i);
  }
  CHECK(f.receiver.ack_is_due(f.now));
  CHECK(f.acknowledgements() == 1);
}

TEST_CASE("a gap and what fills it are acknowledged at once", "[rfc9000-13.2.1]") {
  Fixture f;
  f.arrive(0);
  (void)f.acknowledgements();
  f.number = f.number.plus(1);
  f.arrive(2);
  CHECK(f.receiver.ack_is_due(f.now));
  (void)f.acknowledgements();
  f.number = f.number.minus(2);
  f.arrive(1);
  CHECK(f.receiver.ack_is_due(f.now));
}

TEST_CASE("the more packets in a row repeat what is here, the more often each is acknowledged") {
  Fixture f;
  f.arrive(0);
  CHECK(f.acknowledgements() == 1);
  f.number = f.number.plus(1);  // a gap changes nothing
  for (int repeated = 0; repeated < 40; ++repeated) {
    f.arrive(0);
    CHECK(f.acknowledgements() == 1 + std::min(repeated, 16));
  }
  f.arrive(1);  // news: the peer has heard from us
  CHECK(f.acknowledgements() == 1);
  f.arrive(1);
  CHECK(f.acknowledgements() == 1);
}

TEST_CASE("an acknowledgement waits a quarter of the round trip, between 5 us and 25 us") {
  Fixture f;
  f.arrive(0);
  CHECK(f.receiver.ack_deadline() - f.now == 5us);
  (void)f.acknowledgements();
  f.rtt.update(40us, 0us, 0us);
  f.arrive(1);
  CHECK(f.receiver.ack_deadline() - f.now == 10us);
  (void)f.acknowledgements();
  for (int i = 0; i < 100; ++i) f.rtt.update(1ms, 0us, 0us);
  f.arrive(2);
  CHECK(f.receiver.ack_deadline() - f.now == 25us);
}

TEST_CASE("a poller that comes late tells how long a packet may have waited, above 50 us",
          "[A26]") {
  Fixture f;
  const auto told_delay = [&] {
    PacketHeader header;
    f.receiver.fill_ack(header, f.now);
    return header.ack_delay();
  };
  f.arrive(0, 50us);  // two usual ack delays: as good as any measurement here
  CHECK(told_delay() == 0us);
  f.arrive(1, 64us);
  CHECK(told_delay() == 64us);
  f.now += 6400ns;
  CHECK(told_delay() == 70'400ns);
  f.arrive(2, 1s);
  CHECK(told_delay() == ack_delay_saturated);
}

TEST_CASE("gaps are named in eight packets and in every 128th, not in every one that leaves",
          "[rfc9000-13.2.1]") {
  Fixture f;
  f.arrive(0);
  CHECK(f.packets_that_acknowledge() == 256);  // without gaps it costs nothing
  f.number = f.number.plus(1);
  f.arrive(1);
  CHECK(f.packets_that_acknowledge() == 8 + 1);
  CHECK(f.packets_that_acknowledge() == 2);
  f.arrive(2);
  for (int i = 0; i < 8; ++i, f.leave()) CHECK(f.acknowledges());
  CHECK_FALSE(f.acknowledges());
  f.receiver.on_packet(f.number, false, {f.now, {}, false}, f.options, f.rtt);
  CHECK_FALSE(f.acknowledges());  // the peer does not wait to hear of its acknowledgements
  f.number = f.number.plus(1);
  f.receiver.ack_at_once();
  CHECK(f.acknowledges());
  f.leave();
  CHECK_FALSE(f.acknowledges());
  f.arrive(2);  // what repeats is acknowledged again
  CHECK(f.acknowledges());
}
