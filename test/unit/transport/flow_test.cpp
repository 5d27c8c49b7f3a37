// Flows over a perfect or scripted wire.
#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {
std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string s(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    s[i] = static_cast<char>((i * 131 + seed * 7 + i / 251) & 0xff);
  return s;
}
}  // namespace

TEST_CASE("two flows connect in one round trip and both applications are told") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(100us);
  CHECK(pair.count(0, FlowEventKind::connected) == 1);
  CHECK(pair.count(1, FlowEventKind::accepted) == 1);
  CHECK(pair.side[0].flow->info().smoothed_rtt - 40us < 64ns);  // the unit of ack delay
}

TEST_CASE("messages of every size class arrive whole and in order") {
  FlowPair<> pair;
  pair.connect();
  std::vector<std::string> sent;
  unsigned n = 0;
  for (const std::size_t size : {0UL, 1UL, 63UL, 64UL, 1400UL, 1441UL, 1500UL, 20'000UL, 65'536UL,
                                 65'537UL, 1'000'000UL, 0UL, 8UL << 20U, 5UL}) {
    sent.push_back(pattern(size, ++n));
    REQUIRE(pair.send(0, sent.back()));
  }
  pair.run_for(1s);
  CHECK(pair.side[1].messages.size() == sent.size());
  CHECK(pair.side[1].messages == sent);
  CHECK(pair.side[0].flow->info().queued_messages == 0);
  CHECK(pair.side[0].flow->info().resent_bytes == 0);
}

TEST_CASE("several small messages share a packet and an echo costs one packet each way") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  const auto before = pair.side[0].packets;
  for (int i = 0; i < 16; ++i) REQUIRE(pair.send(0, pattern(64)));
  pair.run_for(10us);
  CHECK(pair.side[0].packets == before + 1);
  pair.run_for(20us);
  CHECK(pair.side[1].messages.size() == 16);
}

TEST_CASE("close delivers everything first and tells both ends why") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  for (int i = 0; i < 100; ++i) REQUIRE(pair.send(0, pattern(3000, static_cast<unsigned>(i))));
  REQUIRE(pair.side[0].flow->close(pair.now, pair.now + 1s));
  CHECK_FALSE(pair.send(0, "late"));
  pair.run_for(2s);
  CHECK(pair.side[1].messages.size() == 100);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  REQUIRE(pair.count(1, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::closed_by_application);
  CHECK(pair.side[1].events.back().reason == Reason::closed_by_peer);
  CHECK(pair.side[0].flow->finished());
  CHECK(pair.side[1].flow->finished());
}

TEST_CASE("a reset reaches the peer with its reason") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  pair.side[1].flow->reset(pair.now, Reason::application_gone);
  pair.run_for(1s);
  CHECK(pair.side[0].events.back().reason == Reason::application_gone);
  CHECK(pair.side[1].events.back().reason == Reason::application_gone);
  CHECK(pair.side[0].flow->finished());
  CHECK(pair.side[1].flow->finished());
}

TEST_CASE("a connect without an answer ends at its deadline") {
  FlowPair<> pair;
  pair.lose = [](int, const auto&) { return true; };
  pair.connect(pair.now + 50ms);
  pair.run_for(1s);
  REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
  CHECK(pair.side[0].events.back().reason == Reason::handshake_timeout);
  CHECK(pair.side[0].flow->finished());
}

TEST_CASE("a client that may wait for ever goes on asking, once a second") {
  FlowPair<> pair;
  pair.lose = [](int, const auto&) { return true; };
  pair.connect();
  pair.run_for(300s);  // more often than the count of repetitions can tell
  const auto before = pair.side[0].packets;
  CHECK(before <= 300 + 15);
  CHECK(pair.side[0].flow->unanswered() == 254);
  pair.run_for(10s);
  CHECK(pair.side[0].packets == before + 10);
  CHECK(pair.side[0].flow->unanswered() == 254);
  pair.lose = nullptr;
  pair.run_for(2s);
  CHECK(pair.count(0, FlowEventKind::connected) == 1);
}

