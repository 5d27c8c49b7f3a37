// TEST-MATRIX A19: the path's MTU shrinks to 1280 without a word, and comes back.
#include "hosts.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// RFC 9002 6.2.1, as ARCHITECTURE has it: what the sender waits before its second probe.
Duration probe_timeout_of(const FlowInfo& info) {
  return info.smoothed_rtt + std::max<Duration>(4 * info.rtt_variation, 20us) + 25us;
}

/// Says "fragmentation needed" (RFC 1191) of frames it cannot carry, as a router on the way would.
class Router {
 public:
  explicit Router(SimNetwork& network)
      : port_(network, {.mac = mac, .frame_bytes_max = 1514}), nic_(port_.nic()) {}

  /// `next_mtu` is what it claims; nobody should believe that.
  void complain(Instant now, std::span<const std::byte> frame, std::uint16_t next_mtu) {
    const auto quoted =
        frame.subspan(ethernet_header_bytes, std::min<std::size_t>(548, frame.size() - 14));
    Packet out[1];
    REQUIRE(nic_.allocate(out) == 1);
    const std::size_t icmp_bytes = icmp_header_bytes + quoted.size();
    out[0].set_length(static_cast<std::uint32_t>(34 + icmp_bytes));
    const auto bytes = out[0].bytes();
    MacAddress to;
    std::memcpy(to.octets.data(), frame.data() + 6, 6);
    write_ethernet(bytes.first<ethernet_header_bytes>(), to, mac, EtherType::ipv4);
    write_ipv4(
        bytes.subspan<ethernet_header_bytes, ipv4_header_bytes>(),
        {IpAddress::v4(10, 0, 0, 254), IpAddress::v4(load_be<std::uint32_t>(frame.data() + 26)),
         IpProtocol::icmp, Ecn::not_capable, static_cast<std::uint16_t>(icmp_bytes)});
    const auto icmp = bytes.subspan(34);
    std::fill(icmp.begin(), icmp.begin() + icmp_header_bytes, std::byte{0});
    icmp[0] = std::byte{3};
    icmp[1] = std::byte{4};
    store_be(icmp.data() + 6, next_mtu);
    std::copy(quoted.begin(), quoted.end(), icmp.begin() + icmp_header_bytes);
    store_be(icmp.data() + 2, internet_checksum(icmp));
    (void)nic_.rx_burst(now, {});
    (void)nic_.tx_burst(now, out);
  }

 private:
  static constexpr MacAddress mac{{2, 0, 0, 0, 3, 1}};
  SimPort port_;
  SimNic nic_;
};

struct Narrowing {
  explicit Narrowing(std::uint32_t mtu_bytes, bool ipv6 = false)
      : hosts(HostsOptions{.mtu_bytes = mtu_bytes, .ipv6 = ipv6}),
        stream(mtu_bytes, 0, 64 * 1024),
        full_bytes(mtu_bytes - (ipv6 ? 48 : 28)) {
    for (std::uint32_t i = 0; i < 2; ++i)
      hosts[i].watch = [this](Instant now, std::span<const std::byte> frame) {
        const bool too_big = frame.size() - ethernet_header_bytes > path_mtu_bytes;
        if ((too_big && tells) || lies) {
          router.complain(now, frame, 68);
          ++told;
        }
        return too_big;
      };
    hosts.app(1).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind == FlowEventKind::message) stream.arrived(event);
    };
    flow = hosts.connect(0, 1);
  }
  /// Sends without a pause; true once `done`.
  template <class Done>
  bool busy_until(Done done, Duration limit) {
    const Instant end = hosts.now() + limit;
    while (!done()) {
      stream.fill(hosts, 0, 0, flow);
      if (hosts.now() >= end) return false;
      hosts.run_for(5us);
    }
    return true;
  }

  /// Past its search for the largest size.
  void reach_full_size() {
    REQUIRE(busy_until([this] { return has_full_size(); }, 1ms));
    busy_until([] { return false; }, 5ms);
    REQUIRE(stream.arrived() > 50);
  }
  [[nodiscard]] bool has_full_size() { return hosts.info(0, flow).packet_bytes == full_bytes; }

  Hosts<> hosts;
  Stream stream;
  std::uint32_t full_bytes;  // of Proa packets
  Router router{hosts.network()};
  std::uint32_t path_mtu_bytes = 9000;
  bool tells = false;  // the router on the way says what it could not carry
  bool lies = false;   // somebody says so of every packet
  std::uint32_t told = 0;
  FlowKey flow;
};

