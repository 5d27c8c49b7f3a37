// Tests of engine/interface.hpp: who claims an address of ours, a duplicate or a network that
// answers for every address.
#include <map>

#include "interface_support.hpp"

using namespace interface_tests;

namespace {

const MacAddress fabric{{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}};
const MacAddress second_fabric{{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbd}};
const MacAddress twin{{2, 0, 0, 0, 0, 0x77}};

InterfaceOptions behind_gateway(bool ipv6) {
  InterfaceOptions options;
  options.mac = mac_a;
  if (ipv6) {
    options.addresses = {{*parse_ip("fd00::a"), 64}};
    options.routes = {default_route(*parse_ip("fe80::1"))};
  } else {
    options.addresses = {{ip_a, 24}};
    options.routes = {default_route(IpAddress::v4(10, 0, 0, 254))};
  }
  return options;
}

InterfaceOptions behind_two_gateways(bool ipv6) {
  InterfaceOptions options = behind_gateway(ipv6);
  if (ipv6)
    options.routes.push_back({{*parse_ip("fd01::"), 16}, *parse_ip("fe80::2")});
  else
    options.routes.push_back({{IpAddress::v4(10, 1, 0, 0), 16}, IpAddress::v4(10, 0, 0, 253)});
  return options;
}

/// What a station at `mac` that has every address of the network says to a frame; empty: nothing.
std::vector<std::byte> answer_for_everybody(ByteView frame, const MacAddress& mac) {
  const auto in = parse_ethernet(frame);
  REQUIRE(in);
  if (in->type == EtherType::arp) {
    const auto asked = parse_arp(in->payload);
    REQUIRE(asked);
    std::vector<std::byte> out(14 + arp_bytes);
    const std::span to{out};
    write_ethernet(to.first<14>(), mac_a, mac, EtherType::arp);
    write_arp(to.subspan<14, arp_bytes>(),
              {ArpOperation::reply, mac, asked->target_ip, asked->sender_mac, asked->sender_ip});
    return out;
  }
  const auto ip = parse_ipv6(in->payload);
  REQUIRE(ip);
  const auto icmp = parse_icmpv6(*ip);
  if (!icmp || icmp->type != Icmpv6Type::neighbour_solicitation) return {};
  const auto asked = parse_neighbour(*ip, *icmp);
  REQUIRE(asked);
  const bool probe = ip->source.is_unset();
  const NeighbourMessage said{true, !probe, true, asked->target, mac};
  std::vector<std::byte> out(14 + ipv6_header_bytes + neighbour_message_bytes_max);
  const MutableBytes rest =
      write_link(out, {probe ? ipv6::multicast_mac(ipv6::all_nodes) : mac_a, mac}, EtherType::ipv6);
  write_neighbour(rest, asked->target, probe ? ipv6::all_nodes : ip->source, said);
  return out;
}

/// Nine seconds on a wire where `mac` answers for every address that `wanted` says.
template <class Wanted>
void live(Interface& a, const MacAddress& mac, Wanted&& wanted, Instant from = Instant{1s}) {
  for (Instant now = from; now < from + 9s; now += 50ms)
    for (auto frame = control_frame(a, now); !frame.empty(); frame = control_frame(a, now)) {
      const auto answer = answer_for_everybody(frame, mac);
      if (!answer.empty() && wanted(frame)) static_cast<void>(see(a, answer, now));
    }
}

struct Answerer {
  MacAddress mac;
  Duration behind{};  // a question
};

/// Nineteen seconds on a wire where several stations answer for every address.
void live_between(Interface& a, const std::vector<Answerer>& stations, Instant from = Instant{1s}) {
  std::multimap<Instant, std::vector<std::byte>> under_way;
  for (Instant now = from; now < from + 19s; now += 10ms) {
    for (auto frame = control_frame(a, now); !frame.empty(); frame = control_frame(a, now))
      for (const auto& [mac, behind] : stations)
        if (auto answer = answer_for_everybody(frame, mac); !answer.empty())
          under_way.emplace(now + behind, std::move(answer));
    for (auto next = under_way.begin(); next != under_way.end() && next->first <= now;
         next = under_way.erase(next))
      static_cast<void>(see(a, next->second, now));
  }
}

/// A station that claims an address of a's once.
void claim(Interface& a, bool ipv6, const MacAddress& by, Instant now) {
  Interface asks = make(behind_gateway(ipv6));
  const auto frame = control_frame(asks, now);  // of IPv4 an announcement, of IPv6 a probe
  CHECK(see(a, answer_for_everybody(frame, by), now).kind == Arrived::refused);
}

}  // namespace

