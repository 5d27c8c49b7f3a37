// L2 tests: the ring and the sleep words, alone and between two threads.
#include <catch2/catch.hpp>

#include <thread>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/ipc/ring.hpp>

namespace proa {
namespace {

struct TestRing {
  explicit TestRing(std::uint32_t capacity)
      : slots(capacity),
        writer(slots.data(), capacity, &line),
        reader(slots.data(), capacity, &line) {}
  std::vector<RingSlot> slots;
  ReaderLine line;
  RingWriter writer;
  RingReader reader;
};

void put(RingWriter& writer, std::uint64_t value, std::uint32_t ahead = 0) {
  std::memcpy(writer.body(ahead), &value, sizeof value);
}
std::uint64_t get(const RingReader& reader, std::uint32_t ahead = 0) {
  SlotBody body;
  reader.copy(body, ahead);
  std::uint64_t value = 0;
  std::memcpy(&value, body.data(), sizeof value);
  return value;
}

}  // namespace

TEST_CASE("a ring delivers in order, refuses when full and goes on for many laps", "[ipc][ring]") {
  TestRing ring{64};
  Prng prng{7};
  std::uint64_t sent = 0, received = 0;
  while (received < 10'000) {
    for (auto n = prng.below(70); n > 0 && ring.writer.room() > 0; --n) {
      put(ring.writer, sent++);
      ring.writer.publish();
    }
    REQUIRE(sent - received <= 64);
    for (auto n = prng.below(70); n > 0 && ring.reader.ready(); --n) {
      REQUIRE(get(ring.reader) == received++);
      ring.reader.advance();
    }
  }
  CHECK_FALSE(ring.writer.broken());
}

TEST_CASE("who sees the first slot of a group sees all of it", "[ipc][ring]") {
  TestRing ring{64};
  put(ring.writer, 1, 0);
  put(ring.writer, 2, 1);
  CHECK_FALSE(ring.reader.ready());
  ring.writer.publish(2);
  REQUIRE(ring.reader.ready(0));
  REQUIRE(ring.reader.ready(1));
  CHECK_FALSE(ring.reader.ready(2));
  CHECK(get(ring.reader, 1) == 2);
}

TEST_CASE("any unexpected sequence number means not ready", "[ipc][ring]") {
  TestRing ring{64};
  SlotBody body;
  for (const std::uint32_t wrong : {0U, 2U, 64U, 65U, 0x8000'0001U, 0xffff'ffffU}) {
    ring.slots[0].sequence = wrong;
    CHECK_FALSE(ring.reader.peek(body));
  }
  ring.slots[0].sequence = 1;
  CHECK(ring.reader.peek(body));
}

TEST_CASE("an impossible consumed counter is noticed and the ring looks full", "[ipc][ring]") {
  for (const std::uint32_t wrong : {65U, 0xffff'ffffU, 0x8000'0000U, 31U}) {
    TestRing ring{64};
    for (std::uint32_t i = 0; i < 64; ++i) {
      put(ring.writer, i);
      ring.writer.publish();
    }
    ring.line.consumed = 32;
    CHECK(ring.writer.room(64) == 32);
    ring.line.consumed = wrong;
    CHECK(ring.writer.room(64) == 0);
    CHECK(ring.writer.broken());
    ring.line.consumed = 40;
    CHECK(ring.writer.room(64) == 0);
  }
}

TEST_CASE("a sleeper is rung once per sleep, for what it waits for", "[ipc][ring]") {
  SleepLine line;
  SleepFlag flag{&line};
  SleepWatch watch{&line};
  const Published all{true, true, true};
  const Published room{false, false, true};
  const Published progress{false, true, false};
  CHECK_FALSE(watch.must_ring(all));
  flag.declare(false);
  CHECK_FALSE(watch.must_ring(Published{}));
  CHECK_FALSE(watch.must_ring(room));
  CHECK_FALSE(watch.must_ring(progress));
  CHECK(watch.must_ring({true, false, false}));
  CHECK_FALSE(watch.must_ring(all));
  flag.awake();
  CHECK_FALSE(watch.must_ring(all));
  flag.declare(true);
  CHECK(watch.must_ring(room));
  flag.awake();
  flag.want_progress(true);
  flag.declare(false);
  CHECK(watch.must_ring(progress));
}

TEST_CASE("two threads pass a stream through a ring without losing a word", "[ipc][ring]") {
  constexpr std::uint64_t count = 200'000;
  TestRing ring{256};
  std::thread writing{[&] {
    for (std::uint64_t i = 0; i < count;) {
      const std::uint32_t n = std::min<std::uint32_t>(ring.writer.room(2), 2);
      if (n == 0) {
        std::this_thread::yield();
        continue;
      }
      for (std::uint32_t k = 0; k < n; ++k) put(ring.writer, i + k, k);
      ring.writer.publish(n);
      i += n;
    }
  }};
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < count;) {
    if (!ring.reader.ready()) {
      std::this_thread::yield();
      continue;
    }
    wrong += get(ring.reader) != i++ ? 1U : 0U;
    ring.reader.advance();
  }
  writing.join();
  CHECK(wrong == 0);
}

}  // namespace proa