void shrink_and_grow(std::uint32_t mtu_bytes, bool ipv6) {
  CAPTURE(ipv6);
  Narrowing world{mtu_bytes, ipv6};
  auto& hosts = world.hosts;
  const auto full_size = [&] { return world.has_full_size(); };
  world.reach_full_size();

  const FlowInfo before = hosts.info(0, world.flow);
  const std::uint64_t arrived = world.stream.arrived();
  const Instant shrunk_at = hosts.now();
  world.path_mtu_bytes = 1280;
  // What was on its way still arrives; repaired is the first message that went the new way.
  hosts.run_for(60us);
  const std::uint64_t under_way = world.stream.arrived();
  const auto repaired = [&] { return world.stream.arrived() > under_way + 1; };
  REQUIRE(world.busy_until(repaired, 10ms));
  const double timeouts = static_cast<double>((hosts.now() - shrunk_at).count()) /
                          static_cast<double>(probe_timeout_of(before).count());
  WARN("MTU " << mtu_bytes << ": repaired after " << timeouts << " PTO");
  CHECK(timeouts <= 6.0);
  CHECK(under_way >= arrived);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);

  // A flow made meanwhile begins at the smaller size: the engine remembers.
  const FlowKey other = hosts.connect(0, 1);
  CHECK(hosts.info(0, other).packet_bytes == 1232);

  // The search below the lost size ends without result; one more begins a second later.
  world.busy_until([] { return false; }, 5ms);
  world.path_mtu_bytes = 9000;
  hosts.run_for(1s);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);
  CHECK(world.busy_until(full_size, 200us));
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  CHECK(hosts.run_until(all_arrived, hosts.now() + 1s));
  CHECK(world.stream.right());
  hosts.converge();
}

}  // namespace

TEST_CASE("A19: a path of 1500 bytes that shrinks to 1280 is repaired within 6 PTO, and grows back",
          "[A19]") {
  shrink_and_grow(1500, GENERATE(false, true));
}
TEST_CASE("A19: a path of 9000 bytes that shrinks to 1280 is repaired within 6 PTO, and grows back",
          "[A19]") {
  shrink_and_grow(9000, GENERATE(false, true));
}

namespace {

/// How many probe timeouts it takes until a message is there that is sent into the narrow path.
double timeouts_for_one(Narrowing& world) {
  const Duration timeout = probe_timeout_of(world.hosts.info(0, world.flow));
  const Instant began = world.hosts.now();
  const std::uint64_t last = world.stream.offered() + 1;
  world.stream.fill(world.hosts, 0, 0, world.flow, last);
  const auto arrived = [&] { return world.stream.arrived() == last; };
  REQUIRE(world.hosts.run_until(arrived, began + 1s));
  return static_cast<double>((world.hosts.now() - began).count()) /
         static_cast<double>(timeout.count());
}

}  // namespace

TEST_CASE("A19: a path that shrank before a flow connects is repaired", "[A19]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  Narrowing world{9000, ipv6};
  auto& hosts = world.hosts;
  world.reach_full_size();
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  REQUIRE(hosts.run_until(all_arrived, hosts.now() + 1s));
  hosts.run_for(3s);
  world.path_mtu_bytes = 1280;
  hosts.run_for(1s);
  world.flow = hosts.connect(0, 1);  // the engine remembers the larger size
  REQUIRE(world.has_full_size());
  const double timeouts = timeouts_for_one(world);
  WARN("after " << timeouts << " PTO");
  CHECK(timeouts <= 6.0);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);
  CHECK(world.stream.right());
  hosts.converge();
}

