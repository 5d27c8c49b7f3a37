// What a flow in each state does with each packet, timer and call: one table, reviewed as a whole.
// Unlike parts_test.cpp, which has next() alone, this is the flow itself.
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iomanip>
#include <sstream>

#include <catch2/catch.hpp>

#include "flow_pair.hpp"

using namespace proa;
using proa::test::FlowPair;

namespace {

constexpr std::array<const char*, flow_state_count> state_names{
    "syn_sent", "syn_received", "open", "closing", "resetting", "lingering", "finished"};
constexpr std::array<const char*, 8> type_names{
    "data", "syn", "syn_ack", "retry", "refuse", "unknown_flow", "path_probe", "path_result"};
constexpr std::array<const char*, 11> frame_names{
    "padding", "ping", "ack64", "ack512", "ecn", "whole", "part", "want", "fin", "reset", "room"};
constexpr std::array<const char*, 6> event_names{"accepted", "connected", "message",
                                                 "sent",     "writable",  "closed"};

std::string described(ByteView packet) {
  PacketHeader header;
  if (PacketHeader::parse(packet, header) != Drop::none) return "?";
  std::string out = type_names[static_cast<std::size_t>(header.type)];
  if (header.has(HeaderFlag::acks)) out += "+ack";
  if (header.type != PacketType::data) return out;
  FrameReader reader{Crc32c::open(packet).subspan(PacketHeader::size)};
  AckBits bits;
  (void)reader.take_ack(bits);
  for (Frame frame; reader.next(frame);)
    (out += " ") += frame_names[static_cast<std::size_t>(frame.type)];
  return out;
}

/// One flow in one state, and a peer that says what the table wants it to.
struct Stage {
  explicit Stage(FlowState state) {
    pair.lose = [this](int from, const std::vector<std::byte>& bytes) {
      REQUIRE(PacketHeader::parse(bytes, last[from]) == Drop::none);
      return deaf;
    };
    pair.connect(pair.now + 10s);
    bring_to(state);
    deaf = true;
    pair.wire.clear();
    REQUIRE(flow().info().state == state);
  }
  FlowPair<>::TestFlow& flow() { return *pair.side[subject].flow; }