TEST_CASE("a SYN-ACK acknowledges its SYN, whatever was lost before", "[rfc9293-3.10.7.3]") {
  FlowPair<> pair;
  int packets[2] = {0, 0};
  // The second SYN, which leaves a gap, and the answers to the first and the third.
  pair.lose = [&](int from, const std::vector<std::byte>&) {
    const int sent = ++packets[from];
    return from == 0 ? sent == 2 : sent <= 2;
  };
  pair.connect();
  pair.run_for(20ms);
  CHECK(packets[1] > 2);
  CHECK(pair.count(0, FlowEventKind::connected) == 1);
  CHECK(pair.count(1, FlowEventKind::accepted) == 1);
}

TEST_CASE("any single lost packet is repaired", "[rfc9000-13.3]") {
  for (int victim = 0; victim < 60; ++victim) {
    FlowPair<> pair;
    int seen = 0;
    pair.lose = [&](int, const auto&) { return seen++ == victim; };
    pair.connect();
    std::vector<std::string> sent;
    for (unsigned i = 0; i < 40; ++i) {
      sent.push_back(pattern(500 + 100 * i, i));
      REQUIRE(pair.send(0, sent.back()));
    }
    pair.run_for(10ms);
    for (unsigned i = 0; i < 3; ++i) REQUIRE(pair.send(1, pattern(10, i)));
    pair.run_for(50ms);
    REQUIRE(pair.side[1].messages == sent);
    REQUIRE(pair.side[0].messages.size() == 3);
    REQUIRE(pair.side[0].flow->close(pair.now, pair.now + 1s));
    pair.run_for(2s);
    CHECK(pair.side[0].flow->finished());
    CHECK(pair.side[1].flow->finished());
  }
}

TEST_CASE("thirty per cent random loss loses, doubles and reorders nothing") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    FlowPair<> pair;
    Prng prng{seed};
    pair.lose = [&](int, const auto&) { return prng.chance(30, 100); };
    pair.connect(never, seed);
    std::vector<std::string> sent;
    for (unsigned i = 0; i < 300; ++i) {
      sent.push_back(pattern(prng.below(i % 20 == 0 ? 100'000 : 3000), i));
      REQUIRE(pair.send(0, sent.back(), i % 50 == 0));
    }
    pair.run_for(20s);
    REQUIRE(pair.side[1].messages.size() == sent.size());
    REQUIRE(pair.side[1].messages == sent);
    CHECK(pair.side[0].flow->info().queued_messages == 0);
    CHECK(pair.count(0, FlowEventKind::sent) >= 1);
  }
}

TEST_CASE("a CE mark counts with the acknowledgement that reports it",
          "[rfc8511][rfc9000-13.4.1][rfc3168-6.1]") {
  FlowPair<> pair;
  pair.options.congestion = CongestionKind::cubic;
  pair.connect();
  pair.run_for(1ms);
  std::vector<std::vector<std::byte>> caught;
  pair.lose = [&](int, const auto& packet) {
    caught.push_back(packet);
    return true;
  };
  REQUIRE(pair.send(0, pattern(1000)));
  pair.drain(0);
  REQUIRE(caught.size() == 1);
  pair.now += 20us;
  REQUIRE(pair.side[1].flow->handle_datagram({pair.now, {}, true}, caught[0]) == Drop::none);
  pair.drain(1);
  REQUIRE(caught.size() == 2);
  pair.now += 20us;
  const std::uint32_t before = pair.side[0].flow->info().window_bytes;
  REQUIRE(pair.side[0].flow->handle_datagram({pair.now, {}, false}, caught[1]) == Drop::none);
  CHECK(pair.side[0].flow->info().window_bytes < before);
}

TEST_CASE("silence past the idle limit ends the flow at both ends") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  pair.run_for(120s);
  CHECK(pair.count(0, FlowEventKind::closed) == 0);  // keepalives
  pair.lose = [](int, const auto&) { return true; };
  pair.run_for(31s);
  CHECK(pair.side[0].events.back().reason == Reason::idle_timeout);
  CHECK(pair.side[1].events.back().reason == Reason::idle_timeout);
}

