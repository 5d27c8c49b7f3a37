// Options as text, errors and deadlines of the public interface.
#include <catch2/catch.hpp>

#include "sim_placement.hpp"

using namespace stack_tests;

namespace {

using Options = SimPair::Net::Options;

std::string error_of(std::string_view text) {
  const auto options = Options::parse(text);
  return options ? std::string{} : options.error();
}

}  // namespace

TEST_CASE("both address families, a VLAN and duplicate detection as text") {
  const auto options = Options::parse(
      "address=10.0.0.1/24 address=fd00::1/64 gateway=10.0.0.254 gateway=fe80::1 "
      "route=fd01::/48@fd00::2 vlan=7 detect_duplicates=off");
  REQUIRE(options);
  CHECK(options->interface.addresses[1] == *parse_prefix("fd00::1/64"));
  REQUIRE(options->interface.routes.size() == 3);
  CHECK(options->interface.routes[0].prefix == *parse_prefix("0.0.0.0/0"));
  CHECK(options->interface.routes[1] == default_route(*parse_ip("fe80::1")));
  CHECK(options->interface.routes[2].gateway == *parse_ip("fd00::2"));
  CHECK(options->interface.vlan == 7);
  CHECK_FALSE(options->interface.detect_duplicates);
}

TEST_CASE("Options are read from text", "[stack]") {
  const auto options = Options::parse(R"(
    # who we are
    address = 10.0.0.1/24; address=10.0.1.1/24   # two of them
    gateway=10.0.0.254 route=10.5.0.0/16@10.0.0.2
    mtu=9000 udp_ports=50000-50100
    flows=10 send_memory=64MiB message_max=1MiB idle_limit=5s seed=7)");
  REQUIRE(options);
  CHECK(options->interface.addresses.size() == 2);
  REQUIRE(options->interface.routes.size() == 2);
  CHECK(options->interface.routes[0].prefix.bits == 0);
  CHECK(options->interface.routes[1].gateway == IpAddress::v4(10, 0, 0, 2));
  CHECK(options->interface.mtu_bytes == 9000);
  CHECK(options->interface.udp_port_last == 50100);
  CHECK(options->engine.flows_max == 10);
  CHECK(options->memory.send_bytes == 64U << 20U);
  CHECK(options->engine.flow.message_bytes_max == 1U << 20U);
  CHECK(options->engine.flow.idle_limit == 5s);
  CHECK(Options::parse("")->interface.addresses.empty());
}

TEST_CASE("Wrong options are refused with line, key and what was expected", "[stack]") {
  CHECK(error_of("\naddress=10.0.0") ==
        "line 2: address=10.0.0: expected an address with its prefix length, as in 10.0.0.1/24");
  CHECK(error_of("mtu=10").find("expected a number from 576 to 9216") != std::string::npos);
  CHECK(error_of("colour=red").find("unknown key; expected one of nic, address") !=
        std::string::npos);
  CHECK(error_of("address") == "line 1: expected key=value, got \"address\"");
  CHECK(error_of("mtu=") == "line 1: expected key=value, got \"mtu=\"");
  CHECK(error_of("=5").find("expected key=value") != std::string::npos);
  CHECK(error_of("idle_limit=30").find("a time with unit") != std::string::npos);
  CHECK(error_of("idle_limit=99ms").find("expected 100ms to 1440min") != std::string::npos);
  CHECK(error_of("keepalive=9ms").find("expected 10ms to 60min") != std::string::npos);
  CHECK(error_of("idle_limit=1441min").find("expected 100ms") != std::string::npos);
  CHECK(error_of("keepalive=5s\nidle_limit=5s") ==
        "line 1: keepalive=5s: expected less than idle_limit, a third of it or so");
  CHECK(error_of("send_memory=1kB").find("bytes") != std::string::npos);
  CHECK(error_of("udp_ports=9-8").find("first-last") != std::string::npos);
  CHECK(error_of("gateway=nowhere").find("expected an address") != std::string::npos);
  CHECK(error_of("vlan=4095").find("0 to 4094") != std::string::npos);
  CHECK(error_of("detect_duplicates=perhaps").find("on or off") != std::string::npos);
  CHECK(error_of("flows=99999999999999999999").find("expected a number") != std::string::npos);
  CHECK(error_of("nic=x").find("no options as text") != std::string::npos);
}

TEST_CASE("A stack that cannot start says why in a sentence, as a value or an exception",
          "[stack]") {
  using Net = SimPair::Net;
  CHECK(Net::open(Options{}).error() == "no port; give one");
  CHECK_THROWS_WITH(Net{Options{}}, "no port; give one");
  CHECK_THROWS_AS(Net{Options::parse("mtu=1")}, ConfigurationError);
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}}};
  Options options;
  options.nic.port = &port;
  CHECK(Net::open(options).error().find("addresses") != std::string::npos);
}

TEST_CASE("Stacks take queue pairs of one port until there are none left", "[stack]") {
  using Net = SimPair::Net;
  SimNetwork network{1};
  SimPort sim{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}, .queues = 2}};
  Port<SimNic> port{{&sim}};
  const Options options = Options::parse("address=10.0.0.1/24 flows=4").value();
  Net first{port, options};
  auto second = Net::open(port, options);
  REQUIRE(second);
  CHECK(Net::open(port, options).error().find("every queue pair is taken") != std::string::npos);
}

TEST_CASE("An error has category, text and a std::error_code", "[stack]") {
  constexpr Error blocked{Reason::would_block};
  static_assert(blocked.would_block() && blocked.category() == ErrorCategory::refused);
  static_assert(Error{Reason::closed_by_peer}.category() == ErrorCategory::ended);
  const std::error_code code = blocked;
  CHECK(code == std::errc::operation_would_block);
  CHECK(code.category().name() == std::string{"proa"});
  CHECK(code.message() == blocked.text());
  CHECK(std::error_code{Error{Reason::reset_by_peer}} == std::errc::connection_reset);
}

TEST_CASE("A deadline is a moment or a time from now", "[stack]") {
  const Instant now{10s};
  CHECK(Deadline{5ms}.from(now) == now + 5ms);
  CHECK(Deadline{Instant{3s}}.from(now) == Instant{3s});
  CHECK(Deadline{never}.from(now) == never);
  CHECK(Deadline{std::chrono::hours{24 * 365 * 290}}.from(
            Instant{std::chrono::hours{24 * 365 * 10}}) == never);
}

TEST_CASE("What fills a packet leaves while the application goes on sending", "[stack]") {
  SimPair pair;
  REQUIRE(pair.b->listen({7}));
  const auto flow = pair.a->connect(pair.at_b(7), 1s);
  REQUIRE(flow);
  const std::vector<std::byte> small(100);
  const std::uint64_t before = pair.a->counters().tx_packets;
  for (int i = 0; i < 10; ++i) REQUIRE(pair.a->send(*flow, small));
  CHECK(pair.a->counters().tx_packets == before);  // there may be more to put beside it
  for (int i = 0; i < 10; ++i) REQUIRE(pair.a->send(*flow, small));
  CHECK(pair.a->counters().tx_packets > before);
  const std::uint64_t full = pair.a->counters().tx_packets;
  pair.a->flush();  // the rest
  CHECK(pair.a->counters().tx_packets == full + 1);
}
