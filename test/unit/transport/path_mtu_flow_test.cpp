// Path MTU discovery: flows that search, and that notice when their path has become smaller.
#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>
#include <proa/transport/path_sizes.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {

/// Counts packets above the base size; `carries` is what the wire lets through.
struct Path {
  std::size_t carries = 65'535;
  int vanished = 0;
  std::size_t largest = 0;

  void guard(FlowPair<>& pair) {
    pair.lose = [this](int, const std::vector<std::byte>& packet) {
      if (packet.size() > carries) {
        ++vanished;
        return true;
      }
      largest = std::max(largest, packet.size());
      return false;
    };
  }
};

}  // namespace

TEST_CASE(
    "A flow of small messages sends no size probe, one of large ones reaches full size in a "
    "few round trips") {
  FlowPair<> pair;
  pair.options.packet_bytes_max = 8972;
  Path path;
  path.guard(pair);
  pair.connect();
  pair.run_for(1ms);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(pair.send(0, std::string(1000, 'x')));
    pair.run_for(50us);
  }
  CHECK(path.largest < 1300);
  REQUIRE(pair.send(0, std::string(200'000, 'y')));
  pair.run_for(140us);  // 3.5 round trips
  CHECK(pair.side[0].flow->info().packet_bytes == 8972);
  CHECK(pair.side[1].flow->info().packet_bytes == 1232);  // each direction by itself
  CHECK(pair.side[0].flow->info().packets_lost == 0);
}

TEST_CASE("A lost size probe leaves the congestion window alone", "[rfc8899-3]") {
  FlowPair<> pair;
  pair.options.packet_bytes_max = 8972;
  pair.options.congestion = CongestionKind::cubic;  // sensitive to every loss
  Path path;
  path.carries = 1472;
  path.guard(pair);
  pair.connect();
  pair.run_for(1ms);
  std::uint32_t window = pair.side[0].flow->info().window_bytes;
  for (int i = 0; i < 40; ++i) {
    REQUIRE(pair.send(0, std::string(60'000, 'y')));
    pair.run_for(400us);
    CHECK(pair.side[0].flow->info().window_bytes >= window);
    window = pair.side[0].flow->info().window_bytes;
  }
  CHECK(path.vanished >= 3);
  CHECK(pair.side[0].flow->info().packet_bytes == 1472);
  CHECK(pair.side[0].flow->info().packets_lost == 0);
  CHECK(pair.side[0].flow->info().resent_bytes == 0);
}

TEST_CASE("Packets of the present size that vanish while small ones arrive make the flow smaller",
          "[rfc8899-4.3]") {
  FlowPair<> pair;
  PathSizes sizes;
  pair.options.packet_bytes_max = 8972;
  pair.options.path_sizes = &sizes;
  Path path;
  path.guard(pair);
  pair.connect();
  REQUIRE(pair.send(0, std::string(300'000, 'y')));
  pair.run_for(2ms);
  CHECK(pair.side[0].flow->info().packet_bytes == 8972);
  CHECK(sizes.find(IpAddress::v4(10, 0, 0, 2), pair.now) == 8972);
  path.carries = 1232;
  for (int i = 0; i < 20; ++i) REQUIRE(pair.send(0, std::string(30'000, 'z')));
  pair.run_for(1ms);
  CHECK(pair.side[0].flow->info().packet_bytes == 1232);
  CHECK(sizes.find(IpAddress::v4(10, 0, 0, 2), pair.now) == 1232);
  pair.run_for(20ms);
  CHECK(pair.side[1].messages.size() == 21);
}

namespace {

/// Has found a path of 8972 bytes, which lets only 1232 through from now on.
struct Shrunk {
  Shrunk() {
    pair.options.packet_bytes_max = 8972;
    path.guard(pair);
    pair.connect();
    REQUIRE(pair.send(0, std::string(300'000, 'y')));
    pair.run_for(2ms);
    REQUIRE(info().packet_bytes == 8972);
    path.carries = 1232;
  }
  [[nodiscard]] FlowInfo info() { return pair.side[0].flow->info(); }
  FlowPair<> pair;
  Path path;
};

}  // namespace

TEST_CASE("Packets of the present size that vanish are counted also if each message is only one",
          "[rfc8899-4.3]") {
  Shrunk world;
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE(world.pair.send(0, std::string(2'000, 'z')));
    world.pair.run_for(20ms);
    CHECK(world.pair.side[1].messages.size() == 2 + i);
  }
  CHECK(world.info().packet_bytes == 1232);
  CHECK(world.path.vanished <= 4);
}

TEST_CASE("What was lost twice at full size is sent again in small packets", "[rfc8899-4.3]") {
  Shrunk world;
  const auto probes = world.info().probes;
  REQUIRE(world.pair.send(0, std::string(8'000, 'z')));
  world.pair.run_for(20ms);
  CHECK(world.pair.side[1].messages.size() == 2);
  CHECK(world.info().probes == probes + 2);
}

TEST_CASE("Packets that still pass do not hide that larger ones vanish", "[rfc8899-4.3]") {
  Shrunk world;
  world.path.carries = 1472;
  const auto send = [&] {
    const std::size_t before = world.pair.side[1].messages.size();
    REQUIRE(world.pair.send(0, std::string(10'300, 'z')));  // 8972 bytes and some 1400
    world.pair.run_for(20ms);
    CHECK(world.pair.side[1].messages.size() == before + 1);
  };
  for (int i = 0; i < 3; ++i) send();
  CHECK(world.info().packet_bytes <= 1472);
  for (int i = 0; i < 10; ++i) send();  // the search ends
  CHECK(world.info().packet_bytes == 1472);
  const auto lost = world.info().packets_lost;
  const auto probes = world.info().probes;
  for (int i = 0; i < 10; ++i) send();
  CHECK(world.info().packets_lost == lost);
  CHECK(world.info().probes == probes);
}

TEST_CASE("Smaller packets all around hide no large one that vanishes", "[rfc8899-4.3]") {
  Shrunk world;
  world.path.carries = 1472;
  REQUIRE(world.pair.send(0, std::string(8'000, 'z')));
  for (int n = 0; n < 20; ++n) {
    REQUIRE(world.pair.send(0, std::string(1'350, 'z')));
    world.pair.run_for(30us);
  }
  CHECK(world.path.vanished == 2);  // then it is sent again in small packets
  CHECK(world.pair.side[1].messages.size() >= 20);
  REQUIRE(world.pair.send(0, std::string(8'000, 'z')));
  world.pair.run_for(20ms);
  CHECK(world.info().packet_bytes == 1232);
}

TEST_CASE("On a path that has been found out what is lost is sent again at full size") {
  const std::size_t carries = GENERATE(1472U, 8952U);
  const std::size_t in_flight = GENERATE(17'972U, 30'000U, 44'888U, 80'000U);  // when it shrinks
  CAPTURE(carries, in_flight);
  Shrunk world;
  world.path.carries = carries;
  REQUIRE(world.pair.send(0, std::string(in_flight, 'z')));
  world.pair.run_for(5ms);
  for (int i = 0; i < 30; ++i) {
    REQUIRE(world.pair.send(0, std::string(100'000, 'z')));
    world.pair.run_for(20ms);
  }
  REQUIRE(world.info().packet_bytes == carries);
  std::vector<std::size_t> sizes;  // of packets with data
  world.pair.lose = [&](int, const std::vector<std::byte>& packet) {
    if (packet.size() > 500) sizes.push_back(packet.size());
    return sizes.size() == 2 && packet.size() > 500;
  };
  const auto resent = world.info().resent_bytes;
  REQUIRE(world.pair.send(0, std::string(20 * (carries - 72), 'z')));
  world.pair.run_for(20ms);
  CHECK(world.info().resent_bytes > resent);
  CHECK(std::count_if(sizes.begin(), sizes.end(), [&](auto n) { return n < carries; }) <= 1);
}

TEST_CASE("Losses among packets of all sizes make a flow smaller for a moment only") {
  Shrunk world;
  Prng prng{7};
  world.pair.lose = [&](int, const auto&) { return prng.chance(5, 100); };
  int falls = 0, small = 0;
  std::uint32_t before = world.info().packet_bytes;
  for (int i = 0; i < 40'000; ++i) {
    const bool large = prng.chance(1, 20);
    (void)world.pair.send(0, std::string(large ? 8'900 : 200 + prng.below(1'200), 'z'));
    world.pair.run_for(30us);
    const std::uint32_t bytes = world.info().packet_bytes;
    if (bytes < before) ++falls;
    if (bytes < 8972) ++small;
    before = bytes;
  }
  CHECK(falls != 0);
  CAPTURE(falls, small);
  CHECK(small <= 400);
}

TEST_CASE("Two of three large packets that vanish are no black hole", "[rfc8899-4.3]") {
  Shrunk world;
  int large = 0;
  world.pair.lose = [&](int, const auto& packet) {
    return packet.size() > 1300 && large++ % 3 != 2;
  };
  for (int i = 0; i < 30; ++i) {
    REQUIRE(world.pair.send(0, std::string(5'000, 'z')));
    REQUIRE(world.pair.send(0, std::string(500, 'z')));
    world.pair.run_for(20ms);
  }
  CHECK(large > 40);
  CHECK(world.pair.side[1].messages.size() == 61);
  CHECK(world.info().packet_bytes == 8972);
}

TEST_CASE("A flow to a peer of remembered size begins with it") {
  FlowPair<> pair;
  PathSizes sizes;
  pair.options.packet_bytes_max = 8972;
  pair.options.path_sizes = &sizes;
  sizes.note(IpAddress::v4(10, 0, 0, 2), 8972, pair.now);
  Path path;
  path.guard(pair);
  pair.connect();
  REQUIRE(pair.send(0, std::string(10'000, 'y')));
  pair.run_for(90us);
  CHECK(path.largest == 8972);
}

TEST_CASE("Random loss of large packets is no black hole") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    FlowPair<> pair;
    pair.options.packet_bytes_max = 8972;
    Prng prng{seed};
    pair.lose = [&](int, const auto& packet) { return packet.size() > 1300 && prng.chance(1, 10); };
    pair.connect();
    for (int i = 0; i < 30; ++i) REQUIRE(pair.send(0, std::string(1'000'000, 'y')));
    int smaller = 0;
    for (int i = 0; i < 100; ++i) {
      pair.run_for(200us);
      if (i > 5 && pair.side[0].flow->info().packet_bytes < 8972) ++smaller;
    }
    CHECK(smaller == 0);
  }
}

TEST_CASE("Word that packets are too big is answered with a small one and not believed",
          "[rfc8899-4.6]") {
  FlowPair<> pair;
  pair.options.packet_bytes_max = 8972;
  Path path;
  path.guard(pair);
  pair.connect();
  REQUIRE(pair.send(0, std::string(300'000, 'y')));
  pair.run_for(2ms);
  auto& flow = *pair.side[0].flow;
  REQUIRE(flow.info().packet_bytes == 8972);
  // A forger says so: nothing changes.
  const auto before = pair.side[0].packets;
  for (int i = 0; i < 50; ++i) flow.on_packet_too_big();
  pair.run_for(1ms);
  CHECK(flow.info().packet_bytes == 8972);
  CHECK(pair.side[0].packets <= before + 2);
  // It is true: the small packet is the evidence, without waiting for a probe timeout.
  path.carries = 1232;
  for (int i = 0; i < 20; ++i) REQUIRE(pair.send(0, std::string(30'000, 'z')));
  pair.drain(0);
  flow.on_packet_too_big();
  pair.run_for(100us);  // less than the first probe timeout of 105 us
  CHECK(flow.info().packet_bytes == 1232);
  CHECK(flow.info().probes == 0);
}

TEST_CASE("Word that packets are too big asks nothing of a flow without a path or of small packets",
          "[rfc8899-4.6]") {
  FlowPair<> pair;
  pair.lose = [](int, const auto&) { return true; };
  pair.connect();
  pair.run_for(10us);
  auto& flow = *pair.side[0].flow;
  flow.on_packet_too_big();
  CHECK_FALSE(flow.wants_transmit(pair.now));
  pair.lose = nullptr;
  pair.run_for(10ms);
  REQUIRE(flow.info().packet_bytes == 1232);
  flow.on_packet_too_big();
  CHECK_FALSE(flow.wants_transmit(pair.now));
}

TEST_CASE("A size probe is not taken for a peer that had no memory and has some now") {
  for (const bool padded : {false, true}) {
    FlowPair<> pair;
    pair.connect();
    pair.run_for(1ms);
    pair.lose = [](int, const auto&) { return true; };
    REQUIRE(pair.send(0, std::string(1000, 'x')));
    pair.drain(0);
    pair.now += 42us;
    const PacketNumber number{0xffff'fff0U + 8};  // one that the server has not used
    std::vector<std::byte> packet(PacketHeader::size + (padded ? 500 : 1) + 4);
    PacketHeader header;
    header.type = PacketType::data;
    header.destination_flow = 0x1111'1100;
    header.source_flow = 0x2222'2200;
    header.number = number;
    header.write(std::span{packet}.first<PacketHeader::size>());
    packet[PacketHeader::size] = std::byte{padded ? std::uint8_t{1} : std::uint8_t{10}};  // room
    Crc32c::seal(packet);
    const auto before = pair.side[0].packets;
    REQUIRE(pair.side[0].flow->handle_datagram({pair.now, {}, false}, packet) == Drop::none);
    pair.side[0].flow->handle_timeout(pair.now);
    pair.drain(0);
    CHECK(pair.side[0].flow->info().probes == (padded ? 0 : 1));
    CHECK(pair.side[0].packets > before);  // at least its acknowledgement: there is a gap
  }
}
