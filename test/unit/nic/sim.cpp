// SimNic, SimPort and SimNetwork.
#include <set>

#include <catch2/catch.hpp>

#include <proa/nic/sim.hpp>

#include "frames.hpp"

using namespace proa;
using namespace proa::test;

TEST_CASE("a frame arrives unchanged after its wire time and two cable delays", "[nic][sim]") {
  Pair net;
  const auto frame = ethernet(mac_a, mac_b, 1226);  // with overhead 1250 B: 400 ns at 25 Gbit/s
  REQUIRE(send(net.a, at_us(5), frame));
  const Instant due = at_us(5) + Duration{2 * (10'000 + 400)};
  CHECK(receive(net.b, due - Duration{1}).empty());
  const auto got = receive(net.b, due);
  REQUIRE(got.size() == 1);
  CHECK(got[0] == frame);
  CHECK(net.network.next_event() == never);
}

TEST_CASE("next_event leads to each arrival and is never in between", "[nic][sim]") {
  Pair net;
  CHECK(net.network.next_event() == never);
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_b)));
  REQUIRE(send(net.b, start, ethernet(mac_b, mac_a)));
  const Instant first = net.network.advance_to_arrival(never);
  CHECK(first > at_us(20));
  CHECK(first < at_us(21));
  CHECK(net.port_a.backlog(0) + net.port_b.backlog(0) == 2);
  CHECK(net.network.advance_to_arrival(at_us(50)) == at_us(50));
}

TEST_CASE("frames of one link stay in order and are spaced by the link's rate", "[nic][sim]") {
  Pair net;
  for (std::uint32_t i = 0; i < 100; ++i)
    REQUIRE(send(net.a, start, ethernet(mac_a, mac_b, 1514, i)));
  Instant last = start;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const Instant now = net.network.advance_to_arrival(never);
    const auto got = receive(net.b, now);
    REQUIRE(got.size() == 1);
    CHECK(mark_of(got[0]) == i);
    if (i > 0) CHECK(now - last == Duration{492});  // (1514 + 24) * 8 / 25 ns, rounded down
    last = now;
  }
}

TEST_CASE("a full receive ring is counted as missed, a full transmit ring refuses the rest",
          "[nic][sim]") {
  Pair net;
  std::uint32_t sent = 0;
  while (send(net.a, start, ethernet(mac_a, mac_b))) ++sent;
  CHECK(sent == 256);  // one ring of descriptors: nothing has left at the same instant
  net.network.advance(at_us(1000));
  while (sent < 300 && send(net.a, at_us(1000), ethernet(mac_a, mac_b))) ++sent;
  net.network.advance(at_us(2000));
  CHECK(receive(net.b, at_us(2000)).size() == 256);
  CHECK(net.b.counters().rx_missed == 44);
  CHECK(net.b.counters().rx_packets == 256);
  CHECK(net.a.counters().tx_packets == 300);
}

TEST_CASE("a burst takes a prefix and leaves the rest with the caller", "[nic][sim]") {
  SimPortOptions options;
  options.descriptors = 8;
  Pair net(1, options);
  std::array<Packet, 12> packets;
  REQUIRE(net.a.allocate(packets) == 12);
  for (auto& packet : packets) {
    const auto frame = ethernet(mac_a, mac_b);
    std::copy(frame.begin(), frame.end(), packet.storage().begin());
    packet.set_length(64);
  }
  REQUIRE(net.a.tx_burst(start, packets) == 8);
  CHECK_FALSE(packets[7]);
  CHECK(packets[8]);
  CHECK(net.a.packets_held() == 4);
  net.a.release(std::span{packets}.subspan(8));
  CHECK(net.a.packets_held() == 0);
}

TEST_CASE("an exhausted pool gives no buffers, keeps received frames and is counted",
          "[nic][sim]") {
  SimPortOptions options;
  options.pool_packets = 4;
  Pair net(1, options);
  std::array<Packet, 8> held;
  REQUIRE(net.b.allocate(held) == 4);
  for (int i = 0; i < 3; ++i) REQUIRE(send(net.a, start, ethernet(mac_a, mac_b)));
  CHECK(receive(net.b, at_us(100)).empty());
  CHECK(net.b.counters().rx_no_buffer == 1);
  net.b.release(held);
  CHECK(receive(net.b, at_us(100)).size() == 3);
}

