// The send queue and the reassembly as sets of bytes, against naive models: seeded random play.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/mem/heap_memory.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/transport/reassembly.hpp>
#include <proa/transport/send_queue.hpp>
#include <proa/transport/timers.hpp>

using namespace proa;

namespace {

constexpr std::uint32_t message_bytes_max = 1U << 20U;

std::byte content(std::uint64_t message, std::uint64_t at) {
  return static_cast<std::byte>((message * 131 + at * 7 + at / 251) & 0xff);
}

std::uint32_t random_length(Prng& prng) {
  constexpr std::array<std::uint64_t, 5> below{1, 3, 100, 1500, 5'000};
  return static_cast<std::uint32_t>(prng.below(below[prng.below(below.size())]));
}

/// Parts of random messages in random order, some twice, some overlapping.
class ReassemblyGame {
 public:
  explicit ReassemblyGame(std::uint64_t seed) : prng_(seed) {
    // One message that does not fit into the initial credit: the window covers all of these.
    REQUIRE(credit_.want(MessageNumber{messages}, 64U << 10U));
    credit_.raise(memory_, 0);
    for (std::uint32_t n = 0; n < messages; ++n) length_.push_back(random_length(prng_));
  }
  ~ReassemblyGame() {
    reassembly_.clear(memory_);
    credit_.end(memory_);
  }

  void play() {
    while (delivered_ < messages) {
      const auto ahead = static_cast<std::uint32_t>(prng_.below(6));
      const std::uint32_t n = std::min(delivered_ + ahead, messages - 1);
      if (prng_.chance(1, 8) && delivered_ > 0)
        place(static_cast<std::uint32_t>(prng_.below(delivered_)));  // delivered long ago
      else
        place(n);
      take();
      REQUIRE(reassembly_.broken_invariant() == nullptr);
      credit_.raise(memory_, reassembly_.undelivered_bytes());
    }
  }

 private:
  static constexpr std::uint32_t messages = 60;

  void place(std::uint32_t n) {
    const std::uint32_t length = length_[n];
    const std::uint32_t from = first_byte(n);
    const auto size = static_cast<std::uint32_t>(
        length == 0 ? 0 : 1 + prng_.below(std::min(length - from, 1400U)));
    std::vector<std::byte> bytes(size);
    for (std::uint32_t i = 0; i < size; ++i) bytes[i] = content(n, from + i);
    Frame part;
    part.type = FrameType::part;
    part.number = MessageNumber{n};
    part.offset = from;
    part.total = length;
    part.bytes = bytes;
    const std::uint32_t repeated = reassembly_.repeated_parts();
    REQUIRE(reassembly_.place(part, message_bytes_max, credit_, memory_) == Drop::none);
    const bool known = n < delivered_ || covered(n, from, from + size);
    if (length != 0 || n < delivered_) REQUIRE((reassembly_.repeated_parts() != repeated) == known);
    if (n < delivered_) return;
    auto& arrived = arrived_[n];
    arrived.resize(length);
    std::fill_n(arrived.begin() + from, size, true);
  }
  /// Mostly anywhere, often where something is missing: else the last byte would take for ever.
  std::uint32_t first_byte(std::uint32_t n) {
    if (length_[n] == 0) return 0;
    const auto& arrived = arrived_[n];
    const auto missing = std::find(arrived.begin(), arrived.end(), false);
    if (missing != arrived.end() && prng_.chance(1, 3))
      return static_cast<std::uint32_t>(missing - arrived.begin());
    return static_cast<std::uint32_t>(prng_.below(length_[n]));
  }
  /// A part counts as known if it lies in one piece of what is there.
  bool covered(std::uint32_t n, std::uint32_t from, std::uint32_t to) {
    const auto& arrived = arrived_[n];
    if (from == to || arrived.size() < to) return false;
    return std::find(arrived.begin() + from, arrived.begin() + to, false) == arrived.begin() + to;
  }
  void take() {
    MessageNumber number;
    MessageBlock block;
    while (complete(delivered_)) {
      REQUIRE(reassembly_.deliverable());
      REQUIRE(reassembly_.take(number, block));
      REQUIRE(number == MessageNumber{delivered_});
      REQUIRE(block.length == length_[delivered_]);
      for (std::uint32_t i = 0; i < block.length; ++i)
        if (block.data[i] != content(delivered_, i)) FAIL("byte " << i << " of " << delivered_);
      memory_.release(block);
      arrived_.erase(delivered_);
      ++delivered_;
    }
    REQUIRE_FALSE(reassembly_.take(number, block));
  }
  bool complete(std::uint32_t n) {
    const auto found = arrived_.find(n);
    if (found == arrived_.end()) return false;
    return found->second.size() == length_[n] &&
           std::find(found->second.begin(), found->second.end(), false) == found->second.end();
  }

  Prng prng_;
  HeapMemory memory_{HeapMemory::Options{}};
  ScratchPool pool_{4U << 20U};
  FlowOptions options_;
  CreditGiver credit_{pool_, options_};
  Reassembly<HeapMemory> reassembly_{pool_};
  std::vector<std::uint32_t> length_;
  std::map<std::uint32_t, std::vector<bool>> arrived_;  // by message that has begun
  std::uint32_t delivered_ = 0;
};

/// A send queue whose packets get lost, acknowledged late or twice, in any order.
class SendQueueGame {
 public:
  explicit SendQueueGame(std::uint64_t seed) : prng_(seed) {
    credit_.limit = CreditLimit{0}.plus(1U << 30U);
  }
  ~SendQueueGame() { queue_.clear(memory_); }

  void play() {
    for (int i = 0; i < 3000; ++i) {
      move();
      REQUIRE(queue_.broken_invariant() == nullptr);
    }
    // The end: everything is sent, what is not acknowledged is lost and sent again.
    for (int i = 0; !queue_.empty(); ++i) {
      REQUIRE(i < 10'000);
      while (send()) {
      }
      while (!flying_.empty()) resolve(prng_.chance(4, 5));
    }
    REQUIRE(unacknowledged_.empty());
    REQUIRE(queue_.queued_bytes() == 0);
  }

 private:
  void move() {
    switch (prng_.below(4)) {
      case 0:
        return submit();
      case 1:
      case 2:
        (void)send();
        return;
      default:
        if (!flying_.empty()) resolve(prng_.chance(2, 3));
    }
  }
  void submit() {
    const std::uint32_t length = random_length(prng_);
    if (!queue_.fits(length, options_)) return;
    const auto block = memory_.allocate_send(length);
    REQUIRE(block);
    for (std::uint32_t i = 0; i < length; ++i) block->data[i] = content(submitted_, i);
    REQUIRE(queue_.push(*block, false));
    start_.push_back(end_);
    length_.push_back(length);
    for (std::uint32_t i = 0; i <= length; ++i) unacknowledged_.insert(end_ + i);
    end_ += length + 1;
    ++submitted_;
  }
  bool send() {
    std::array<std::byte, 600> packet{};
    FrameWriter out{packet};
    const bool again = queue_.has_lost();
    const Interval range =
        again ? queue_.write_lost(out, memory_) : queue_.write_new(out, memory_, credit_);
    if (range.begin == range.end) return false;
    judge({packet.data(), out.size()}, range);
    for (auto at = range.begin; at < range.end; ++at) {
      if (again ? lost_.erase(at) != 1 : at != sent_to_++) FAIL("position " << at);
    }
    flying_.push_back(range);
    return true;
  }
  /// The frames say exactly the bytes of those positions.
  void judge(ByteView packet, Interval range) {
    FrameReader reader{packet};
    std::uint64_t at = range.begin;
    for (Frame frame; reader.next(frame);) {
      const std::uint32_t n = frame.number.wire();
      REQUIRE(n < submitted_);
      REQUIRE(frame.total == length_[n]);
      const std::uint64_t from = start_[n] + frame.offset;
      REQUIRE(from <= at);  // a bare end mark takes the last byte along
      REQUIRE(from + 1 >= at);
      for (std::uint32_t i = 0; i < frame.bytes.size(); ++i)
        if (frame.bytes[i] != content(n, frame.offset + i)) FAIL("byte " << i << " of " << n);
      at = from + frame.bytes.size();
      if (frame.offset + frame.bytes.size() == frame.total) ++at;
    }
    REQUIRE_FALSE(reader.bad());
    REQUIRE(at >= range.end);
    REQUIRE(at <= range.end + 1);
  }
  void resolve(bool arrived) {
    const auto i = prng_.below(flying_.size());
    const Interval range = flying_[i];
    if (!arrived && prng_.chance(1, 4)) {  // declared lost, yet it may still be acknowledged
      lose(range);
      return;
    }
    flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(i));
    if (!arrived) return lose(range);
    REQUIRE(queue_.acknowledge(range, memory_));
    for (auto at = range.begin; at < range.end; ++at) {
      unacknowledged_.erase(at);
      lost_.erase(at);
    }
    const std::uint64_t below = unacknowledged_.empty() ? end_ : *unacknowledged_.begin();
    std::uint32_t whole = 0;
    while (whole < submitted_ && start_[whole] + length_[whole] < below) ++whole;
    REQUIRE(queue_.first_unacknowledged() == MessageNumber{whole});
  }
  void lose(Interval range) {
    REQUIRE(queue_.lose(range));
    for (auto at = range.begin; at < range.end; ++at)
      if (unacknowledged_.count(at) != 0) lost_.insert(at);
    REQUIRE(queue_.has_lost() == !lost_.empty());
  }

  Prng prng_;
  HeapMemory memory_{HeapMemory::Options{}};
  ScratchPool pool_{4U << 20U};
  FlowOptions options_;
  SendQueue<HeapMemory> queue_{pool_, options_};
  CreditUse credit_;
  std::vector<std::uint64_t> start_;
  std::vector<std::uint32_t> length_;
  std::uint32_t submitted_ = 0;
  std::uint64_t end_ = 0, sent_to_ = 0;
  std::set<std::uint64_t> unacknowledged_, lost_;
  std::vector<Interval> flying_;
};

}  // namespace

TEST_CASE(
    "a reassembly hands out exactly what arrived, in order, whatever the order of the parts") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    ReassemblyGame{seed}.play();
  }
}

