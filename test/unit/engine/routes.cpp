// Tests of engine/routes.hpp.
#include <catch2/catch.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/engine/routes.hpp>

using namespace proa;

namespace {

IpAddress ip(const char* text) { return *parse_ip(text); }
Route on_link(const char* prefix) { return {*parse_prefix(prefix), std::nullopt}; }
Route via(const char* prefix, const char* gateway) { return {*parse_prefix(prefix), ip(gateway)}; }

InterfaceOptions options_with(std::vector<const char*> addresses, std::vector<Route> routes = {}) {
  InterfaceOptions options;
  options.mac = {{2, 0, 0, 0, 0, 1}};
  for (const char* a : addresses) options.addresses.push_back(*parse_prefix(a));
  options.routes = std::move(routes);
  return options;
}

InterfacePlan plan_with(std::vector<const char*> addresses, std::vector<Route> routes = {}) {
  auto plan = InterfacePlan::make(options_with(std::move(addresses), std::move(routes)));
  if (!plan) FAIL(plan.error());
  return *plan;
}

std::string refusal(const InterfaceOptions& options) {
  const auto plan = InterfacePlan::make(options);
  return plan ? "accepted" : plan.error();
}

}  // namespace

TEST_CASE("a prefix covers exactly the addresses that share its bits", "[engine][routes]") {
  const auto p = [](const char* text) { return *parse_prefix(text); };
  CHECK(covers(p("0.0.0.0/0"), ip("1.2.3.4")));
  CHECK_FALSE(covers(p("0.0.0.0/0"), ip("fd00::1")));
  CHECK(covers(p("::/0"), ip("fd00::1")));
  CHECK_FALSE(covers(p("::/0"), ip("1.2.3.4")));
  CHECK(covers(p("10.0.0.7/24"), ip("10.0.0.255")));
  CHECK_FALSE(covers(p("10.0.0.7/24"), ip("10.0.1.0")));
  CHECK(covers(p("10.0.0.128/25"), ip("10.0.0.129")));
  CHECK_FALSE(covers(p("10.0.0.128/25"), ip("10.0.0.127")));
  CHECK(covers(p("10.0.0.7/32"), ip("10.0.0.7")));
  CHECK_FALSE(covers(p("10.0.0.7/32"), ip("10.0.0.6")));
  CHECK(covers(p("fd00::/63"), ip("fd00:0:0:1::")));
  CHECK_FALSE(covers(p("fd00::/63"), ip("fd00:0:0:2::")));
}

TEST_CASE("the longest prefix wins whatever the order of entry", "[engine][routes][rfc1812]") {
  std::vector<Route> all{via("0.0.0.0/0", "10.0.0.1"), via("192.168.0.0/16", "10.0.0.2"),
                         via("192.168.7.0/24", "10.0.0.3"), on_link("10.0.0.0/24")};
  std::sort(all.begin(), all.end(),
            [](const Route& a, const Route& b) { return a.prefix < b.prefix; });
  do {
    Routes routes;
    for (const Route& r : all) REQUIRE(routes.add(r));
    CHECK(routes.next_hop(ip("192.168.7.9")) == ip("10.0.0.3"));
    CHECK(routes.next_hop(ip("192.168.8.9")) == ip("10.0.0.2"));
    CHECK(routes.next_hop(ip("8.8.8.8")) == ip("10.0.0.1"));
    CHECK(routes.next_hop(ip("10.0.0.9")) == ip("10.0.0.9"));
    CHECK(routes.is_on_link(ip("10.0.0.9")));
    CHECK_FALSE(routes.is_on_link(ip("8.8.8.8")));
  } while (std::next_permutation(
      all.begin(), all.end(), [](const Route& a, const Route& b) { return a.prefix < b.prefix; }));
}

TEST_CASE("the route table is bounded and refuses duplicates", "[engine][routes]") {
  Routes routes;
  for (unsigned i = 0; i < Routes::routes_max; ++i)
    REQUIRE(routes.add({{IpAddress::v4(10, 0, std::uint8_t(i), 0), 24}, std::nullopt}));
  CHECK_FALSE(routes.add(on_link("10.1.0.0/16")));
  CHECK(routes.next_hop(ip("10.0.63.1")) == ip("10.0.63.1"));
  CHECK_FALSE(routes.next_hop(ip("10.0.64.1")));
  Routes twice;
  REQUIRE(twice.add(on_link("10.0.0.0/24")));
  CHECK_FALSE(twice.add(via("10.0.0.9/24", "10.0.0.1")));  // the same network
  CHECK(twice.add(on_link("10.0.0.0/25")));
  CHECK_FALSE(twice.add({*parse_prefix("10.9.0.0/16"), ip("fd00::1")}));
}