TEST_CASE("the switch floods until it has learned, then sends to one port", "[nic][sim]") {
  SimNetwork network(1);
  SimPortOptions options;
  options.promiscuous = true;
  SimPort port_a(network, Pair::with(options, mac_a)), port_b(network, Pair::with(options, mac_b)),
      port_c(network, Pair::with(options, mac_c));
  SimNic a = port_a.nic(), b = port_b.nic(), c = port_c.nic();
  REQUIRE(send(a, start, ethernet(mac_a, mac_b)));
  CHECK(receive(b, at_us(100)).size() == 1);
  CHECK(receive(c, at_us(100)).size() == 1);
  REQUIRE(send(b, at_us(100), ethernet(mac_b, mac_a)));
  CHECK(receive(a, at_us(200)).size() == 1);
  CHECK(receive(c, at_us(200)).empty());
  REQUIRE(send(c, at_us(200), ethernet(mac_c, mac_broadcast)));
  CHECK(receive(a, at_us(300)).size() == 1);
  CHECK(receive(b, at_us(300)).size() == 1);
  CHECK(receive(c, at_us(300)).empty());
  CHECK(network.buffers_made() == network.buffers_free());
}

TEST_CASE("a NIC that is not promiscuous ignores frames for others", "[nic][sim]") {
  Pair net;
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_c)));
  CHECK(receive(net.b, at_us(100)).empty());
  CHECK(net.network.buffers_made() == net.network.buffers_free());
}

TEST_CASE("a fixed fabric drops what is addressed to nobody", "[nic][sim]") {
  SimNetwork network(1, SimSwitching::fixed);
  SimPort port_a(network, Pair::with({}, mac_a)), port_b(network, Pair::with({}, mac_b));
  SimNic a = port_a.nic(), b = port_b.nic();
  REQUIRE(send(a, start, ethernet(mac_a, mac_c)));
  REQUIRE(send(a, start, ethernet(mac_a, mac_b)));
  CHECK(receive(b, at_us(100)).size() == 1);
  CHECK(network.counters().unknown_mac == 1);
}

TEST_CASE("a link's queue overflows into a counted drop", "[nic][sim]") {
  SimNetwork network(1, SimSwitching::fixed);
  SimPortOptions slow;
  slow.link.bits_per_second = 1'000'000'000;
  slow.link.queue_limit = kib(16);
  SimPort port_a(network, Pair::with({}, mac_a)), port_b(network, Pair::with(slow, mac_b));
  SimNic a = port_a.nic(), b = port_b.nic();
  for (int i = 0; i < 100; ++i) REQUIRE(send(a, start, ethernet(mac_a, mac_b, 1514)));
  const auto got = receive(b, at_us(10'000));
  CHECK(got.size() + network.counters().queue_drops == 100);
  CHECK(network.counters().queue_drops > 70);
  CHECK(network.counters().queue_drops < 95);
}

TEST_CASE("oversized frames and frames into a dead link are counted", "[nic][sim]") {
  SimPortOptions small;
  small.frame_bytes_max = 600;
  Pair net(1, small);
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_b, 601)));
  CHECK(net.a.counters().tx_errors == 1);
  REQUIRE(send(net.a, start, ethernet(mac_a, mac_b, 600)));
  net.port_b.set_link_up(false);
  CHECK_FALSE(net.b.link_up());
  net.port_b.set_link_up(false);
  CHECK(net.b.counters().link_downs == 1);  // times, not calls
  CHECK(receive(net.b, at_us(100)).empty());
  CHECK(net.network.counters().port_gone == 1);
  REQUIRE(send(net.b, at_us(100), ethernet(mac_b, mac_a)));
  CHECK(net.b.counters().tx_errors == 1);
  net.port_b.set_link_up(true);
  REQUIRE(send(net.a, at_us(100), ethernet(mac_a, mac_b)));
  CHECK(receive(net.b, at_us(200)).size() == 1);
  CHECK(net.network.buffers_made() == net.network.buffers_free());
}

TEST_CASE("frames for a destroyed port vanish and its buffers come back", "[nic][sim]") {
  SimNetwork network(1);
  SimPort port_a(network, Pair::with({}, mac_a));
  SimNic a = port_a.nic();
  {
    SimPort port_b(network, Pair::with({}, mac_b));
    for (int i = 0; i < 5; ++i) REQUIRE(send(a, start, ethernet(mac_a, mac_b)));
    network.advance(at_us(100));
    for (int i = 0; i < 5; ++i) REQUIRE(send(a, at_us(100), ethernet(mac_a, mac_b)));
    CHECK(port_b.backlog(0) == 5);
  }
  network.advance(at_us(200));
  CHECK(network.buffers_made() == network.buffers_free());
}

TEST_CASE("a frame that asks for a checksum is refused, counted, and its buffer comes back",
          "[nic][sim]") {
  for (const PacketFlag asks : {PacketFlag::tx_udp_checksum, PacketFlag::tx_ip_checksum}) {
    Pair net;
    std::array<Packet, 2> packets;
    REQUIRE(net.a.allocate(packets) == 2);
    for (Packet& packet : packets) {
      const auto frame = udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, 50001, 50002);
      std::copy(frame.begin(), frame.end(), packet.storage().begin());
      packet.set_length(static_cast<std::uint32_t>(frame.size()));
    }
    packets[0].set(asks);
    REQUIRE(net.a.tx_burst(start, packets) == 2);  // the burst goes on behind it
    CHECK(receive(net.b, at_us(100)).size() == 1);
    CHECK(net.a.counters().tx_errors == 1);
    CHECK(net.a.counters().tx_packets == 1);
    CHECK(net.a.packets_held() == 0);
    CHECK(net.network.buffers_made() == net.network.buffers_free());
  }
}

