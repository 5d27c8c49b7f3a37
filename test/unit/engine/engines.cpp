// engine: several engines on one port: hand-over, listeners, paths.
#include <catch2/catch.hpp>

#include <set>

#include "../../sim/path_world.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

PathHostOptions with(std::uint32_t engines, SimRss rss = SimRss::opaque, bool ipv6 = false) {
  return {.engines = engines, .rss = rss, .handover_slots = 256, .link_delay = 10us, .ipv6 = ipv6};
}

/// The server's end of the client's flow; null: there is none, or several.
PathEnd* server_of(PathWorld& world, std::uint16_t client_port) {
  PathEnd* found = nullptr;
  for (const auto& side : world.b.sides)
    for (const auto& end : side->ends())
      if (end->peer.port == client_port) {
        if (found != nullptr) return nullptr;
        found = end.get();
      }
  return found;
}

std::size_t pairs_used(const PathHost& host, std::uint32_t engine) {
  std::set<std::uint32_t> used;
  for (const auto& end : host.sides[engine]->ends()) {
    const UdpPorts ports = host.engines[engine]->path_of(end->key).value();
    used.insert(ports.source * 65536U + ports.destination);
  }
  return used.size();
}

std::uint64_t handed_over_during(PathWorld& world, Duration how_long) {
  const auto all = [&] { return world.a.counters().handed_over + world.b.counters().handed_over; };
  const auto before = all();
  world.run(how_long);
  return all() - before;
}

/// A router's word that a packet of that flow, which it quotes, was too big (RFC 792, RFC 1191).
void say_too_big(PathWorld& world, PathEnd& flow, std::uint32_t owner) {
  PathHost::EngineT& engine = *world.a.engines[owner];
  std::uint32_t id = 0;
  engine.for_each_flow([&](FlowKey key, AppCookie, const auto& one) {
    if (key == flow.key) id = one.identity().local_id;
  });
  const UdpPorts ports = *engine.path_of(flow.key);
  std::array<std::byte, ipv4_header_bytes + udp_header_bytes + PacketHeader::size> quoted{};
  const auto ip = std::span{quoted}.first<ipv4_header_bytes>();
  write_ipv4(ip, {world.a.address, world.b.address, IpProtocol::udp, Ecn::not_capable, 1480});
  store_be(quoted.data() + ipv4_header_bytes, ports.source);
  store_be(quoted.data() + ipv4_header_bytes + 2, ports.destination);
  store_be(quoted.data() + ipv4_header_bytes + 4, std::uint16_t{1480});
  store_be(quoted.data() + ipv4_header_bytes + udp_header_bytes + 8, id);

  constexpr MacAddress router{{2, 0, 0, 0, 3, 1}};
  SimPort port{world.network, {.mac = router}};
  SimNic nic = port.nic();
  Packet out[1];
  REQUIRE(nic.allocate(out) == 1);
  constexpr std::size_t icmp_bytes = icmp_header_bytes + quoted.size();
  out[0].set_length(ethernet_header_bytes + ipv4_header_bytes + icmp_bytes);
  const auto bytes = out[0].bytes();
  write_ethernet(bytes.first<ethernet_header_bytes>(), world.a.port.options().mac, router,
                 EtherType::ipv4);
  write_ipv4(bytes.subspan<ethernet_header_bytes, ipv4_header_bytes>(),
             {IpAddress::v4(10, 0, 0, 254), world.a.address, IpProtocol::icmp, Ecn::not_capable,
              icmp_bytes});
  const auto icmp = bytes.subspan(ethernet_header_bytes + ipv4_header_bytes);
  std::fill(icmp.begin(), icmp.begin() + icmp_header_bytes, std::byte{0});
  icmp[0] = std::byte{3};
  icmp[1] = std::byte{4};
  store_be(icmp.data() + 6, std::uint16_t{1280});
  std::copy(quoted.begin(), quoted.end(), icmp.begin() + icmp_header_bytes);
  store_be(icmp.data() + 2, internet_checksum(icmp));
  static_cast<void>(nic.rx_burst(world.now, {}));
  static_cast<void>(nic.tx_burst(world.now, out));
  world.run(1ms);  // before the port leaves the network
}

