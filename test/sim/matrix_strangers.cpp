// TEST-MATRIX A16 and A21: what somebody achieves who is no peer: spoofed SYNs, blind injection.
#include <proa/base/prng.hpp>
#include <proa/wire/setup.hpp>

#include "hosts.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t target = 1;
constexpr std::size_t ip_bytes = ipv4_header_bytes + udp_header_bytes;

/// Puts frames on the network whose IP source is whoever it likes.
class Stranger {
 public:
  explicit Stranger(Hosts<>& hosts)
      : hosts_(&hosts),
        port_(hosts.network(), {.mac = own_mac, .frame_bytes_max = 1514}),
        nic_(port_.nic()) {}

  /// A sealed Proa packet to the target, from `source`.
  void send(const IpAddress& source, PacketHeader header, std::span<const std::byte> body,
            std::size_t padded_to = 0) {
    std::vector<std::byte> packet(
        std::max(PacketHeader::size + body.size() + Crc32c::trailer_bytes, padded_to));
    header.write(std::span{packet}.first<PacketHeader::size>());
    std::copy(body.begin(), body.end(), packet.begin() + PacketHeader::size);
    Crc32c::seal(packet);
    send_bytes(source, packet);
  }
  void send_bytes(const IpAddress& source, std::span<const std::byte> packet) {
    Packet out[1];
    REQUIRE(nic_.allocate(out) == 1);
    const auto frame = out[0].storage();
    std::copy(packet.begin(), packet.end(), frame.begin() + frame_header_bytes);
    out[0].set_length(static_cast<std::uint32_t>(frame_header_bytes + packet.size()));
    const auto udp = static_cast<std::uint16_t>(49'152 + random_.below(1000));
    const HeaderTemplate headers{
        {source, (*hosts_)[target].address, {udp, 50'000}, Ecn::not_capable},
        {(*hosts_)[target].port.options().mac, own_mac}};
    (void)headers.finish(out[0].bytes(), UdpChecksumBy::zero);
    (void)nic_.rx_burst(hosts_->now(), {});
    REQUIRE(nic_.tx_burst(hosts_->now(), out) == 1);
    sent_bytes_ += ip_bytes + packet.size();
    ++sent_;
  }
  void send_syn(const IpAddress& source, std::uint32_t flow, std::uint32_t number,
                std::uint32_t incarnation = 1) {
    PacketHeader header;
    header.type = PacketType::syn;
    header.source_flow = flow;
    header.number = PacketNumber{number};
    SynBody syn;
    syn.incarnation = incarnation;
    syn.server_port = listen_port;
    syn.client_port = 9;
    syn.message_bytes_max = 1U << 20U;
    syn.idle_limit_ms = 30'000;
    std::array<std::byte, 64> body{};
    send(source, header, std::span{body}.first(syn.write(body)), syn_bytes);
  }
  [[nodiscard]] std::uint64_t sent_bytes() const noexcept { return sent_bytes_; }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  [[nodiscard]] Prng& random() noexcept { return random_; }

 private:
  static constexpr MacAddress own_mac{{2, 0, 0, 0, 1, 1}};
  Hosts<>* hosts_;
  SimPort port_;
  SimNic nic_;
  Prng random_{21};
  std::uint64_t sent_bytes_ = 0, sent_ = 0;
};

/// Counts the IP bytes the target sends to addresses from 10.0.0.100 on.
struct Victims {
  explicit Victims(Hosts<>& hosts) {
    hosts[target].watch = [this](Instant, std::span<const std::byte> frame) {
      if (load_be<std::uint16_t>(frame.data() + 12) != 0x0800) return false;
      if (std::to_integer<int>(frame[33]) < 100) return false;
      bytes += frame.size() - ethernet_header_bytes;
      ++packets;
      return false;
    };
  }
  std::uint64_t bytes = 0, packets = 0;
};

IpAddress victim(std::uint32_t i) {
  return IpAddress::v4(10, 0, 0, static_cast<std::uint8_t>(100 + i % 100));
}

/// `syns` spoofed SYNs, `each` of them `repeats` times; then nobody answers.
void spoof(std::uint32_t syns, std::uint32_t repeats) {
  HostsOptions options;
  options.flows_max = 8192;
  Hosts<> hosts{options};
  Victims victims{hosts};
  Stranger stranger{hosts};
  // The victims' own hosts answer ARP, as they do in the world: else nothing would be sent back.
  for (std::uint32_t i = 0; i < std::min(syns, 100U); ++i)
    hosts[target].engine.interface().hear(
        {victim(i), MacAddress{{2, 0, 0, 0, 2, static_cast<std::uint8_t>(i)}}}, hosts.now());
  for (std::uint32_t i = 0; i < syns; ++i) {
    (void)hosts[target].engine.interface().reach(victim(i), hosts.now());
    hosts[target].engine.interface().hear(
        {victim(i), MacAddress{{2, 0, 0, 0, 2, static_cast<std::uint8_t>(i % 100)}}}, hosts.now());
    for (std::uint32_t n = 0; n < repeats; ++n) {
      stranger.send_syn(victim(i), 77 + i, 1000 + n);
      hosts.run_for(2us);
    }
  }
  hosts.run_for(7s);  // past the limit for half-open flows
  WARN(syns << " SYNs, each " << repeats << " times: "
            << static_cast<double>(victims.bytes) / static_cast<double>(stranger.sent_bytes())
            << "x the bytes back");
  CHECK(victims.packets > 0);  // it was answered at all
  CHECK(victims.bytes <= 3 * stranger.sent_bytes());
  CHECK(hosts.app(target).established.empty());
  CHECK(hosts[target].engine.flow_count() == 0);  // half-open flows are reaped
  hosts.converge();
}

}  // namespace

TEST_CASE("A16: a spoofed SYN brings its victim at most three times its bytes", "[A16]") {
  spoof(1, 1);
  spoof(1, 50);
  spoof(100, 1);
}
TEST_CASE("A16: a flood of spoofed SYNs brings less back than it costs, and none is kept",
          "[A16]") {
  spoof(in_full() ? 100'000 : 5'000, 1);
}

namespace {

/// A flow under way, whose states are compared before and after somebody tried something.
struct Attacked {
  Attacked() : hosts(HostsOptions{}), stranger(hosts) {
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
  /// Everything of the server's end that anybody outside can bring about.
  [[nodiscard]] std::string state() {
    const FlowInfo i = hosts.info(target, server);
    std::string out = std::to_string(static_cast<int>(i.state)) + " ";
    for (const std::uint64_t v :
         {std::uint64_t{i.window_bytes}, std::uint64_t{i.in_flight_bytes}, i.packets_received,
          i.packets_sent, i.messages_received, std::uint64_t{i.credit_left_bytes}, i.packets_lost,
          std::uint64_t{i.packet_bytes}, i.spurious_losses, i.probes, i.resent_bytes})
      out += std::to_string(v) + " ";
    return out + std::to_string(i.smoothed_rtt.count());
  }
  Hosts<> hosts;
  Stranger stranger;
  Stream stream{21, 0, 10'000};
  FlowKey flow, server;
};

std::vector<std::byte> reset_frame() { return {std::byte{9}, std::byte{35}}; }
std::vector<std::byte> whole_message(std::uint32_t number) {
  std::vector<std::byte> out(whole_frame_bytes + 8);
  FrameWriter frames{out};
  const auto payload = frames.whole(MessageNumber{number}, 8);
  std::fill(payload.begin(), payload.end(), std::byte{0x66});
  return out;
}

}  // namespace

TEST_CASE("A21: who knows addresses and ports but no flow id changes nothing", "[A21]") {
  Attacked world;
  auto& [hosts, stranger, stream, flow, server] = world;
  const std::string before = world.state();
  const auto answers_before = hosts[target].engine.counters().answers_unknown_flow;
  const Instant began = hosts.now();
  const std::uint32_t tries = in_full() ? 1'000'000 : 50'000;
  std::uint32_t right_id = 0;
  hosts[target].engine.for_each_flow(
      [&right_id](FlowKey, AppCookie, const auto& f) { right_id = f.identity().local_id; });
  for (std::uint32_t i = 0; i < tries; ++i) {
    PacketHeader header;
    constexpr std::array types{PacketType::data,    PacketType::data,   PacketType::unknown_flow,
                               PacketType::syn_ack, PacketType::refuse, PacketType::retry};
    header.type = types[stranger.random().below(types.size())];
    header.destination_flow = stranger.random().next32();
    if (header.destination_flow == right_id) continue;  // that would be knowing it
    header.source_flow = stranger.random().next32();
    header.number = PacketNumber{stranger.random().next32()};
    header.set(HeaderFlag::acks);
    header.largest_acked = PacketNumber{stranger.random().next32()};
    header.credit = CreditLimit{stranger.random().next32()};
    const auto body = i % 2 == 0 ? reset_frame() : whole_message(i);
    stranger.send(hosts[0].address, header, body);
    if (i % 16 == 0) hosts.run_for(4us);
  }
  hosts.run_for(100us);
  CHECK(world.state() == before);
  // Rate-limited: 10,000 answers a second and a burst of 64, all peers together.
  const double seconds = static_cast<double>((hosts.now() - began).count()) / 1e9;
  const auto answers = hosts[target].engine.counters().answers_unknown_flow - answers_before;
  CHECK(static_cast<double>(answers) <= 64 + 10'000 * seconds + 1);
  CHECK(answers > 0);
  world.exchange();
  CHECK(stream.right());
  hosts.converge();
}

TEST_CASE(
    "A21: even with the right flow ids a forged number, acknowledgement or RESET out of the "
    "window changes nothing",
    "[A21]") {
  Attacked world;
  auto& [hosts, stranger, stream, flow, server] = world;
  FlowIdentity who;
  hosts[target].engine.for_each_flow(
      [&](FlowKey, AppCookie, const auto& f) { who = f.identity(); });
  std::array<std::uint32_t, 2> latest_number{};
  const auto forged = [&] {
    PacketHeader header;
    header.destination_flow = who.local_id;
    header.source_flow = who.peer_id;
    return header;
  };
  const auto sends = [&](std::uint32_t host) {
    return [&latest = latest_number[host]](Instant, std::span<const std::byte> frame) {
      if (frame.size() > frame_header_bytes + 16)
        latest = load_be<std::uint32_t>(frame.data() + frame_header_bytes + 12);
      return false;
    };
  };
  for (const std::uint32_t host : {0U, target}) hosts[host].watch = sends(host);
  world.exchange();
  const std::string before = world.state();
  constexpr std::uint32_t window = packet_number_window;
  for (int i = 0; i < 2000; ++i) {
    PacketHeader header = forged();
    const auto beyond =
        static_cast<std::uint32_t>(stranger.random().below(0xffff'ffffU - 2 * window - 2));
    header.number = PacketNumber{latest_number[0] + window + 1 + beyond};
    header.set(HeaderFlag::acks);
    header.largest_acked = PacketNumber{latest_number[target]};
    if (i % 2 == 0) {  // in the window, but it acknowledges what was never sent
      header.number = PacketNumber{latest_number[0] + 1 + static_cast<std::uint32_t>(i)};
      header.largest_acked = PacketNumber{latest_number[target] + 1 + beyond / 2};
    }
    stranger.send(hosts[0].address, header, reset_frame());
    if (i % 8 == 0) hosts.run_for(2us);
  }
  hosts.run_for(100us);
  CHECK(world.state() == before);
  // UNKNOWN_FLOW that names no packet in flight, a wrong source, an answer to no SYN of ours.
  for (const PacketType type :
       {PacketType::unknown_flow, PacketType::refuse, PacketType::retry, PacketType::syn_ack}) {
    PacketHeader header = forged();
    header.type = type;
    header.number = PacketNumber{stranger.random().next32()};
    stranger.send(hosts[0].address, header, whole_message(1));
    hosts.run_for(10us);
  }
  // Another incarnation of the peer: all is as it should be but its own flow id.
  PacketHeader other = forged();
  other.source_flow ^= 1U;
  other.number = PacketNumber{latest_number[0] + 1};
  other.set(HeaderFlag::acks);
  other.largest_acked = PacketNumber{latest_number[target]};
  stranger.send(hosts[0].address, other, reset_frame());
  hosts.run_for(100us);
  CHECK(world.state() == before);
  world.exchange();
  CHECK(stream.right());
  hosts.converge();
}

TEST_CASE("A21: packets of an old incarnation raise no flow, end none and deliver nothing",
          "[A21]") {
  HostsOptions options;
  Hosts<> hosts{options};
  Stranger stranger{hosts};
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
  hosts.converge();
}