  void bring_to(FlowState state) {
    pair.drain(0);
    if (state == FlowState::syn_sent) return;
    if (state == FlowState::syn_received) {
      subject = 1;
      pair.accept(pair.wire.front().bytes);
      return pair.drain(1);
    }
    pair.run_for(1ms);
    pair.send(0, "a");
    pair.send(1, "b");
    pair.run_for(1ms);
    deaf = state == FlowState::closing || state == FlowState::resetting;
    if (state == FlowState::closing) (void)flow().close(pair.now, pair.now + 20s);
    if (state == FlowState::resetting) flow().reset(pair.now, Reason::reset_by_application);
    if (state == FlowState::lingering || state == FlowState::finished)
      pair.side[1].flow->reset(pair.now, Reason::reset_by_application);
    pair.drain(0);
    if (!deaf) pair.run_for(state == FlowState::finished ? 1s : 100us);
  }
  /// What the peer sends next.
  [[nodiscard]] PacketHeader header(PacketType type) {
    PacketHeader out;
    out.type = type;
    out.destination_flow = flow().identity().local_id;
    out.source_flow = subject == 0 ? 0x2222'2200 : 0x1111'1100;
    out.number = last[1 - subject].number.plus(1);
    out.credit = last[1 - subject].credit;
    return out;
  }
  template <class Write>
  [[nodiscard]] Drop arrives(PacketHeader head, Write write) {
    std::vector<std::byte> bytes(1000);
    head.write(std::span{bytes}.first<PacketHeader::size>());
    const std::size_t body = write(std::span{bytes}.subspan(PacketHeader::size));
    bytes.resize(PacketHeader::size + body + Crc32c::trailer_bytes);
    Crc32c::seal(bytes);
    return flow().handle_datagram({pair.now, {}, false}, bytes);
  }
  template <class Write>
  [[nodiscard]] Drop frames(Write write) {
    return arrives(header(PacketType::data), [&](MutableBytes out) {
      FrameWriter writer{out};
      write(writer);
      return writer.size();
    });
  }
  /// The same with an acknowledgement of everything sent, or of what never was.
  template <class Write>
  [[nodiscard]] Drop frames_and_ack(std::uint32_t ahead, Write write) {
    PacketHeader head = header(PacketType::data);
    head.set(HeaderFlag::acks);
    head.largest_acked = last[subject].number.plus(ahead);
    return arrives(head, [&](MutableBytes out) {
      FrameWriter writer{out};
      write(writer);
      return writer.size();
    });
  }
  [[nodiscard]] Drop syn_again() {
    PacketHeader head = header(PacketType::syn);
    SynBody body;
    body.message_bytes_max = 8U << 20U;
    body.idle_limit_ms = 30'000;
    flow().accept_syn(head, body, {pair.now, {}, false});
    return Drop::none;
  }
  [[nodiscard]] Drop answer_to_ours(PacketType type, bool right_number) {
    PacketHeader head = header(type);
    head.number = last[subject].number.plus(right_number ? 0 : 7);
    return arrives(head, [type](MutableBytes out) {
      constexpr std::array<std::byte, 8> cookie{};
      if (type == PacketType::retry) return RetryBody{cookie}.write(out);
      if (type != PacketType::refuse) return std::size_t{0};
      out[0] = static_cast<std::byte>(Reason::connection_refused);
      return RefuseBody::size;
    });
  }
  [[nodiscard]] Drop syn_ack(bool acks) {
    PacketHeader head = header(PacketType::syn_ack);
    if (acks) head.set(HeaderFlag::acks);
    head.largest_acked = last[subject].number;
    return arrives(head, [](MutableBytes out) {
      SynAckBody body;
      body.message_bytes_max = 8U << 20U;
      body.idle_limit_ms = 30'000;
      body.write(out.first<SynAckBody::size>());
      return std::size_t{SynAckBody::size};
    });
  }
  Drop time_passes(Duration time) {
    const Instant limit = pair.now + time;
    while (flow().next_timeout() <= limit) {
      pair.now = std::max(pair.now, flow().next_timeout());
      flow().handle_timeout(pair.now);
      said += transmitted();
    }
    pair.now = limit;
    return Drop::none;
  }
  std::string transmitted() {
    std::string out;
    std::vector<std::byte> packet(1472);
    while (const std::size_t size = flow().poll_transmit(pair.now, packet))
      (out += ", ") += described(std::span{packet}.first(size));
    return out;
  }
  std::string events() {
    std::string out;
    FlowEvent event;
    while (flow().poll_event(event)) {
      (out += " ") += event_names[static_cast<std::size_t>(event.kind)];
      if (event.kind == FlowEventKind::closed) (out += ": ") += text(event.reason);
      if (event.kind == FlowEventKind::message) pair.side[subject].memory.release(event.message);
    }
    return out;
  }

