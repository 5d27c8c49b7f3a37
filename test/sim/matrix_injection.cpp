// TEST-MATRIX A21: what somebody achieves who is no peer and sees nothing of a flow: blind
// injection.
#include "stranger.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t target = 1;

PacketHeader header_of(std::span<const std::byte> frame) {
  PacketHeader out;
  if (frame.size() > frame_header_bytes)
    (void)PacketHeader::parse(frame.subspan(frame_header_bytes), out);
  return out;
}

/// A flow under way, whose states are compared before and after somebody tried something.
struct Attacked {
  Attacked() : hosts(HostsOptions{}) {
    for (const std::uint32_t host : {0U, target})
      strangers.push_back(std::make_unique<Stranger>(hosts, host));
    hosts.app(target).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind == FlowEventKind::message) stream.arrived(event);
    };
    flow = hosts.connect(0, target);
    server = hosts.accepted(target, 0, hosts.info(0, flow));
    exchange();
  }
  void exchange() {
    stream.fill(hosts, 0, 0, flow, stream.offered() + 10);
    hosts.run_for(1ms);
    REQUIRE(stream.arrived() == stream.offered());
  }
  [[nodiscard]] FlowKey key(std::uint32_t host) const { return host == target ? server : flow; }
  [[nodiscard]] FlowIdentity identity(std::uint32_t host) {
    FlowIdentity out;
    hosts[host].engine.for_each_flow(
        [&](FlowKey, AppCookie, const auto& f) { out = f.identity(); });
    return out;
  }
  /// Everything of both ends that anybody outside can bring about.
  [[nodiscard]] std::string state() {
    std::string out;
    for (const std::uint32_t host : {0U, target}) {
      const FlowInfo i = hosts.info(host, key(host));
      for (const std::uint64_t v :
           {std::uint64_t(i.state), std::uint64_t(i.reason), std::uint64_t{i.window_bytes},
            std::uint64_t{i.in_flight_bytes}, std::uint64_t{i.queued_messages}, i.queued_bytes,
            i.packets_received, i.packets_sent, i.messages_sent, i.messages_received,
            std::uint64_t{i.credit_left_bytes}, i.packets_lost, std::uint64_t{i.packet_bytes},
            i.spurious_losses, i.probes, i.resent_bytes})
        out += std::to_string(v) + " ";
      for (const Duration d : {i.smoothed_rtt, i.minimum_rtt, i.rtt_variation})
        out += std::to_string(d.count()) + " ";
    }
    return out;
  }
  /// What both ends say of themselves when nothing but a keepalive makes them speak: the number
  /// that is next, the largest received, the credit given.
  [[nodiscard]] std::string keepalive() {
    std::string out;
    for (const std::uint32_t host : {0U, target})
      hosts[host].watch = [&out, host](Instant, std::span<const std::byte> frame) {
        if (load_be<std::uint16_t>(frame.data() + 12) != 0x0800) return false;
        const PacketHeader header = header_of(frame);
        out += std::to_string(host) + ":";
        for (const std::uint32_t v :
             {std::uint32_t(header.type), header.source_flow, header.destination_flow,
              header.number.wire(), header.largest_acked.wire(), header.credit.wire()})
          (out += " ") += std::to_string(v);
        out += "; ";
        return false;
      };
    hosts.run_for(11s);
    for (const std::uint32_t host : {0U, target}) hosts[host].watch = nullptr;
    return out;
  }
  Hosts<> hosts;
  std::vector<std::unique_ptr<Stranger>> strangers;  // one for each host
  Stream stream{21, 0, 10'000};
  FlowKey flow, server;
};

/// Both ends say what they would have said if nobody had tried anything until now.
void demand_unheard(Attacked& attacked) {
  Attacked spared;
  spared.hosts.run_for(attacked.hosts.now() - spared.hosts.now());
  const std::string expected = spared.keepalive();
  CHECK(std::count(expected.begin(), expected.end(), ';') >= 2);
  CHECK(attacked.keepalive() == expected);
}