/// Where an engine of host a sends what is for host b.
MacAddress next_hop(PathWorld& world, std::uint32_t engine) {
  Interface& interface = world.a.engines[engine]->interface();
  HeaderTemplate headers = interface.make_headers({world.a.address, world.b.address, {1, 1}});
  if (interface.refresh(headers, world.now) != Reach::ready) return {};
  std::vector<std::byte> frame(headers.size());
  headers.finish(frame, UdpChecksumBy::zero);
  return load_mac(ByteView{frame}.first<6>());
}

/// A station tells everybody, unasked, that it has the address.
void announce(PathWorld& world, const IpAddress& address, const MacAddress& mac) {
  InterfaceOptions options;
  options.mac = mac;
  options.addresses = {{address, static_cast<std::uint8_t>(address.is_v4() ? 24 : 64)}};
  options.detect_duplicates = false;
  Interface station{InterfacePlan::make(options).value()};
  SimPort port{world.network, {.mac = mac}};
  SimNic nic = port.nic();
  static_cast<void>(nic.rx_burst(world.now, {}));
  for (Packet out[1]; nic.allocate(out) == 1; static_cast<void>(nic.tx_burst(world.now, out))) {
    const std::size_t bytes = station.poll_control(world.now, out[0].storage());
    if (bytes == 0) return nic.release(out), world.run(1ms);
    out[0].set_length(static_cast<std::uint32_t>(bytes));
  }
}

}  // namespace

TEST_CASE("A router's word that packets are too big reaches the engine whose flow it is about") {
  PathWorld world{3, with(4, SimRss::constant), with(4)};
  world.listen(world.b, 1);
  for (std::uint32_t owner = 0; owner < 4; ++owner) {
    CAPTURE(owner);
    PathEnd& flow = world.connect(owner);
    flow.to_send = 200;
    world.run(100ms);
    REQUIRE(flow.sent == 200);
    const auto info = [&] { return *world.a.engines[owner]->info(flow.key); };
    REQUIRE(info().packet_bytes > 1232);
    const auto before = info().packets_sent;
    say_too_big(world, flow, owner);
    CHECK(info().packets_sent == before + 1);  // the small one that looks for itself
  }
  CHECK(world.a.counters().drops[Drop::icmp_ignored] == 0);
}

// TARGETS 13: without loss or cookie.
TEST_CASE("A flow connects in one round trip whatever the hash of either NIC") {
  const bool ipv6 = GENERATE(false, true);
  for (const std::uint32_t engines : {1U, 2U, 3U, 4U, 8U, 16U})
    for (const SimRss rss : every_hash) {
      CAPTURE(ipv6, engines, static_cast<int>(rss));
      const PathHostOptions options = with(engines, rss, ipv6);
      PathWorld world{7 * engines, options, options};
      world.listen(world.b, engines - 1);
      world.run(1ms);
      for (std::uint32_t from = 0; from < engines; from += 3) {
        (void)world.connect(from);  // finds the neighbour
        world.run(20ms);
        PathEnd& flow = world.connect(from);
        const Instant began = world.now;
        REQUIRE(world.run_until([&] { return flow.open; }, world.now + 1s));
        CHECK(world.now - began < 45us);  // four cables of 10 us
      }
      CHECK(world.a.counters().drops.total() + world.b.counters().drops.total() == 0);
      for (const auto& engine : world.b.engines) CHECK(engine->counters().answers_retry == 0);
    }
}

TEST_CASE("After probing a flow's packets arrive at its own engines: none is handed over") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    PathHostOptions options = with(4);
    options.ipv6 = seed % 2 == 0;
    PathWorld world{seed, options, options};
    world.listen(world.b, 3);
    for (auto& side : world.b.sides) side->echo = true;
    PathEnd& flow = world.connect(2);
    flow.to_send = 1000;
    REQUIRE(world.run_until([&] { return flow.received == 1000; }, world.now + 1s));
    world.run(20ms);
    flow.to_send = 100;
    CHECK(handed_over_during(world, 20ms) == 0);
    CHECK(flow.received == 1100);
    CHECK(world.a.counters().paths.searches_in_vain == 0);
  }
}