TEST_CASE("a host with a netmask reaches its network directly and the rest by its gateway",
          "[engine][routes][requirement-10]") {
  const auto plan = plan_with({"10.0.0.2/24", "10.0.0.3/24"}, {via("0.0.0.0/0", "10.0.0.1")});
  CHECK(plan.next_hop(ip("10.0.0.77")) == ip("10.0.0.77"));
  CHECK(plan.next_hop(ip("10.0.1.77")) == ip("10.0.0.1"));
  CHECK(plan.source_for(ip("10.0.1.77")) == ip("10.0.0.2"));
  CHECK(plan.next_hop(ip("10.0.0.3")) == ip("10.0.0.3"));  // itself
  CHECK(plan.source_for(ip("10.0.0.3")) == ip("10.0.0.3"));
}

TEST_CASE("a host with a /32 address talks to everybody through an on-link gateway",
          "[engine][routes][requirement-10]") {
  const auto plan = plan_with({"10.128.0.2/32"}, {via("0.0.0.0/0", "10.128.0.1")});
  CHECK(plan.next_hop(ip("10.128.0.3")) == ip("10.128.0.1"));  // even neighbours
  CHECK(plan.next_hop(ip("10.128.0.1")) == ip("10.128.0.1"));
  CHECK(plan.source_for(ip("8.8.8.8")) == ip("10.128.0.2"));
}

TEST_CASE("the source address is the one on the next hop's network", "[engine][routes]") {
  const auto plan =
      plan_with({"10.0.0.2/24", "192.168.0.2/16"}, {via("172.16.0.0/12", "192.168.0.1")});
  CHECK(plan.source_for(ip("10.0.0.9")) == ip("10.0.0.2"));
  CHECK(plan.source_for(ip("192.168.9.9")) == ip("192.168.0.2"));
  CHECK(plan.source_for(ip("172.16.0.1")) == ip("192.168.0.2"));
  CHECK_FALSE(plan.source_for(ip("8.8.8.8")));
}

TEST_CASE("groups and broadcasts are no peers", "[engine][routes][rfc1122-3.2.1.3]") {
  const auto plan = plan_with({"10.0.0.2/24"}, {via("0.0.0.0/0", "10.0.0.1")});
  for (const char* peer : {"10.0.0.255", "255.255.255.255", "224.0.0.1", "239.1.1.1", "0.0.0.0",
                           "0.1.2.3", "240.0.0.1", "fd00::1"})
    CHECK_FALSE(plan.next_hop(ip(peer)));
  CHECK(plan_with({"10.0.0.2/31"}).next_hop(ip("10.0.0.3")));  // RFC 3021
}

TEST_CASE("impossible interface options are refused with a sentence", "[engine][interface]") {
  CHECK(refusal(options_with({"10.0.0.2/24"})) == "accepted");
  CHECK(refusal(options_with({})).find("at least one") != std::string::npos);
  CHECK(refusal(options_with({"10.0.0.255/24"})).find("one host") != std::string::npos);
  CHECK(refusal(options_with({"224.0.0.1/24"})).find("one host") != std::string::npos);
  CHECK(refusal(options_with({"10.0.0.2/24", "10.0.0.2/24"})).find("twice") != std::string::npos);
  CHECK(refusal(options_with(std::vector<const char*>(17, "10.0.0.2/24"))).find("16") !=
        std::string::npos);
  CHECK(refusal(options_with({"10.0.0.2/24"}, {via("0.0.0.0/0", "10.0.1.1")}))
            .find("on none of the interface's networks") != std::string::npos);
  CHECK(refusal(options_with({"10.0.0.2/24"}, {via("0.0.0.0/0", "10.0.0.2")})).find("10.0.0.2") !=
        std::string::npos);  // oneself as gateway
  CHECK(refusal(options_with({"10.0.0.2/24"}, {via("0.0.0.0/0", "10.0.1.1"),
                                               on_link("10.0.1.1/32")})) == "accepted");
  auto options = options_with({"10.0.0.2/24"});
  options.mtu_bytes = 500;
  CHECK(refusal(options).find("576") != std::string::npos);
  options = options_with({"10.0.0.2/24"});
  options.udp_port_first = 60'000, options.udp_port_last = 50'000;
  CHECK(refusal(options).find("60000-50000") != std::string::npos);
  options = options_with({"10.0.0.2/24"});
  options.vlan = 4095;
  CHECK(refusal(options).find("vlan 4095") != std::string::npos);
  options = options_with({"10.0.0.2/24"});
  options.mac = mac_broadcast;
  CHECK(refusal(options).find("ff:ff") != std::string::npos);
  options.mac = {};
  CHECK(refusal(options) != "accepted");
}

// --- IPv6 ----------------------------------------------------------------------------------------

TEST_CASE("an IPv6 host reaches its network directly and the rest by its gateway",
          "[engine][routes][requirement-10]") {
  const auto plan = plan_with({"fd00:1::2/64"}, {via("::/0", "fd00:1::1")});
  CHECK(plan.next_hop(ip("fd00:1::77")) == ip("fd00:1::77"));
  CHECK(plan.next_hop(ip("2001:db8::1")) == ip("fd00:1::1"));
  CHECK(plan.source_for(ip("2001:db8::1")) == ip("fd00:1::2"));
  CHECK(plan.next_hop(ip("fd00:1::2")) == ip("fd00:1::2"));  // itself
}