TEST_CASE("a send queue sends every position until it is acknowledged, and lost ones again",
          "[rfc9000-13.3]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    SendQueueGame{seed}.play();
  }
}

TEST_CASE("a flow's timers fire once each, at their time, the earliest first") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    INFO("seed " << seed);
    Prng prng{seed};
    FlowTimers timers;
    std::map<FlowTimer, Instant> model;
    Instant now{};
    for (int i = 0; i < 2000; ++i) {
      now += Duration{static_cast<std::int64_t>(prng.below(20))};
      const auto timer =
          static_cast<FlowTimer>(prng.below(static_cast<std::uint64_t>(FlowTimer::count_)));
      switch (prng.below(4)) {
        case 0:
          model[timer] = now + Duration{static_cast<std::int64_t>(prng.below(100))};
          timers.arm(timer, model[timer]);
          break;
        case 1:
          model.erase(timer);
          timers.cancel(timer);
          break;
        default: {
          const bool expired = model.count(timer) != 0 && model[timer] <= now;
          REQUIRE(timers.take_expired(timer, now) == expired);
          if (expired) model.erase(timer);
        }
      }
      Instant first = never;
      for (const auto& [t, at] : model) first = std::min(first, at);
      REQUIRE(timers.next() == first);
      REQUIRE(timers.armed(timer) == (model.count(timer) != 0));
    }
  }
}
