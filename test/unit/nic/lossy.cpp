// Lossy: what each fault does, that shares are met, and that no buffer is lost.
#include <algorithm>
#include <map>

#include <catch2/catch.hpp>

#include <proa/nic/lossy.hpp>
#include <proa/nic/sim.hpp>

#include "frames.hpp"

using namespace proa;
using namespace proa::test;

namespace {

/// a sends through the faults, b receives through the faults.
struct LossyPair {
  explicit LossyPair(std::uint64_t seed = 1) : net(seed), a(net.a, seed), b(net.b, seed + 1) {}

  /// Sends `count` marked frames, 1 us apart, and returns what b received, in order.
  std::vector<std::vector<std::byte>> run(std::uint32_t count) {
    std::vector<std::vector<std::byte>> out;
    const auto collect = [&] {
      for (auto& frame : receive(b, now)) out.push_back(std::move(frame));
    };
    for (std::uint32_t i = 0; i < count; ++i, now += std::chrono::microseconds{1}) {
      REQUIRE(send(a, now, ethernet(mac_a, mac_b, 100, i)));
      collect();
    }
    for (int i = 0; i < 1000; ++i, now += std::chrono::microseconds{10}) {
      (void)receive(a, now);
      collect();
    }
    return out;
  }
  void all_buffers_back() {
    CHECK(a.packets_held() + b.packets_held() == 0);
    CHECK(net.network.buffers_made() == net.network.buffers_free());
  }
  Instant now = start;
  Pair net;
  Lossy<SimNic> a, b;
};

double share(std::size_t part, std::size_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

TEST_CASE("without faults every packet passes at once, in order", "[nic][lossy]") {
  LossyPair pair;
  const auto got = pair.run(200);
  REQUIRE(got.size() == 200);
  for (std::uint32_t i = 0; i < 200; ++i) CHECK(got[i] == ethernet(mac_a, mac_b, 100, i));
  pair.all_buffers_back();
}

TEST_CASE("the share of lost packets is the configured one, alone and in bursts", "[nic][lossy]") {
  const bool on_rx = GENERATE(false, true);
  const std::uint32_t burst = GENERATE(1U, 3U, 8U);
  LossyPair pair;
  LossyFaults faults;
  faults.drop_ppm = 300'000;
  faults.drop_burst_max = burst;
  if (on_rx)
    pair.b.set_rx(faults);
  else
    pair.a.set_tx(faults);
  const auto got = pair.run(20'000);
  CHECK(share(got.size(), 20'000) == Approx(0.7).margin(0.03));
  const auto& counters = on_rx ? pair.b.rx_counters() : pair.a.tx_counters();
  CHECK(counters.dropped == 20'000 - got.size());
  CHECK(counters.passed == got.size());
  std::uint32_t expected = 0, longest = 0;
  for (const auto& frame : got) {
    longest = std::max(longest, mark_of(frame) - expected);
    expected = mark_of(frame) + 1;
  }
  CHECK(longest >= burst);
  pair.all_buffers_back();
}

TEST_CASE("a share of one million loses everything, setting none heals", "[nic][lossy]") {
  LossyPair pair;
  LossyFaults faults;
  faults.drop_ppm = 1'000'000;
  pair.a.set_tx(faults);
  CHECK(pair.run(100).empty());
  pair.a.set_tx({});
  CHECK(pair.run(100).size() == 100);
}

TEST_CASE("exactly the listed packets are lost", "[nic][lossy]") {
  LossyPair pair;
  static constexpr std::array<std::uint64_t, 3> list{0, 7, 99};
  LossyFaults faults;
  faults.drop_list = list;
  pair.a.set_tx(faults);
  const auto got = pair.run(101);
  REQUIRE(got.size() == 98);
  CHECK(mark_of(got[0]) == 1);
  CHECK(mark_of(got[6]) == 8);
  CHECK(mark_of(got.back()) == 100);
}

namespace {

/// Remembers the bursts it was given and takes only so many packets.
struct BurstNic {
  NicCapabilities capabilities() const noexcept { return inner->capabilities(); }
  NicCounters counters() const noexcept { return inner->counters(); }
  bool link_up() const noexcept { return inner->link_up(); }
  std::uint64_t link_interruptions() const noexcept { return inner->link_interruptions(); }
  std::size_t allocate(std::span<Packet> out) noexcept { return inner->allocate(out); }
  void release(std::span<Packet> packets) noexcept { inner->release(packets); }
  std::size_t wait_descriptors(std::span<int> out) noexcept { return inner->wait_descriptors(out); }
  bool arm_wait() noexcept { return inner->arm_wait(); }
  void disarm_wait() noexcept { inner->disarm_wait(); }
  std::size_t rx_burst(Instant now, std::span<Packet> out) noexcept {
    return inner->rx_burst(now, out);
  }
  std::size_t tx_burst(Instant now, std::span<Packet> packets) noexcept {
    bursts->push_back(packets.size());
    return inner->tx_burst(now, packets.first(std::min(*accepted, packets.size())));
  }
  SimNic* inner;
  std::vector<std::size_t>* bursts;
  std::size_t* accepted;
};
static_assert(Nic<BurstNic>);

}  // namespace

TEST_CASE("what lies between two lost packets leaves in one burst, in order", "[nic][lossy]") {
  const std::size_t accepted_at_once = GENERATE(std::size_t{32}, std::size_t{3});
  Pair net;
  std::vector<std::size_t> bursts;
  std::size_t accepted = accepted_at_once;
  Lossy<BurstNic> nic(BurstNic{&net.a, &bursts, &accepted}, 1);
  static constexpr std::array<std::uint64_t, 3> list{5, 6, 20};
  LossyFaults faults;
  faults.drop_list = list;
  nic.set_tx(faults);
  std::array<Packet, 32> packets;
  REQUIRE(nic.allocate(packets) == packets.size());
  for (std::uint32_t i = 0; i < packets.size(); ++i) {
    const auto frame = ethernet(mac_a, mac_b, 100, i);
    std::copy(frame.begin(), frame.end(), packets[i].storage().begin());
    packets[i].set_length(100);
  }
  Instant now = start;
  for (std::size_t sent = 0; sent < packets.size(); now += std::chrono::microseconds{1}) {
    const std::size_t n = nic.tx_burst(now, std::span{packets}.subspan(sent));
    REQUIRE(n > 0);
    sent += n;
  }
  if (accepted_at_once == 32) CHECK(bursts == std::vector<std::size_t>{5, 13, 11});
  CHECK(nic.tx_counters().dropped == list.size());
  CHECK(nic.tx_counters().passed == packets.size() - list.size());
  const auto got = receive(net.b, now + std::chrono::milliseconds{1});
  std::vector<std::uint32_t> marks, expected;
  for (const auto& frame : got) marks.push_back(mark_of(frame));
  for (std::uint32_t i = 0; i < 32; ++i)
    if (std::find(list.begin(), list.end(), i) == list.end()) expected.push_back(i);
  CHECK(marks == expected);
}

TEST_CASE("who gets fewer packets than asked for has got all, also when some were lost",
          "[nic][lossy]") {
  LossyPair pair;
  static constexpr std::array<std::uint64_t, 2> list{3, 35};
  LossyFaults faults;
  faults.drop_list = list;
  pair.b.set_rx(faults);
  for (std::uint32_t i = 0; i < 40; ++i)
    REQUIRE(send(pair.a, pair.now, ethernet(mac_a, mac_b, 100, i)));
  pair.now += std::chrono::milliseconds{1};
  std::array<Packet, 32> packets;
  REQUIRE(pair.b.rx_burst(pair.now, packets) == 32);
  CHECK(mark_of(packets[2]) == 2);
  CHECK(mark_of(packets[3]) == 4);
  CHECK(mark_of(packets[31]) == 32);
  pair.b.release(packets);
  REQUIRE(pair.b.rx_burst(pair.now, packets) == 6);
  CHECK(mark_of(packets[5]) == 39);
  pair.b.release(std::span{packets}.first(6));
  CHECK(pair.b.rx_counters().dropped == list.size());
  pair.all_buffers_back();
}

TEST_CASE("repeated packets are equal copies", "[nic][lossy]") {
  LossyPair pair;
  LossyFaults faults;
  faults.duplicate_ppm = 500'000;
  pair.a.set_tx(faults);
  pair.b.set_rx(faults);
  const auto got = pair.run(4000);
  std::map<std::uint32_t, int> seen;
  for (const auto& frame : got) {
    REQUIRE(frame == ethernet(mac_a, mac_b, 100, mark_of(frame)));
    ++seen[mark_of(frame)];
  }
  CHECK(seen.size() == 4000);
  CHECK(share(got.size(), 4000) == Approx(2.25).margin(0.1));
  for (const auto& [mark, times] : seen) CHECK(times <= 4);
  pair.all_buffers_back();
}

TEST_CASE("a single-bit corruption changes one bit past the protected bytes", "[nic][lossy]") {
  LossyPair pair;
  LossyFaults faults;
  faults.corrupt_ppm = 1'000'000;
  faults.corruption = Corruption::single_bit;
  faults.corrupt_from_byte = 40;
  pair.a.set_tx(faults);
  const auto got = pair.run(100);
  REQUIRE(got.size() == 100);
  for (const auto& frame : got) {
    const auto sent = ethernet(mac_a, mac_b, 100, mark_of(frame));
    int bits = 0;
    for (std::size_t i = 0; i < frame.size(); ++i) {
      const int flipped = std::popcount(std::to_integer<unsigned>(frame[i] ^ sent[i]));
      if (i < 40) CHECK(flipped == 0);
      bits += flipped;
    }
    CHECK(bits == 1);
  }
}

TEST_CASE("a random corruption changes at most eight bytes", "[nic][lossy]") {
  LossyPair pair;
  LossyFaults faults;
  faults.corrupt_ppm = 1'000'000;
  faults.corrupt_from_byte = 18;  // keeps the mark
  pair.b.set_rx(faults);
  std::size_t changed = 0;
  for (const auto& frame : pair.run(200)) {
    const auto sent = ethernet(mac_a, mac_b, 100, mark_of(frame));
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < frame.size(); ++i) bytes += frame[i] != sent[i] ? 1 : 0;
    CHECK(bytes <= 8);
    changed += bytes > 0 ? 1 : 0;
  }
  CHECK(changed > 190);
}

TEST_CASE("reordering holds a share back without losing any", "[nic][lossy]") {
  const bool on_rx = GENERATE(false, true);
  LossyPair pair;
  LossyFaults faults;
  faults.reorder_ppm = 100'000;
  faults.reorder_delay_max = std::chrono::microseconds{64};
  if (on_rx)
    pair.b.set_rx(faults);
  else
    pair.a.set_tx(faults);
  const auto got = pair.run(5000);
  REQUIRE(got.size() == 5000);
  std::uint32_t newest = 0;
  std::size_t late = 0;
  for (const auto& frame : got) {
    late += mark_of(frame) < newest ? 1 : 0;
    newest = std::max(newest, mark_of(frame));
    CHECK(newest - mark_of(frame) <= 66);
  }
  CHECK(share(late, 5000) == Approx(0.1).margin(0.03));
  pair.all_buffers_back();
}

TEST_CASE("a constant delay keeps the order and next_event names its end", "[nic][lossy]") {
  LossyPair pair;
  LossyFaults faults;
  faults.delay = std::chrono::microseconds{500};
  pair.a.set_tx(faults);
  REQUIRE(send(pair.a, at_us(3), ethernet(mac_a, mac_b)));
  REQUIRE(send(pair.a, at_us(4), ethernet(mac_a, mac_b)));
  CHECK(pair.a.packets_held() == 2);
  CHECK(pair.a.next_event() == at_us(503));
  CHECK_FALSE(pair.a.arm_wait());
  CHECK(pair.net.network.next_event() == never);
  (void)receive(pair.a, at_us(502));
  CHECK(pair.net.network.next_event() == never);
  (void)receive(pair.a, at_us(504));
  CHECK(pair.a.arm_wait());
  CHECK(pair.a.next_event() == never);
  CHECK(receive(pair.b, at_us(600)).size() == 2);
}

TEST_CASE("packets held back return to the pool when the decorator goes", "[nic][lossy]") {
  Pair net;
  {
    Lossy<SimNic> first(net.a, 1);
    LossyFaults faults;
    faults.delay = std::chrono::seconds{1};
    first.set_tx(faults);
    for (int i = 0; i < 10; ++i) REQUIRE(send(first, start, ethernet(mac_a, mac_b)));
    Lossy<SimNic> moved(std::move(first));
    CHECK(moved.packets_held() == 10);
    CHECK(net.a.packets_held() == 10);
  }
  CHECK(net.a.packets_held() == 0);
  CHECK(net.network.buffers_made() == net.network.buffers_free());
}

TEST_CASE("an empty pool or a full hold loses copies, is counted, and never breaks",
          "[nic][lossy]") {
  SimPortOptions options;
  options.pool_packets = 1;
  Pair net(1, options);
  Lossy<SimNic> nic(net.a, 1);
  LossyFaults faults;
  faults.duplicate_ppm = 1'000'000;
  nic.set_tx(faults);
  REQUIRE(send(nic, start, ethernet(mac_a, mac_b)));
  CHECK(nic.tx_counters().not_held == 1);
  CHECK(receive(net.b, at_us(100)).size() == 1);

  Pair big;
  Lossy<SimNic> holder(big.a, 1);
  faults = {};
  faults.delay = std::chrono::seconds{1};
  holder.set_tx(faults);
  std::size_t taken = 0;
  while (taken < 5000 && send(holder, start, ethernet(mac_a, mac_b))) ++taken;
  CHECK(taken == 2048);
  CHECK(big.a.packets_held() == 2048);
}

TEST_CASE("a full inner ring still refuses the rest of a burst", "[nic][lossy]") {
  SimPortOptions options;
  options.descriptors = 4;
  Pair net(1, options);
  Lossy<SimNic> nic(net.a, 1);
  LossyFaults faults;
  faults.reorder_ppm = 1;  // faults are on, this packet is not hit
  nic.set_tx(faults);
  std::size_t taken = 0;
  while (taken < 100 && send(nic, start, ethernet(mac_a, mac_b))) ++taken;
  CHECK(taken == 5);  // four in the ring, one stuck
  (void)receive(nic, at_us(100));
  CHECK(nic.packets_held() == 0);
}

TEST_CASE("the same seed makes the same faults", "[nic][lossy]") {
  const auto run = [](std::uint64_t seed) {
    LossyPair pair(seed);
    LossyFaults faults;
    faults.drop_ppm = faults.duplicate_ppm = faults.corrupt_ppm = faults.reorder_ppm = 100'000;
    pair.a.set_tx(faults);
    pair.b.set_rx(faults);
    return pair.run(1000);
  };
  const auto first = run(5);
  CHECK(first == run(5));
  CHECK(first != run(6));
}