TEST_CASE("A19: a path that shrinks while a flow is idle is repaired within 6 PTO", "[A19]") {
  const bool ipv6 = GENERATE(false, true);
  const std::uint32_t mtu_bytes = GENERATE(1500U, 9000U);
  const std::uint32_t message_bytes = GENERATE(2'000U, 8'000U, 64U << 10U, 1U << 20U);
  CAPTURE(ipv6, mtu_bytes, message_bytes);
  Narrowing world{mtu_bytes, ipv6};
  auto& hosts = world.hosts;
  world.reach_full_size();
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  REQUIRE(hosts.run_until(all_arrived, hosts.now() + 1s));
  hosts.run_for(3s);
  world.path_mtu_bytes = 1280;
  hosts.run_for(1s);
  REQUIRE(world.has_full_size());
  world.stream = Stream{mtu_bytes, 0, message_bytes};
  const double timeouts = timeouts_for_one(world);
  double next = timeouts_for_one(world);
  // Of the second one packet more is lost, if both have just one.
  CHECK(next <= 6.0);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);
  next = timeouts_for_one(world);
  WARN((ipv6 ? "IPv6, " : "IPv4, ") << mtu_bytes << ", " << message_bytes << " bytes: after "
                                    << timeouts << " PTO, else " << next);
  // The longest one takes 4 PTO on a narrow path anyhow.
  CHECK(timeouts - (message_bytes > (64U << 10U) ? next : 0.0) <= 6.0);
  CHECK(next <= 6.0);
  CHECK(world.stream.right());
  hosts.converge();
}

TEST_CASE("A19: a path of 9000 bytes that shrinks to 1500 is repaired though the rest still passes",
          "[A19]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  Narrowing world{9000, ipv6};
  auto& hosts = world.hosts;
  world.reach_full_size();
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  REQUIRE(hosts.run_until(all_arrived, hosts.now() + 1s));
  world.path_mtu_bytes = 1500;
  world.stream = Stream{9000, 0, 10'300};  // a packet too large and one of some 1400 bytes
  double timeouts = 0;
  for (int i = 0; i < 3; ++i) timeouts = std::max(timeouts, timeouts_for_one(world));
  WARN((ipv6 ? "IPv6" : "IPv4") << ": at most " << timeouts << " PTO a message");
  CHECK(timeouts <= 6.0);
  CHECK(hosts.info(0, world.flow).packet_bytes < 1500);
  for (int i = 0; i < 20; ++i) CHECK(timeouts_for_one(world) <= 6.0);
  CHECK(hosts.info(0, world.flow).packet_bytes == (ipv6 ? 1452 : 1472));
  CHECK(world.stream.right());
  hosts.converge();
}

TEST_CASE("A19: told by the network that packets are too big a flow repairs within 2 PTO",
          "[A19]") {
  Narrowing world{9000};
  auto& hosts = world.hosts;
  REQUIRE(world.busy_until([&] { return hosts.info(0, world.flow).packet_bytes == 8972; }, 1ms));
  world.busy_until([] { return false; }, 5ms);
  const FlowInfo before = hosts.info(0, world.flow);
  world.tells = true;
  world.path_mtu_bytes = 1280;
  const Instant shrunk_at = hosts.now();
  const auto smaller = [&] { return hosts.info(0, world.flow).packet_bytes == 1232; };
  REQUIRE(world.busy_until(smaller, 10ms));
  const double timeouts = static_cast<double>((hosts.now() - shrunk_at).count()) /
                          static_cast<double>(probe_timeout_of(before).count());
  WARN("told: smaller after " << timeouts << " PTO");
  CHECK(world.told > 0);
  CHECK(timeouts <= 2.0);
  world.busy_until([] { return false; }, 2ms);
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  CHECK(hosts.run_until(all_arrived, hosts.now() + 1s));
  CHECK(world.stream.right());
  hosts.converge();
}

TEST_CASE("A19: a forged word that packets are too big is not believed", "[A19]") {
  Narrowing world{9000};
  auto& hosts = world.hosts;
  REQUIRE(world.busy_until([&] { return hosts.info(0, world.flow).packet_bytes == 8972; }, 1ms));
  world.lies = true;
  world.busy_until([] { return false; }, 2ms);
  CHECK(world.told > 100);
  CHECK(hosts.info(0, world.flow).packet_bytes == 8972);
  world.lies = false;
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  CHECK(hosts.run_until(all_arrived, hosts.now() + 1s));
  hosts.converge();
}
