// engine: how much of a queue has been read, without ever seeing its end.
#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>

#include <proa/base/prng.hpp>
#include <proa/engine/read_progress.hpp>

using namespace proa;
using namespace std::chrono_literals;

TEST_CASE("Whoever sees the end of a queue has read everything") {
  ReadProgress read{100, Instant{1us}};
  CHECK(read.read_until() == Instant{1us});
  read.note_end(Instant{5us});
  CHECK(read.read_until() == Instant{5us});
  read.note_empty_until(Instant{4us});
  CHECK(read.read_until() == Instant{5us});
  read.note_empty_until(Instant{7us});
  CHECK(read.read_until() == Instant{7us});
}

TEST_CASE("What lay in a queue has been read once as many packets as it holds were read since") {
  ReadProgress read{100, Instant{}};
  read.note_end(Instant{1us});
  read.note_more(32, Instant{2us});  // from here on they count
  read.note_more(99, Instant{3us});
  CHECK(read.read_until() == Instant{1us});
  read.note_more(1, Instant{4us});
  CHECK(read.read_until() == Instant{2us});
  read.note_more(100, Instant{5us});
  CHECK(read.read_until() == Instant{4us});
  read.note_end(Instant{6us});
  read.note_more(100, Instant{7us});  // what was counted before the end says nothing any more
  CHECK(read.read_until() == Instant{6us});
  read.note_more(100, Instant{8us});
  CHECK(read.read_until() == Instant{7us});
}

TEST_CASE("Who was away has caught up after a queue's worth of packets, or at the end") {
  ReadProgress read{100, Instant{}};
  CHECK_FALSE(read.catching_up());
  read.begin_catching_up();
  read.note_more(99, Instant{1us});
  CHECK(read.catching_up());
  read.note_more(1, Instant{2us});
  CHECK_FALSE(read.catching_up());
  read.begin_catching_up();
  read.note_more(10, Instant{3us});
  read.begin_catching_up();  // anew
  read.note_more(99, Instant{4us});
  CHECK(read.catching_up());
  read.note_empty_until(Instant{5us});
  CHECK(read.catching_up());
  read.note_end(Instant{6us});
  CHECK_FALSE(read.catching_up());
}

TEST_CASE("Nothing older than it says lies unread in a queue, and it says so soon") {
  constexpr std::uint32_t capacity = 64, burst_max = 32;
  constexpr std::size_t window = 2 * (capacity + burst_max);  // packets are counted by the burst
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Prng prng{seed};
    ReadProgress read{capacity, Instant{}};
    std::deque<Instant> queue;
    std::deque<Instant> readings;  // the times at which the last packets were read
    Instant now{};
    for (int turn = 0; turn < 2000; ++turn) {
      now += Duration{1 + prng.below(1000)};
      const bool flood = turn % 200 < 150;
      const auto arrivals = flood ? capacity : prng.below(20);
      for (std::uint64_t i = 0; i < arrivals && queue.size() < capacity; ++i) queue.push_back(now);
      const std::uint32_t burst = 1 + static_cast<std::uint32_t>(prng.below(burst_max));
      const auto count = std::min<std::size_t>(burst, queue.size());
      for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(queue.front() >= read.read_until());
        queue.pop_front();
        readings.push_back(now);
      }
      while (readings.size() > window) readings.pop_front();
      if (count < burst)
        read.note_end(now);
      else
        read.note_more(burst, now);
      if (readings.size() == window) REQUIRE(read.read_until() >= readings.front());
    }
  }
}
