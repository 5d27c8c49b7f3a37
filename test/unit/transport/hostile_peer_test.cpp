// A flow against a peer, or somebody who knows its numbers, that breaks the protocol.
#include <catch2/catch.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {

constexpr std::uint32_t message_limit = 8U << 20U;

/// A client, mostly connected, whose packets are lost from then on; packets in its peer's name.
struct Victim {
  explicit Victim(bool connected = true, CongestionKind congestion = CongestionKind::swift) {
    pair.options.congestion = congestion;
    pair.options.message_bytes_max = message_limit;
    deaf = !connected;
    pair.lose = [this](int from, const std::vector<std::byte>& bytes) {
      REQUIRE(PacketHeader::parse(bytes, last[from]) == Drop::none);
      return deaf;
    };
    pair.connect();
    pair.run_for(connected ? 1ms : 10us);
    deaf = true;
    REQUIRE(state() == (connected ? FlowState::open : FlowState::syn_sent));
  }
  FlowPair<>::TestFlow& flow() { return *pair.side[0].flow; }
  FlowState state() { return flow().info().state; }

  PacketHeader header(PacketType type) {
    PacketHeader out;
    out.type = type;
    out.destination_flow = 0x1111'1100;
    out.source_flow = 0x2222'2200;
    out.number = last[1].number.plus(++said);
    out.credit = last[1].credit;
    return out;
  }
  PacketHeader header_with_ack(PacketType type) {
    PacketHeader out = header(type);
    out.set(HeaderFlag::acks);
    out.largest_acked = last[0].number;
    return out;
  }
  Drop arrives(const PacketHeader& head, const std::vector<std::byte>& body) {
    std::vector<std::byte> bytes(PacketHeader::size);
    head.write(std::span{bytes}.first<PacketHeader::size>());
    bytes.insert(bytes.end(), body.begin(), body.end());
    bytes.resize(bytes.size() + Crc32c::trailer_bytes);
    Crc32c::seal(bytes);
    return flow().handle_datagram({pair.now, {}, false}, bytes);
  }
  template <class Write>
  Drop frames(const PacketHeader& head, Write write) {
    std::vector<std::byte> body(1300);
    FrameWriter writer{body};
    write(writer);
    body.resize(writer.size());
    return arrives(head, body);
  }
  template <class Write>
  Drop frames(Write write) {
    return frames(header(PacketType::data), write);
  }
  Drop part(std::uint32_t number, std::uint32_t offset, std::uint32_t total, std::uint16_t size) {
    return frames(
        [&](FrameWriter& w) { (void)w.part(MessageNumber{number}, offset, total, size); });
  }
  /// A message leaves; 40 us pass.
  void send() {
    REQUIRE(pair.send(0, "x"));
    pair.drain(0);
    pair.now += 40us;
  }
  Reason why_closed() {
    pair.drain(0);
    REQUIRE(pair.count(0, FlowEventKind::closed) == 1);
    return pair.side[0].events.back().reason;
  }

  FlowPair<> pair;
  PacketHeader last[2];
  std::uint32_t said = 0;
  bool deaf = false;
};

const std::vector<std::byte> cut_ack64{std::byte{2}, std::byte{0xff}, std::byte{0xff}};
const std::vector<std::byte> cut_ecn{std::byte{4}, std::byte{0}};
const std::vector<std::byte> no_such_frame{std::byte{1}, std::byte{77}};  // behind a ping

}  // namespace

TEST_CASE("a message above the limit is a violation, in parts or as a wish, and takes no memory") {
  Victim v;
  CHECK(v.part(0, 0, message_limit + 1, 100) == Drop::protocol_violation);
  const auto want = [&](std::uint32_t bytes) {
    return v.frames([&](FrameWriter& w) { w.want(MessageNumber{0}, bytes); });
  };
  CHECK(want(message_limit + 1) == Drop::protocol_violation);
  CHECK_FALSE(v.flow().wants_memory());
  CHECK(want(message_limit) == Drop::none);
  CHECK(v.flow().wants_memory());
  CHECK(v.pair.side[0].memory.receive_arena().used() == 0);
  CHECK(v.state() == FlowState::open);
}

TEST_CASE("parts that disagree on their message's length are a violation, the first one counts") {
  Victim v;
  CHECK(v.part(0, 0, 2000, 1000) == Drop::none);
  CHECK(v.part(0, 1000, 1500, 500) == Drop::protocol_violation);
  CHECK(v.part(0, 1000, 3000, 1000) == Drop::protocol_violation);
  v.pair.drain(0);
  CHECK(v.pair.side[0].messages.empty());
  CHECK(v.part(0, 1000, 2000, 1000) == Drop::none);
  v.pair.drain(0);
  REQUIRE(v.pair.side[0].messages.size() == 1);
  CHECK(v.pair.side[0].messages[0].size() == 2000);
}

TEST_CASE("nobody sends beyond his credit, in bytes or in messages ahead, and nothing is kept") {
  Victim v;
  CHECK(v.part(0, 0, initial_credit_bytes + 1, 100) == Drop::credit_exceeded);
  // Each message before it would have cost the smallest block at least.
  constexpr std::uint32_t ahead = initial_credit_bytes / slab_bytes_min;
  CHECK(v.part(ahead, 0, 1, 1) == Drop::credit_exceeded);
  CHECK(v.part(~0U - 7, 0, 1, 1) != Drop::credit_exceeded);  // before the first: told as known
  CHECK(v.pair.side[0].memory.receive_arena().used() == 0);
  CHECK(v.part(ahead - 1, 0, 1, 1) == Drop::none);
}