std::vector<std::byte> reset_frame() { return {std::byte{9}, std::byte{35}}; }
std::vector<std::byte> whole_message(std::uint32_t number) {
  std::vector<std::byte> out(whole_frame_bytes + 8);
  FrameWriter frames{out};
  const auto payload = frames.whole(MessageNumber{number}, 8);
  std::fill(payload.begin(), payload.end(), std::byte{0x66});
  return out;
}

}  // namespace

TEST_CASE("A21: who knows addresses and ports but no flow id changes nothing at either end",
          "[A21]") {
  Attacked world;
  Hosts<>& hosts = world.hosts;
  const std::string before = world.state();
  const std::array<std::uint32_t, 2> right_ids{world.identity(0).local_id,
                                               world.identity(target).local_id};
  std::array<std::uint64_t, 2> answers_before{};
  for (const std::uint32_t host : {0U, target})
    answers_before[host] = hosts[host].engine.counters().answers_unknown_flow;
  const Instant began = hosts.now();
  const std::uint32_t tries = in_full() ? 1'000'000 : 50'000;
  for (std::uint32_t i = 0; i < tries; ++i) {
    const std::uint32_t host = i / 2 % 2;
    Stranger& stranger = *world.strangers[host];
    PacketHeader header;
    constexpr std::array types{PacketType::data,    PacketType::data,   PacketType::unknown_flow,
                               PacketType::syn_ack, PacketType::refuse, PacketType::retry};
    header.type = types[stranger.random().below(types.size())];
    header.destination_flow = stranger.random().next32();
    if (header.destination_flow == right_ids[host]) continue;  // that would be knowing it
    header.source_flow = stranger.random().next32();
    header.number = PacketNumber{stranger.random().next32()};
    header.set(HeaderFlag::acks);
    header.largest_acked = PacketNumber{stranger.random().next32()};
    header.credit = CreditLimit{stranger.random().next32()};
    const auto body = i % 2 == 0 ? reset_frame() : whole_message(i);
    stranger.send(hosts[1 - host].address, header, body);
    if (i % 16 == 0) hosts.run_for(4us);
  }
  hosts.run_for(100us);
  CHECK(world.state() == before);
  // Rate-limited: 10,000 answers a second and a burst of 64, all peers together.
  const double seconds = static_cast<double>((hosts.now() - began).count()) / 1e9;
  for (const std::uint32_t host : {0U, target}) {
    const auto answers = hosts[host].engine.counters().answers_unknown_flow - answers_before[host];
    CHECK(static_cast<double>(answers) <= 64 + 10'000 * seconds + 1);
    CHECK(answers > 0);
  }
  demand_unheard(world);
  world.exchange();
  CHECK(world.stream.right());
  hosts.converge();
}

namespace {

/// Knows the flow ids of both ends and the numbers of what each sent last, and is one packet number
/// or one acknowledgement wide of what would be believed.
class NearMisses {
 public:
  NearMisses(Attacked& world, std::uint32_t victim)
      : world_(&world), victim_(victim), who_(world.identity(victim)) {
    for (const std::uint32_t host : {0U, target})
      world.hosts[host].watch = [this, host](Instant, std::span<const std::byte> frame) {
        const PacketHeader header = header_of(frame);
        if (header.source_flow != 0) latest_[host] = header.number.wire();
        return false;
      };
    world.exchange();
    for (const std::uint32_t host : {0U, target}) world.hosts[host].watch = nullptr;
  }
  void out_of_window() {
    constexpr std::uint32_t window = packet_number_window;
    for (std::uint32_t i = 0; i < 2000; ++i) {
      const auto beyond =
          static_cast<std::uint32_t>(stranger().random().below(0xffff'ffffU - 2 * window - 2));
      PacketHeader header = acknowledging();
      header.number = PacketNumber{latest_[1 - victim_] + window + 1 + beyond};
      if (i % 2 == 0) {  // in the window, but it acknowledges what was never sent
        header.number = PacketNumber{latest_[1 - victim_] + 1 + i};
        header.largest_acked = PacketNumber{latest_[victim_] + 1 + beyond / 2};
      }
      send(header, reset_frame());
      if (i % 8 == 0) world_->hosts.run_for(2us);
    }
  }
  /// UNKNOWN_FLOW that names no packet in flight, answers to no SYN of the victim's.
  void other_types() {
    for (const PacketType type :
         {PacketType::unknown_flow, PacketType::refuse, PacketType::retry, PacketType::syn_ack}) {
      PacketHeader header = forged();
      header.type = type;
      header.number = PacketNumber{stranger().random().next32()};
      send(header, whole_message(1));
      world_->hosts.run_for(10us);
    }
  }
  /// All is as it should be but the peer's own flow id.
  void other_incarnation() {
    PacketHeader header = acknowledging();
    header.source_flow ^= 1U;
    header.number = PacketNumber{latest_[1 - victim_] + 1};
    send(header, reset_frame());
  }

 private:
  [[nodiscard]] Stranger& stranger() { return *world_->strangers[victim_]; }
  [[nodiscard]] PacketHeader forged() const {
    PacketHeader out;
    out.destination_flow = who_.local_id;
    out.source_flow = who_.peer_id;
    return out;
  }
  [[nodiscard]] PacketHeader acknowledging() const {
    PacketHeader out = forged();
    out.set(HeaderFlag::acks);
    out.largest_acked = PacketNumber{latest_[victim_]};
    return out;
  }
  void send(const PacketHeader& header, std::span<const std::byte> body) {
    stranger().send(world_->hosts[1 - victim_].address, header, body);
  }

  Attacked* world_;
  std::uint32_t victim_;
  FlowIdentity who_;
  std::array<std::uint32_t, 2> latest_{};
};

}  // namespace

TEST_CASE(
    "A21: even with the right flow ids a forged number, acknowledgement or RESET out of the "
    "window changes nothing",
    "[A21]") {
  const std::uint32_t victim = GENERATE(0U, target);
  CAPTURE(victim);
  Attacked world;
  NearMisses forger{world, victim};
  const std::string before = world.state();
  forger.out_of_window();
  world.hosts.run_for(100us);
  CHECK(world.state() == before);
  forger.other_types();
  forger.other_incarnation();
  world.hosts.run_for(100us);
  CHECK(world.state() == before);
  world.exchange();
  CHECK(world.stream.right());
  world.hosts.converge();
}

TEST_CASE("A21: packets of an old incarnation raise no flow, end none and deliver nothing",
          "[A21]") {
  HostsOptions options;
  Hosts<> hosts{options};
  Stranger stranger{hosts, target};
  std::vector<std::vector<std::byte>> recorded;
  hosts[0].watch = [&](Instant, std::span<const std::byte> frame) {
    if (load_be<std::uint16_t>(frame.data() + 12) == 0x0800)
      recorded.emplace_back(frame.begin() + frame_header_bytes, frame.end());
    return false;
  };
  Stream old{21, 1, 5000};
  const FlowKey first = hosts.connect(0, target);
  old.fill(hosts, 0, 0, first, 20);
  hosts.run_for(2ms);
  hosts[0].watch = nullptr;
  REQUIRE(recorded.size() > 10);

  // The peer's host starts again and has a flow to the target, which learns that the old one ended.
  hosts.restart(0);
  hosts.run_for(1ms);
  Stream stream{21, 2, 5000};
  hosts.app(target).on_event = [&](FlowKey, const FlowEvent& event) {
    if (event.kind == FlowEventKind::message) stream.arrived(event);
  };
  const FlowKey second = hosts.connect(0, target);
  stream.fill(hosts, 0, 0, second, 5);
  hosts.run_for(40s);  // past the idle limit of the old one; the new one keeps itself alive
  REQUIRE(hosts[target].engine.flow_count() == 1);
  const std::size_t accepted = hosts.app(target).accepted.size();
  for (int again = 0; again < 3; ++again)
    for (const auto& packet : recorded) {
      stranger.send_bytes(hosts[0].address, packet);
      hosts.run_for(5us);
    }
  hosts.run_for(1ms);
  CHECK(stream.arrived() == 5);
  CHECK(hosts.app(target).accepted.size() == accepted);
  CHECK(hosts.info(0, second).state == FlowState::open);
  stream.fill(hosts, 0, 0, second, 10);
  hosts.run_for(10ms);
  CHECK(stream.arrived() == 10);
  CHECK(stream.right());
  hosts.run_for(10s);  // what the old SYN opened half-way is reaped
  CHECK(hosts[target].engine.flow_count() == 1);
  hosts.converge({text(Reason::peer_restarted)});
}

namespace {

/// The target has answered the client's SYN; nothing else of the client's arrives.
struct HalfOpen {
  HalfOpen() : hosts(HostsOptions{}), stranger(hosts, target) {
    hosts[0].watch = [this](Instant, std::span<const std::byte> frame) {
      if (load_be<std::uint16_t>(frame.data() + 12) != 0x0800) return false;
      const PacketHeader header = header_of(frame);
      if (header.type != PacketType::syn || std::exchange(syn_left, true)) return true;
      syn_number = header.number;
      return false;
    };
    hosts[target].watch = [this](Instant, std::span<const std::byte> frame) {
      const PacketHeader header = header_of(frame);
      if (header.type == PacketType::syn_ack) syn_ack_number = header.number;
      return false;
    };
    hosts.app(target).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind == FlowEventKind::message) stream.arrived(event);
    };
    flow = hosts.connect(0, target);
    hosts[target].engine.for_each_flow(
        [this](FlowKey, AppCookie, const auto& f) { who = f.identity(); });
  }
  [[nodiscard]] bool still_half_open() {
    bool out = hosts[target].engine.flow_count() == 1 && hosts.app(target).established.empty();
    hosts[target].engine.for_each_flow([&out](FlowKey, AppCookie, const auto& f) {
      out = out && f.state() == FlowState::syn_received;
    });
    return out;
  }
  /// Both flow ids are right and the packet's number is the next one.
  void forge(std::uint32_t i, bool acknowledges) {
    PacketHeader header;
    header.destination_flow = who.local_id;
    header.source_flow = who.peer_id;
    header.number = PacketNumber{syn_number.wire() + 1 + i};
    if (acknowledges) {
      header.set(HeaderFlag::acks);
      header.largest_acked =
          PacketNumber{syn_ack_number.wire() + 1000 + stranger.random().next32() / 2};
    }
    stranger.send(hosts[0].address, header, i % 2 == 0 ? reset_frame() : whole_message(0));
    hosts.run_for(2us);
  }
  Hosts<> hosts;
  Stranger stranger;
  Stream stream{21, 3, 10'000};
  FlowKey flow;
  FlowIdentity who;
  bool syn_left = false;
  PacketNumber syn_number{}, syn_ack_number{};
};

}  // namespace

TEST_CASE("A21: only who has seen the SYN-ACK opens or ends a half-open flow",
          "[A21][rfc9293-3.10.7.4]") {
  const bool acknowledges = GENERATE(false, true);
  CAPTURE(acknowledges);
  HalfOpen world;
  REQUIRE(world.still_half_open());
  for (std::uint32_t i = 0; i < 400; ++i) {
    world.forge(i, acknowledges);
    REQUIRE(world.still_half_open());
  }
  world.hosts[0].watch = nullptr;  // the client's own packets come through
  world.stream.fill(world.hosts, 0, 0, world.flow, 10);
  CHECK(
      world.hosts.run_until([&] { return world.stream.arrived() == 10; }, world.hosts.now() + 1s));
  CHECK(world.stream.right());
  world.hosts.converge();
}
