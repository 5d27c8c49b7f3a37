// e2e: applications on two hosts, and on one, exchange messages through their sidecars.
#include <catch2/catch.hpp>

#include <list>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

TEST_CASE("Messages of every size come back byte for byte through two sidecars") {
  const Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), 5s);
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
  const Hosts hosts;
  const ChildProcess near = echo_server(hosts.socket(0), 7000);
  const ChildProcess far = echo_server(hosts.socket(1), 7000);
  std::list<ChildProcess> clients;
  for (std::uint64_t i = 0; i < 4; ++i) {
    clients.push_back(start_child([&, i](Control& parent) {
      Net net = attach(hosts.socket(0), "client" + std::to_string(i));
      const auto flow = net.connect(Hosts::at(i % 2, 7000), 5s);
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
  CHECK(number_in(status, "loopback_packets") > 2000);
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
  const Hosts hosts;
  Net net = attach(hosts.socket(0), "client");
  const auto reason = [&](const Endpoint& to) {
    const auto flow = net.connect(to, 2s);
    return flow ? Reason::none : flow.error().reason();
  };
  CHECK(reason(Hosts::at(1, 7001)) == Reason::connection_refused);
  CHECK(reason(Hosts::at(0, 7001)) == Reason::connection_refused);
  CHECK(reason({IpAddress::v4(10, 77, 0, 9), 7000}) == Reason::peer_unreachable);
  CHECK(reason({IpAddress::v4(192, 168, 9, 9), 7000}) == Reason::no_route);
}