TEST_CASE("A second flow between two engines takes a remembered path and probes nothing") {
  const bool ipv6 = GENERATE(false, true);
  for (const std::uint32_t engines : {2U, 3U, 4U, 8U, 16U})
    for (const SimRss rss : every_hash) {
      if (!hash_reaches(rss, engines)) continue;
      CAPTURE(ipv6, engines, static_cast<int>(rss));
      const PathHostOptions options = with(engines, rss, ipv6);
      PathWorld world{11 * engines, options, options};
      world.listen(world.b, engines / 2);
      for (auto& side : world.b.sides) side->echo = true;
      const auto probes = [&] {
        return world.a.counters().paths.probes_sent + world.b.counters().paths.probes_sent;
      };
      PathEnd& first = world.connect(engines - 1);
      first.to_send = 100;
      world.run(100ms);
      REQUIRE(first.received == 100);
      const auto before = probes();
      if (engines == 16) CHECK(before > 0);
      for (int i = 0; i < 20; ++i) {
        PathEnd& next = world.connect(engines - 1);
        next.to_send = 50;
        world.run(5ms);
        CHECK(next.received == 50);
      }
      CHECK(probes() == before);
      CHECK(handed_over_during(world, 5ms) == 0);
    }
}

// Clouds limit one 5-tuple.
TEST_CASE("Flows between two engines spread over several pairs in both directions") {
  for (const std::uint32_t engines : {1U, 8U}) {
    CAPTURE(engines);
    PathWorld world{11, with(engines), with(8)};
    world.listen(world.b, 5);
    for (auto& side : world.b.sides) side->echo = true;
    const std::uint32_t client = engines - 1;
    PathEnd& first = world.connect(client);
    first.to_send = 100;
    world.run(100ms);
    const auto probes = [&] {
      return world.a.counters().paths.probes_sent + world.b.counters().paths.probes_sent;
    };
    const auto before = probes();
    for (int i = 0; i < 60; ++i) {
      PathEnd& next = world.connect(client);
      next.to_send = 50;
      world.run(5ms);
      CHECK(next.received == 50);
    }
    CHECK(probes() == before);
    CHECK(pairs_used(world.a, client) >= 4);
    CHECK(pairs_used(world.b, 5) >= 4);
  }
}

TEST_CASE("With a constant hash everything works by hand-over, and the search rests") {
  PathWorld world{5, with(4, SimRss::constant), with(4, SimRss::constant)};
  world.listen(world.b, 2);
  for (auto& side : world.b.sides) side->echo = true;
  PathEnd& flow = world.connect(3);
  for (int i = 0; i < 900; ++i) {
    ++flow.to_send;
    world.run(1ms);
  }
  CHECK(flow.received == 900);
  const EngineCounters b = world.b.counters();
  CHECK(world.a.counters().paths.searches_in_vain == 1);
  CHECK(world.a.counters().paths.probes_sent == 64);  // 16 N, then a rest of a second
  CHECK(b.handed_over > 900);
}

TEST_CASE("Flows spread over the engines that listen on a port, and only over those") {
  PathWorld world{3, with(1), with(4)};
  for (const std::uint32_t engine : {0U, 1U, 3U}) world.listen(world.b, engine, 7000, true);
  CHECK_FALSE(world.b.engines[2]->listen(0, 7000));  // not shared
  for (int i = 0; i < 300; ++i) {
    (void)world.connect(0);
    world.run(50us);
  }
  world.run(50ms);
  CHECK(world.b.sides[2]->ends().empty());
  for (const std::uint32_t engine : {0U, 1U, 3U}) CHECK(world.b.sides[engine]->ends().size() > 60);
  CHECK(world.b.engines[0]->unlisten(0, 7000));
  CHECK_FALSE(world.b.engines[0]->unlisten(0, 7000));
  const auto before = world.b.sides[0]->ends().size();
  for (int i = 0; i < 30; ++i) (void)world.connect(0);
  world.run(50ms);
  CHECK(world.b.sides[0]->ends().size() == before);
}