TEST_CASE("the shorter idle limit of both ends is kept alive, whatever the keepalive is") {
  FlowPair<> pair;
  pair.options.idle_limit = 5s;  // the keepalive is 10 s
  pair.connect();
  pair.run_for(60s);
  CHECK(pair.count(0, FlowEventKind::closed) == 0);
  CHECK(pair.count(1, FlowEventKind::closed) == 0);
  CHECK(pair.side[0].packets <= 3 * 60 / 5 + 5);
  pair.lose = [](int, const auto&) { return true; };
  pair.run_for(5s + 1ms);
  CHECK(pair.count(0, FlowEventKind::closed) == 1);
}

TEST_CASE(
    "a peer without an idle limit says 0, and one of a moment does not make us ask for ever") {
  const FlowOptions options;
  CHECK(options.agreed_idle_limit(0) == 30s);
  CHECK(options.agreed_idle_limit(1) == idle_limit_least);
  CHECK(options.agreed_idle_limit(5000) == 5s);
  CHECK(options.agreed_idle_limit(~0U) == 30s);
  CHECK(options.keepalive_within(30s) == 10s);
  CHECK(options.keepalive_within(6s) == 2s);
}

TEST_CASE("a peer that only asks whether we are there had no lack of memory") {
  FlowPair<> pair;
  pair.options.keepalive = 20ms;
  pair.connect();
  pair.run_for(1ms);
  pair.lose = [](int from, const auto&) { return from == 0; };
  REQUIRE(pair.send(0, std::string(10'000, 'x')));
  while (pair.side[0].flow->info().probes < 3) REQUIRE(pair.step(never));
  const auto despaired = pair.side[0].flow->info();
  REQUIRE(despaired.window_bytes < 2000);
  while (pair.side[0].flow->info().packets_received == despaired.packets_received)
    REQUIRE(pair.step(never));
  CHECK(pair.side[0].flow->info().window_bytes == despaired.window_bytes);
}

TEST_CASE("a flow with memory again says so to whom it refused something, and only to him") {
  for (const bool refused : {true, false}) {
    FlowPair<> pair;
    pair.connect();
    pair.run_for(1ms);
    auto& memory = pair.side[1].memory;
    while (memory.reserve(slab_bytes_max)) continue;  // the block kept back is left
    std::string said;
    pair.lose = [&](int from, const auto& bytes) {
      FrameReader reader{Crc32c::open(bytes).subspan(PacketHeader::size)};
      AckBits bits;
      (void)reader.take_ack(bits);
      for (Frame frame; from == 1 && reader.next(frame);) {
        if (frame.type == FrameType::ping) said += "ping ";
        if (frame.type == FrameType::room) said += "room ";
      }
      return false;
    };
    CAPTURE(refused);
    REQUIRE(pair.send(0, std::string(refused ? 10'000 : 1'000'000, 'x')));
    pair.run_for(100ms);
    CHECK(pair.side[1].messages.size() == 1);
    CHECK(said == (refused ? "room " : "ping "));
  }
}

TEST_CASE("a client asked to prove its address sends its SYN again with the cookie",
          "[rfc9000-8.1.2]") {
  FlowPair<> pair;
  std::vector<std::vector<std::byte>> syns;
  pair.lose = [&](int, const auto& packet) {
    syns.push_back(packet);
    return true;
  };
  pair.connect();
  pair.run_for(10us);
  REQUIRE(syns.size() == 1);
  PacketHeader syn;
  REQUIRE(PacketHeader::parse(syns[0], syn) == Drop::none);
  const std::array<std::byte, 3> cookie{std::byte{9}, std::byte{8}, std::byte{7}};
  const auto retry = [&](PacketNumber number) {
    std::vector<std::byte> packet(PacketHeader::size + 4 + 4);
    PacketHeader header;
    header.type = PacketType::retry;
    header.destination_flow = syn.source_flow;
    header.number = number;
    header.write(std::span{packet}.first<24>());
    RetryBody{cookie}.write(std::span{packet}.subspan(24));
    Crc32c::seal(packet);
    return packet;
  };
  CHECK(pair.side[0].flow->handle_datagram({pair.now, {}, false}, retry(syn.number.plus(9))) ==
        Drop::protocol_violation);
  CHECK(pair.side[0].flow->handle_datagram({pair.now, {}, false}, retry(syn.number)) == Drop::none);
  pair.run_for(10us);
  REQUIRE(syns.size() == 2);
  SynBody body;
  REQUIRE(SynBody::parse(ByteView{syns[1]}.subspan(24), body) == Drop::none);
  CHECK(std::equal(body.cookie.begin(), body.cookie.end(), cookie.begin(), cookie.end()));
  CHECK(syns[1].size() == syn_bytes);
  // The same RETRY again makes no third SYN: a forger gets one for one at best.
  CHECK(pair.side[0].flow->handle_datagram({pair.now, {}, false}, retry(syn.number)) ==
        Drop::duplicate_packet);
}

TEST_CASE("who has not seen the SYN-ACK opens nothing", "[rfc9293-3.10.7.4]") {
  FlowPair<> pair;
  std::vector<std::byte> first;
  pair.lose = [&](int from, const auto& packet) {
    if (from == 0 && pair.side[1].flow) first = packet;
    return from == 0 && pair.side[1].flow.has_value();
  };
  pair.connect();
  pair.run_for(50us);
  auto& server = *pair.side[1].flow;
  REQUIRE(server.state() == FlowState::syn_received);
  PacketHeader header;
  REQUIRE(PacketHeader::parse(first, header) == Drop::none);
  const auto forged = [&](const PacketHeader& with) {
    std::vector<std::byte> packet(PacketHeader::size + 1 + Crc32c::trailer_bytes);
    FrameWriter{std::span{packet}.subspan(PacketHeader::size, 1)}.ping();
    with.write(std::span{packet}.first<PacketHeader::size>());
    Crc32c::seal(packet);
    return server.handle_datagram({pair.now, {}, false}, packet);
  };
  PacketHeader mute = header;
  mute.flags = 0;  // acknowledges nothing
  CHECK(forged(mute) == Drop::protocol_violation);
  PacketHeader guess = header;
  guess.largest_acked = header.largest_acked.plus(1000);
  CHECK(forged(guess) == Drop::protocol_violation);
  guess.largest_acked = header.largest_acked.minus(1);  // not ours either: the first is random
  CHECK(forged(guess) == Drop::protocol_violation);
  CHECK(server.state() == FlowState::syn_received);
  CHECK_FALSE(server.has_event());
  CHECK(forged(header) == Drop::none);
  CHECK(server.state() == FlowState::open);
}

TEST_CASE("a path that grew longer while the flow rested is believed", "[rfc9002-5.2]") {
  FlowPair<> pair;
  pair.options.keepalive = 100ms;
  pair.connect();
  pair.run_for(1ms);
  REQUIRE(pair.send(0, pattern(100)));
  pair.run_for(1ms);
  CHECK(pair.side[0].flow->info().minimum_rtt < 50us);
  REQUIRE(pair.send(1, pattern(100)));
  pair.run_for(1ms);
  pair.delay = 200us;
  pair.run_for(120ms);  // one keepalive
  for (int i = 0; i < 2; ++i) REQUIRE(pair.send(i, pattern(100)));
  pair.run_for(10ms);
  CHECK(pair.side[0].flow->info().minimum_rtt >= 400us);
  CHECK(pair.side[1].flow->info().minimum_rtt >= 400us);
}