  FlowPair<> pair;
  PacketHeader last[2];
  int subject = 0;
  bool deaf = false;
  std::string said;  // packets while time passed
};

struct Input {
  const char* name;
  std::function<Drop(Stage&)> apply;
};
const std::vector<Input>& inputs() {
  using W = FrameWriter;
  static const std::vector<Input> all{
      {"syn again", [](Stage& s) { return s.syn_again(); }},
      {"syn_ack", [](Stage& s) { return s.syn_ack(true); }},
      {"syn_ack that acks nothing", [](Stage& s) { return s.syn_ack(false); }},
      {"retry", [](Stage& s) { return s.answer_to_ours(PacketType::retry, true); }},
      {"retry to nothing", [](Stage& s) { return s.answer_to_ours(PacketType::retry, false); }},
      {"refuse", [](Stage& s) { return s.answer_to_ours(PacketType::refuse, true); }},
      {"refuse to nothing", [](Stage& s) { return s.answer_to_ours(PacketType::refuse, false); }},
      {"unknown_flow", [](Stage& s) { return s.answer_to_ours(PacketType::unknown_flow, true); }},
      {"unknown_flow to nothing",
       [](Stage& s) { return s.answer_to_ours(PacketType::unknown_flow, false); }},
      {"path_probe", [](Stage& s) { return s.answer_to_ours(PacketType::path_probe, true); }},
      {"data: ack", [](Stage& s) { return s.frames_and_ack(0, [](W&) {}); }},
      {"data: nothing", [](Stage& s) { return s.frames([](W&) {}); }},
      {"data: ping", [](Stage& s) { return s.frames([](W& w) { w.ping(); }); }},
      {"data: whole",
       [](Stage& s) {
         return s.frames([&s](W& w) { (void)w.whole(MessageNumber{s.subject == 1 ? 0U : 1U}, 3); });
       }},
      {"data: want",
       [](Stage& s) { return s.frames([](W& w) { w.want(MessageNumber{5}, 100'000); }); }},
      {"data: fin",
       [](Stage& s) {
         return s.frames([&s](W& w) { w.fin(MessageNumber{s.subject == 1 ? 0U : 1U}); });
       }},
      {"data: reset",
       [](Stage& s) { return s.frames([](W& w) { w.reset(Reason::reset_by_application); }); }},
      {"data: ack, reset",
       [](Stage& s) {
         return s.frames_and_ack(0, [](W& w) { w.reset(Reason::reset_by_application); });
       }},
      {"data: ack of nothing, reset",
       [](Stage& s) {
         return s.frames_and_ack(7, [](W& w) { w.reset(Reason::reset_by_application); });
       }},
      {"data: room", [](Stage& s) { return s.frames([](W& w) { w.room_found(); }); }},
      {"data: bad frame",
       [](Stage& s) {
         return s.arrives(s.header(PacketType::data), [](MutableBytes out) {
           out[0] = std::byte{77};
           return std::size_t{1};
         });
       }},
      {"data: other incarnation",
       [](Stage& s) {
         PacketHeader head = s.header(PacketType::data);
         head.source_flow ^= 1U;
         return s.arrives(head, [](MutableBytes) { return std::size_t{0}; });
       }},
      {"submit",
       [](Stage& s) {
         s.said = s.pair.send(s.subject, "x") ? ", accepted" : ", refused";
         return Drop::none;
       }},
      {"close",
       [](Stage& s) {
         const auto done = s.flow().close(s.pair.now, s.pair.now + 20s);
         if (!done) s.said = ", refused";
         return Drop::none;
       }},
      {"reset",
       [](Stage& s) {
         s.flow().reset(s.pair.now, Reason::reset_by_application);
         return Drop::none;
       }},
      {"next timer",
       [](Stage& s) {
         return s.flow().next_timeout() == never
                    ? Drop::none
                    : s.time_passes(s.flow().next_timeout() - s.pair.now);
       }},
      {"11 s of silence", [](Stage& s) { return s.time_passes(11s); }},
      {"31 s of silence", [](Stage& s) { return s.time_passes(31s); }},
  };
  return all;
}
/// What is said many times in a row once.
std::string shortened(const std::string& said) {
  if (said.size() <= 60) return said;
  return said.substr(0, 57) + "...";
}
std::string row(FlowState state, const Input& input) {
  Stage stage{state};
  const Drop drop = input.apply(stage);
  const std::string events = stage.events();
  const std::string sent = stage.said + stage.transmitted();
  const FlowState after = stage.flow().info().state;
  REQUIRE(stage.flow().broken_invariant() == nullptr);
  std::ostringstream out;
  out << "  " << std::left << std::setw(28) << input.name << std::setw(20)
      << (drop == Drop::none ? std::string_view{"-"} : text(drop)) << std::setw(14)
      << (after == state ? "=" : state_names[static_cast<std::size_t>(after)]);
  out << "|" << events << " |" << (sent.empty() ? "" : shortened(sent).substr(1));
  return out.str();
}
std::string whole_table() {
  std::string out;
  for (std::uint8_t s = 0; s < flow_state_count; ++s) {
    (out += state_names[s]) += "\n";
    for (const Input& input : inputs()) (out += row(static_cast<FlowState>(s), input)) += "\n";
  }
  return out;
}

const char* table_file = PROA_SOURCE "/test/unit/transport/flow_table.txt";

std::string reviewed_table() {
  std::ostringstream out;
  out << std::ifstream{table_file}.rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("what a flow does in each state with each packet, timer and call is as reviewed") {
  const std::string actual = whole_table();
  if (std::getenv("PROA_UPDATE_SNAPSHOT") != nullptr) std::ofstream{table_file} << actual;
  CHECK(actual == reviewed_table());
}