TEST_CASE("Two applications of one host talk across its engines") {
  PathWorld world{9, with(4), with(1)};
  world.listen(world.a, 3);
  world.a.sides[3]->echo = true;
  PathEnd& end = world.a.sides[0]->add();
  const auto key = world.a.engines[0]->connect(world.now, {0, 0}, {world.a.address, 7000}, never);
  REQUIRE(key);
  end.key = *key;
  end.to_send = 500;
  end.bytes = 3000;
  REQUIRE(world.run_until([&] { return end.received == 500; }, world.now + 1s));
  CHECK(world.b.counters().rx_packets <= 1);
  // Nothing went astray: that is what these count.
  CHECK(world.a.counters().handed_over == 0);
  CHECK(world.a.counters().handed_to_us == 0);
}

TEST_CASE("A datagram longer than a hand-over queue takes is not counted as the queue being full") {
  PathHostOptions tight = with(4, SimRss::constant);
  tight.handover_bytes_max = 64;
  PathWorld world{4, with(1), tight};
  world.listen(world.b, 3);
  (void)world.connect(0);
  world.run(10ms);
  CHECK(world.b.counters().drops[Drop::handover_too_long] > 0);
  CHECK(world.b.counters().drops[Drop::handover_full] == 0);
}

TEST_CASE("A full hand-over queue drops, counts and loses no message") {
  PathHostOptions tight = with(4, SimRss::constant);
  tight.handover_slots = 2;
  PathWorld world{4, with(1), tight};
  world.grain = 5us;
  world.listen(world.b, 3);
  PathEnd& flow = world.connect(0);
  flow.bytes = 8000;
  flow.to_send = 500;
  world.run(10ms);
  REQUIRE(world.run_until(
      [&] {
        PathEnd* server = server_of(world, world.a.engines[0]->info(flow.key)->local.port);
        return server != nullptr && server->received == 500;
      },
      world.now + 10s));
  CHECK(world.b.counters().drops[Drop::handover_full] > 0);
}

TEST_CASE("What one engine learns of a neighbour the others know") {
  PathWorld world{6, with(4), with(1)};
  world.listen(world.b, 0);
  // ARP reaches queue 0 only; engine 3 asked.
  PathEnd& flow = world.connect(3);
  CHECK(world.run_until([&] { return flow.open; }, world.now + 1s));
}

TEST_CASE("A station that says it has a peer's address now is believed by every engine",
          "[rfc5227-2.3][rfc4861-7.2.6]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    PathHostOptions options = with(4);
    options.ipv6 = ipv6;
    PathWorld world{6, options, options};
    world.listen(world.b, 0);
    for (std::uint32_t engine = 0; engine < 3; ++engine) (void)world.connect(engine);
    world.run(20ms);
    for (std::uint32_t engine = 0; engine < 3; ++engine)
      REQUIRE(next_hop(world, engine) == world.b.port.options().mac);
    world.b.port.set_link_up(false);  // else it defends its address
    const MacAddress moved{{2, 0, 0, 0, 3, 1}};
    announce(world, world.b.address, moved);
    for (std::uint32_t engine = 0; engine < 3; ++engine) CHECK(next_hop(world, engine) == moved);
    CHECK(world.a.engines[3]->interface().neighbour_count() == 0);  // it never asked
  }
}

TEST_CASE("A flow repairs its path when the NIC's hash changes under it") {
  PathWorld world{8, with(4), with(4)};
  world.listen(world.b, 1);
  for (auto& side : world.b.sides) side->echo = true;
  PathEnd& flow = world.connect(2);
  for (int change = 0; change < 10; ++change) {
    world.b.port.set_rss(SimRss::opaque);
    world.a.port.set_rss(SimRss::opaque);
    for (int i = 0; i < 200; ++i) {
      ++flow.to_send;
      world.run(100us);
    }
    flow.to_send = 100;
    CHECK(handed_over_during(world, 5ms) == 0);
  }
  CHECK(flow.received == flow.sent);
}