TEST_CASE("an interface that speaks IPv6 has a link-local address, its own or one from its MAC",
          "[engine][routes][rfc4291-2.1]") {
  const auto plan = plan_with({"fd00:1::2/64"});
  CHECK(plan.link_local() == ip("fe80::ff:fe00:1"));
  CHECK(plan.source_for(ip("fe80::9")) == ip("fe80::ff:fe00:1"));
  CHECK(plan.primary(false) == ip("fd00:1::2"));
  CHECK(plan_with({"fe80::77/64"}).primary(false) == ip("fe80::77"));
  CHECK(plan_with({"fe80::77/64", "fd00:1::2/64"}).primary(false) == ip("fd00:1::2"));
  CHECK(plan_with({"fe80::77/64", "fd00:1::2/64"}).options.addresses.size() == 2);
  CHECK(plan_with({"10.0.0.2/24"}).options.addresses.size() == 1);  // not without need
}

TEST_CASE("a host with a /128 address talks to everybody through a gateway, link-local or not",
          "[engine][routes][requirement-10]") {
  for (const char* gateway : {"fe80::1", "2600:1900::1"}) {
    const auto plan = plan_with({"2600:1900:4000::2/128", "10.128.0.2/32"},
                                {via("::/0", gateway), via("0.0.0.0/0", "10.128.0.1")});
    CHECK(plan.next_hop(ip("2600:1900:4000::3")) == ip(gateway));  // even neighbours
    CHECK(plan.next_hop(ip(gateway)) == ip(gateway));
    CHECK(plan.source_for(ip("2001:db8::1")) == ip("2600:1900:4000::2"));
    CHECK(plan.next_hop(ip("10.128.0.3")) == ip("10.128.0.1"));
  }
}

TEST_CASE("the IPv6 source address has the destination's scope, kind and prefix",
          "[engine][routes][rfc6724-5]") {
  const auto plan =
      plan_with({"fd00:1::2/64", "2001:db8:a::2/64", "2001:db8:b::2/64", "10.0.0.2/24"},
                {via("::/0", "fe80::1")});
  CHECK(plan.source_for(ip("fe80::5")) == plan.link_local());            // rule 2
  CHECK(plan.source_for(ip("2001:db8:b:9::1")) == ip("2001:db8:b::2"));  // rule 8
  CHECK(plan.source_for(ip("2001:db8:a:9::1")) == ip("2001:db8:a::2"));
  CHECK(plan.source_for(ip("fd77::1")) == ip("fd00:1::2"));      // rule 6
  CHECK(plan.source_for(ip("2a00::1")) == ip("2001:db8:a::2"));  // the first
  CHECK(plan.source_for(ip("fe80::1")) == plan.link_local());
  CHECK(plan.source_for(ip("10.0.0.9")) == ip("10.0.0.2"));
  CHECK_FALSE(plan_with({"fd00:1::2/64"}).source_for(ip("10.0.0.9")));
}

TEST_CASE("groups, nobody and oneself by loopback are no IPv6 peers",
          "[engine][routes][rfc4291-2.5.3]") {
  const auto plan = plan_with({"fd00:1::2/64"}, {via("::/0", "fd00:1::1")});
  for (const char* peer : {"ff02::1", "ff05::2", "::", "::1"}) CHECK_FALSE(plan.next_hop(ip(peer)));
}

TEST_CASE("impossible IPv6 options are refused with a sentence", "[engine][interface]") {
  CHECK(refusal(options_with({"fd00:1::2/64", "10.0.0.2/24"})) == "accepted");
  CHECK(refusal(options_with({"ff02::2/64"})).find("one host") != std::string::npos);
  CHECK(refusal(options_with({"::1/128"})).find("one host") != std::string::npos);
  auto options = options_with({"fd00:1::2/64"});
  options.mtu_bytes = 1279;
  CHECK(refusal(options).find("1280") != std::string::npos);
  CHECK(refusal(options_with({"fd00:1::2/64"}, {via("0.0.0.0/0", "10.0.0.1")}))
            .find("no IPv4 address") != std::string::npos);
  CHECK(refusal(options_with({"10.0.0.2/24"}, {via("::/0", "fe80::1")})).find("no IPv6 address") !=
        std::string::npos);
  CHECK(refusal(options_with({"fd00:1::2/64"}, {via("::/0", "fd00:2::1")}))
            .find("on none of the interface's networks") != std::string::npos);
  CHECK(refusal(options_with({"fd00:1::2/128"}, {via("::/0", "ff02::2")}))
            .find("on none of the interface's networks") != std::string::npos);
}
