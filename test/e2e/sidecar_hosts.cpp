// e2e: applications on two hosts, and on one, exchange messages through their sidecars.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <list>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

TEST_CASE("Messages of every size come back byte for byte through two sidecars") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000, ipv6), patience);
  REQUIRE(flow);
  for (const std::size_t size :
       {0U, 1U, 52U, 53U, 64U, 112U, 113U, 1500U, 65'536U, 65'537U, 1U << 20U, 8U << 20U, 0U, 1U}) {
    CAPTURE(size);
    REQUIRE(echoes(net, *flow, size, 1));
  }
  for (std::uint64_t i = 0; i < 3000; ++i) REQUIRE(echoes(net, *flow, i % 200, i));
  const std::string status = hosts.status(0);
  CHECK(number_in(status, "messages_sent") == 3014);
  CHECK(number_in(status, "messages_received") == 3014);
  CHECK(status.find("\"application\":\"client\"") != std::string::npos);
}

TEST_CASE("Several applications share one sidecar and talk to each other") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Hosts hosts;
  const ChildProcess near = echo_server(hosts.socket(0), 7000);
  const ChildProcess far = echo_server(hosts.socket(1), 7000);
  std::list<ChildProcess> clients;
  for (std::uint64_t i = 0; i < 4; ++i) {
    clients.push_back(start_child([&, i](Control& parent) {
      Net net = attach(hosts.socket(0), "client" + std::to_string(i));
      const auto flow = net.connect(Hosts::at(i % 2, 7000, ipv6), patience);
      if (!flow) return 2;
      for (std::uint64_t n = 0; n < 500; ++n)
        if (!echoes(net, *flow, n * 7 % 3000, n + 1000 * i)) return 3;
      if (!echoes(net, *flow, 1U << 20U, i)) return 4;
      parent.send(char{'d'});
      return 0;
    }));
  }
  for (ChildProcess& client : clients) CHECK(client.control().receive<char>(patience));
  const std::string status = hosts.status(0);
  CHECK(sum_in(status, "loopback_packets") > 2000);
}

TEST_CASE("A port is one application's, and free again when it has gone") {
  const Hosts hosts;
  Net second = attach(hosts.socket(0), "second");
  {
    Net first = attach(hosts.socket(0), "first");
    REQUIRE(first.listen({7000}));
    const auto taken = second.listen({7000});
    REQUIRE_FALSE(taken);
    CHECK(taken.error().reason() == Reason::port_in_use);
    CHECK_FALSE(second.unlisten({7000}));
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  bool free = false;
  while (!free && std::chrono::steady_clock::now() < until) free = bool{second.listen({7000})};
  CHECK(free);
  CHECK(second.unlisten({7000}));
}

TEST_CASE("Nobody listens, nobody lives there, no route: connect says which") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const Hosts hosts;
  Net net = attach(hosts.socket(0), "client");
  const auto reason = [&](const Endpoint& to, std::chrono::seconds within = patience) {
    const auto flow = net.connect(to, within);
    return flow ? Reason::none : flow.error().reason();
  };
  CHECK(reason(Hosts::at(1, 7001, ipv6)) == Reason::connection_refused);
  CHECK(reason(Hosts::at(0, 7001, ipv6)) == Reason::connection_refused);
  CHECK(reason(Hosts::at(8, 7000, ipv6), 5s) == Reason::peer_unreachable);
  const IpAddress far{{0xfd, 0, 0, 0x99}};
  CHECK(reason({ipv6 ? far : IpAddress::v4(192, 168, 9, 9), 7000}) == Reason::no_route);
}

namespace {

/// One sidecar with two interfaces: `wire` leads to another host, `quiet` nowhere.
struct TwoInterfaces {
  TwoInterfaces() {
    if (!a.says("proad ready")) throw std::runtime_error{"first proad: " + a.errors()};
    if (!b.says("proad ready")) throw std::runtime_error{"second proad: " + b.errors()};
  }
  /// The socket, for an application of that interface.
  [[nodiscard]] std::string socket(const std::string& interface) const {
    return scratch / "a.sock" + ";interface=" + interface;
  }
  [[nodiscard]] std::int64_t sum(const std::string& counter) const {
    return sum_in(status_of(scratch / "a.sock", scratch), counter);
  }
  [[nodiscard]] static Endpoint quiet(std::uint16_t port, bool ipv6) {
    IpAddress address{{0xfd, 0, 0, 0x88}};
    address.octets[15] = 1;
    return {ipv6 ? address : IpAddress::v4(10, 88, 0, 1), port};
  }

  Scratch scratch;
  Program a = with_config(), b = with_arguments();

 private:
  [[nodiscard]] static std::string engines() {
    const char* const wanted = std::getenv("PROA_E2E_ENGINES");
    return wanted != nullptr ? wanted : "1";
  }
  [[nodiscard]] std::string memif(const std::string& role) const {
    return memif_nic(role, scratch / "memif");
  }
  [[nodiscard]] Program with_config() const {
    std::ofstream{scratch / "a.toml"}
        << "[control]\nsocket = \"" << scratch / "a.sock"
        << "\"\n"
        << "[[interface]]\nname = \"wire\"\nnic = \"" << memif("server")
        << "\"\naddresses = [\"10.77.0.1/24\", \"fd00:77::1/64\"]\nengines = " << engines()
        << "\n[[interface]]\nname = \"quiet\"\nnic = \"none\"\n"
        << "addresses = [\"10.88.0.1/24\", \"fd00:88::1/64\"]\nengines = " << engines() << "\n";
    return Program{PROAD_PATH, {"--config", scratch / "a.toml"}, scratch / "a.err"};
  }
  [[nodiscard]] Program with_arguments() const {
    return Program{PROAD_PATH,
                   {"--nic", memif("client"), "--address", "10.77.0.2/24", "--address",
                    "fd00:77::2/64", "--socket", scratch / "b.sock", "--engines", engines()},
                   scratch / "b.err"};
  }
};

}  // namespace

TEST_CASE("Applications behind two interfaces of one sidecar talk without any NIC") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const TwoInterfaces hosts;
  const ChildProcess far = echo_server(hosts.scratch / "b.sock", 7000);
  const ChildProcess quiet = echo_server(hosts.socket("quiet"), 7000);
  Net net = attach(hosts.socket("wire"), "client");
  const auto outside = net.connect(Hosts::at(1, 7000, ipv6), patience);
  REQUIRE(outside);
  REQUIRE(echoes(net, *outside, 64, 1));
  const std::int64_t sent_before = hosts.sum("nic_tx_packets");
  const std::int64_t looped_before = hosts.sum("loopback_packets");
  const auto inside = net.connect(TwoInterfaces::quiet(7000, ipv6), patience);
  REQUIRE(inside);
  for (const std::size_t size : {0U, 1U, 1500U, 65'537U, 1U << 20U}) {
    CAPTURE(size);
    REQUIRE(echoes(net, *inside, size, 2));
  }
  for (std::uint64_t i = 0; i < 1000; ++i) REQUIRE(echoes(net, *inside, i % 200, i));
  CHECK(hosts.sum("loopback_packets") - looped_before > 2000);
  CHECK(hosts.sum("nic_tx_packets") - sent_before < 20);  // neighbours, and the other flow
  const auto refused = net.connect(TwoInterfaces::quiet(7001, ipv6), patience);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason() == Reason::connection_refused);
  REQUIRE(echoes(net, *outside, 64, 3));
}