TEST_CASE("what every simulated test runs on is the least that a cloud's NIC gives", "[nic][sim]") {
  SimPortOptions ordinary;
  ordinary.mac = mac_a;
  ordinary.queues = 4;
  CHECK(SimPort::least(mac_a, 4) == ordinary);
  SimNetwork network(1);
  SimPort port(network, SimPort::least(mac_a, 4));
  CHECK(port.queue_count() == 4);
  CHECK(port.options().rss == SimRss::opaque);
  for (std::uint32_t queue = 0; queue < 4; ++queue) {
    const NicCapabilities offers = port.nic(queue).capabilities();
    CHECK(offers.queue == queue);
    CHECK(offers.queue_descriptors == 256);
    CHECK(offers.rx_backlog_packets == 256);
    CHECK_FALSE((offers.tx_ip_checksum || offers.tx_udp_checksum || offers.rx_checksum));
  }
}

static std::set<std::uint32_t> queues_hit(const SimPort& port, bool vary_low_bits) {
  std::set<std::uint32_t> out;
  for (std::uint16_t i = 0; i < 200; ++i) {
    const auto p = static_cast<std::uint16_t>(49152 + (vary_low_bits ? i : i * 8));
    out.insert(port.queue_of(udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, p, 50000)));
  }
  return out;
}

TEST_CASE("hashes spread, are stable, and differ by kind", "[nic][sim]") {
  SimNetwork network(7);
  SimPortOptions options;
  options.queues = 4;
  SimPort port(network, Pair::with(options, mac_b));
  CHECK(queues_hit(port, true).size() == 4);
  const auto forth = udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, 50001, 50002);
  CHECK(port.queue_of(forth) == port.queue_of(forth));
  port.set_rss(SimRss::low_bits);
  CHECK(queues_hit(port, true).size() == 4);
  CHECK(queues_hit(port, false).size() == 1);
  port.set_rss(SimRss::constant);
  CHECK(queues_hit(port, true).size() == 1);
  port.set_rss(SimRss::symmetric);
  const auto back = udp4(mac_b, mac_a, 0x0a000002, 0x0a000001, 50002, 50001);
  CHECK(port.queue_of(forth) == port.queue_of(back));
  CHECK(queues_hit(port, true).size() == 4);
}

TEST_CASE("a new hash moves pairs, and every port has its own secret", "[nic][sim]") {
  SimNetwork network(7);
  SimPortOptions options;
  options.queues = 16;
  SimPort one(network, Pair::with(options, mac_b)), two(network, Pair::with(options, mac_c));
  int moved = 0, differ = 0;
  for (std::uint16_t p = 50000; p < 50100; ++p) {
    const auto frame = udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, p, 50000);
    const auto before = one.queue_of(frame);
    differ += two.queue_of(frame) != before ? 1 : 0;
    const auto secret_kept = one.queue_of(frame);
    CHECK(secret_kept == before);
    if (p == 50099) {
      one.set_rss(SimRss::opaque);
      for (std::uint16_t r = 50000; r < 50100; ++r) {
        const auto again = udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, r, 50000);
        moved += one.queue_of(again) != two.queue_of(again) ? 1 : 0;
      }
    }
  }
  CHECK(differ > 50);
  CHECK(moved > 50);
}

TEST_CASE("received frames reach the queue pair that the hash names", "[nic][sim]") {
  SimNetwork network(3);
  SimPortOptions options;
  options.queues = 4;
  SimPort port_a(network, Pair::with(options, mac_a)), port_b(network, Pair::with(options, mac_b));
  SimNic a = port_a.nic(2);
  for (std::uint16_t p = 50000; p < 50040; ++p) {
    const auto frame = udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, p, 50000);
    REQUIRE(send(a, start, frame));
    SimNic b = port_b.nic(port_b.queue_of(frame));
    CHECK(receive(b, at_us((p - 49999) * 100)).size() == 1);
  }
}

TEST_CASE("the same seed gives the same trace, another seed another one", "[nic][sim]") {
  const auto run = [](std::uint64_t seed) {
    Pair net(seed);
    Prng prng(seed);
    for (int i = 0; i < 50; ++i) {
      const auto length = 64 + static_cast<std::size_t>(prng.below(1400));
      (void)send(net.a, at_us(i), ethernet(mac_a, mac_b, length));
      (void)receive(net.b, at_us(i));
    }
    net.network.advance(never);
    return net.network.trace();
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}