TEST_CASE("A network that answers for every address, ours included, is no duplicate address",
          "[engine][interface][rfc5227-2.4]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    Interface a = make(behind_gateway(ipv6));
    live(a, fabric, [](const auto&) { return true; });
    CHECK(a.counters().address_conflicts == 0);
    CHECK(a.counters().proxy_claims >= 1);
    CHECK(a.next_timeout() == never);  // nothing is said against it again and again
    // And later, when the gateway is known, at once.
    const auto before = a.counters().proxy_claims;
    claim(a, ipv6, fabric, Instant{12s});
    CHECK(a.counters().proxy_claims == before + 1);
    CHECK(a.next_timeout() == never);
  }
}

TEST_CASE("Another station with our address is told from a gateway that answers for everybody",
          "[engine][interface][rfc5227-2.4]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    Interface a = make(behind_gateway(ipv6));
    live(a, fabric, [](const auto&) { return true; });
    claim(a, ipv6, twin, Instant{12s});
    CHECK(a.counters().address_conflicts == 1);
    CHECK(control_frame(a, Instant{12s}).size() > 0);  // defended
  }
}

TEST_CASE("A claim is a conflict when no gateway says within a second that it was its own",
          "[engine][interface]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    auto options = behind_gateway(ipv6);
    options.announce = false;
    Interface a = make(options);
    claim(a, ipv6, twin, Instant{20s});
    claim(a, ipv6, twin, Instant{20s});
    CHECK(a.counters().address_conflicts == 0);
    CHECK_FALSE(control_frame(a, Instant{20s}).empty());  // it asks who the gateway is
    CHECK(a.next_timeout() <= Instant{21s});
    for (Instant now{20s}; now <= Instant{21s}; now += 10ms)
      while (!control_frame(a, now).empty()) {
      }
    CHECK(a.counters().address_conflicts == 2);
    CHECK(a.counters().proxy_claims == 0);
  }
}

TEST_CASE("Where no gateway is known of, every claim is a conflict at once",
          "[engine][interface]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    auto options = behind_gateway(ipv6);
    options.routes.clear();
    Interface a = make(options);
    claim(a, ipv6, fabric, Instant{20s});
    CHECK(a.counters().address_conflicts == 1);
  }
}

TEST_CASE("Two stations that claim an address while the gateway is unknown are judged each",
          "[engine][interface]") {
  Interface a = make(behind_gateway(false));
  claim(a, false, twin, Instant{20s});
  claim(a, false, fabric, Instant{20s});
  live(
      a, fabric,
      [](const auto& frame) {
        return parse_arp(parse_ethernet(frame)->payload)->target_ip != ip_a;  // the gateway answers
      },
      Instant{20s});
  claim(a, false, fabric, Instant{30s});
  CHECK(a.counters().address_conflicts == 1);
  CHECK(a.counters().proxy_claims == 2);
}

TEST_CASE(
    "Two gateways that answer for every address are no duplicates, in whatever order they speak",
    "[engine][interface][rfc5227-2.4]") {
  for (const bool ipv6 : {false, true})
    for (const Duration behind : {0ms, 10ms, 400ms}) {
      CAPTURE(ipv6, behind);
      Interface a = make(behind_two_gateways(ipv6));
      live_between(a, {{fabric, 0ms}, {second_fabric, behind}});
      CHECK(a.counters().address_conflicts == 0);
      CHECK(a.counters().proxy_claims >= 2);
      CHECK(a.next_timeout() == never);
      claim(a, ipv6, fabric, Instant{22s});  // and later at once, though one MAC was heard last
      claim(a, ipv6, second_fabric, Instant{22s});
      CHECK(a.counters().address_conflicts == 0);
      claim(a, ipv6, twin, Instant{22s});
      CHECK(a.counters().address_conflicts == 1);
    }
}

TEST_CASE("A duplicate is told from two gateways that answer for every address",
          "[engine][interface][rfc5227-2.4]") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    Interface a = make(behind_two_gateways(ipv6));
    claim(a, ipv6, second_fabric, Instant{1s});
    claim(a, ipv6, twin, Instant{1s});
    claim(a, ipv6, fabric, Instant{1s});
    live_between(a, {{fabric, 0ms}, {second_fabric, 20ms}});
    CHECK(a.counters().address_conflicts == 1);
    CHECK(a.counters().proxy_claims >= 4);
  }
}

TEST_CASE("More stations than wait for judgement: the first are judged before their time",
          "[engine][interface]") {
  Interface a = make(behind_gateway(false));
  for (std::uint8_t i = 0; i < 6; ++i)
    claim(a, false, MacAddress{{2, 0, 0, 0, 1, i}}, Instant{20s} + i * 1ms);
  CHECK(a.counters().address_conflicts == 2);
  live_between(a, {}, Instant{20s});
  CHECK(a.counters().address_conflicts == 6);
}