TEST_CASE("an acknowledgement that is cut short acknowledges nothing") {
  for (const auto& body : {cut_ack64, cut_ecn}) {
    Victim v;
    v.send();
    const auto before = v.flow().info().in_flight_bytes;
    REQUIRE(before > 0);
    CHECK(v.arrives(v.header_with_ack(PacketType::data), body) == Drop::bad_frame);
    CHECK(v.flow().info().in_flight_bytes == before);
    CHECK(v.arrives(v.header_with_ack(PacketType::data), {}) == Drop::none);
    CHECK(v.flow().info().in_flight_bytes == 0);
  }
}

TEST_CASE("a count of CE marks that was overtaken by a later one says nothing", "[rfc8511]") {
  Victim v{true, CongestionKind::cubic};
  const auto acknowledge = [&](std::uint32_t marked) {
    v.send();
    const auto head = v.header_with_ack(PacketType::data);
    REQUIRE(v.frames(head, [&](FrameWriter& w) { w.ecn(marked); }) == Drop::none);
    return v.flow().info().window_bytes;
  };
  const std::uint32_t first = v.flow().info().window_bytes;
  const std::uint32_t marked = acknowledge(5);
  CHECK(marked < first);
  const std::uint32_t overtaken = acknowledge(3);
  CHECK(overtaken >= marked);
  CHECK(acknowledge(5) >= overtaken);  // told already
  CHECK(acknowledge(6) < overtaken);
}

TEST_CASE("a count of CE marks that is not the acknowledgement's says nothing and asks nothing") {
  Victim v{true, CongestionKind::cubic};
  v.send();
  const std::uint32_t before = v.flow().info().window_bytes;
  const auto twice = [](FrameWriter& w) {
    w.ecn(0);
    w.ecn(7);
  };
  CHECK(v.frames(v.header_with_ack(PacketType::data), twice) == Drop::none);
  CHECK(v.flow().info().window_bytes >= before);
  v.pair.now += 1ms;
  v.flow().handle_timeout(v.pair.now);
  CHECK_FALSE(v.flow().wants_transmit(v.pair.now));
}

TEST_CASE("a set-up packet that is cut short, or another flow's, changes nothing") {
  for (const auto type : {PacketType::syn_ack, PacketType::retry, PacketType::refuse}) {
    Victim v{false};
    CAPTURE(static_cast<int>(type));
    PacketHeader head = v.header_with_ack(type);
    if (type != PacketType::syn_ack) head.number = v.last[0].number;
    CHECK(v.arrives(head, {}) == Drop::truncated);
    CHECK(v.state() == FlowState::syn_sent);
    CHECK_FALSE(v.flow().wants_transmit(v.pair.now));
  }
  Victim v;
  PacketHeader head = v.header_with_ack(PacketType::syn_ack);
  head.source_flow ^= 1U;
  CHECK(v.arrives(head, std::vector<std::byte>(SynAckBody::size)) == Drop::wrong_incarnation);
  CHECK_FALSE(v.flow().wants_transmit(v.pair.now));
}

TEST_CASE("before its SYN is answered a client believes a RESET only that is whole and names it",
          "[rfc9293-3.10.7.3]") {
  Victim v{false};
  const auto head = [&] { return v.header_with_ack(PacketType::data); };
  const auto reset = [](FrameWriter& w) {
    w.ping();
    w.reset(Reason::reset_by_application);
  };
  CHECK(v.frames(v.header(PacketType::data), reset) == Drop::protocol_violation);
  CHECK(v.arrives(head(), cut_ack64) == Drop::bad_frame);
  CHECK(v.arrives(head(), cut_ecn) == Drop::bad_frame);
  CHECK(v.arrives(head(), no_such_frame) == Drop::bad_frame);
  CHECK(v.frames(head(), [](FrameWriter& w) { w.ping(); }) == Drop::protocol_violation);
  CHECK(v.state() == FlowState::syn_sent);
  CHECK(v.frames(head(), reset) == Drop::none);
  CHECK(v.why_closed() == Reason::reset_by_peer);
}

TEST_CASE("a peer that forgets a closing flow has finished with it if it saw messages and FIN") {
  enum class Left { nothing, message, fin };
  for (const Left left : {Left::nothing, Left::message, Left::fin}) {
    Victim v;
    CAPTURE(static_cast<int>(left));
    if (left == Left::message) v.send();
    if (left == Left::fin) v.pair.run_for(11s);  // a keepalive is what it names then
    REQUIRE(v.flow().close(v.pair.now, v.pair.now + 1s));
    if (left != Left::fin) v.pair.drain(0);
    PacketHeader head = v.header(PacketType::unknown_flow);
    head.number = v.last[0].number;
    REQUIRE(v.arrives(head, {}) == Drop::none);
    CHECK(v.why_closed() ==
          (left == Left::nothing ? Reason::closed_by_application : Reason::peer_restarted));
  }
}
