// e2e: sidecars with as many engines as an interface can have, over a NIC whose hash nobody knows.
#include <catch2/catch.hpp>

#include <algorithm>
#include <list>
#include <vector>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

constexpr std::uint16_t engines = 16;
constexpr std::uint16_t port = 7000;

/// There are many channels: each with the least memory that messages of 8 MiB allow.
std::string small(const std::string& socket) {
  return socket + ";send_memory=16777216;receive_memory=16777216";
}

/// Engines that have a channel of an application.
std::size_t engines_used(const std::string& status) {
  std::size_t used = 0;
  for (std::uint16_t i = 0; i < engines; ++i)
    used += times(status, "\"engine\":" + std::to_string(i) + ",\"state\"") != 0 ? 1U : 0U;
  return used;
}

/// Until no engine of that host is so busy that it weighs more than an idle one: two processors
/// have 32 threads to serve.
bool rest(const Hosts& hosts, std::size_t host) {
  const std::string key = "\"busy_percent\":";
  return eventually([&] {
    const std::string status = hosts.status(host);
    int most = 0;
    for (auto at = status.find(key); at != std::string::npos; at = status.find(key, at + 1))
      most = std::max(most, std::stoi(status.substr(at + key.size())));
    return most < 25;
  });
}

}  // namespace

TEST_CASE("Sixteen engines on each of two hosts run, are seen in status, and serve their channels",
          "[.sixteen][root]") {
  const auto wires = bench::TwoHosts::make();
  REQUIRE(wires);
  const Hosts hosts{{}, &*wires};
  std::list<ChildProcess> servers;
  std::vector<Net> clients;
  for (std::uint16_t i = 0; i < engines; ++i) {
    REQUIRE(rest(hosts, 1));
    servers.push_back(echo_server(small(hosts.socket(1)), static_cast<std::uint16_t>(port + i)));
    REQUIRE(rest(hosts, 0));
    clients.push_back(attach(small(hosts.socket(0)), "client"));
  }
  for (const std::size_t host : {0U, 1U}) {
    const std::string status = hosts.status(host);
    CAPTURE(host, status);
    CHECK(times(status, "\"answered\":true") == engines);
    // Each its own but for those that were busy at that moment.
    CHECK(engines_used(status) >= engines * 3 / 4);
  }
  for (std::uint16_t i = 0; i < engines; ++i)
    for (const int distance : {0, 5}) {
      const int to = (i + distance) % engines;
      CAPTURE(i, to);
      const auto flow = clients[i].connect(
          Hosts::at(1, static_cast<std::uint16_t>(port + to), i % 2 == 1), patience);
      REQUIRE(flow);
      for (std::uint64_t n = 0; n < 5; ++n) REQUIRE(echoes(clients[i], *flow, 900 * n, n));
    }
  for (const std::size_t host : {0U, 1U}) {
    const std::string status = hosts.status(host);  // of all engines
    CAPTURE(host, status);
    CHECK(sum_in(status, "flows_now") == 2 * engines);
    CHECK(sum_in(status, "handover_full") == 0);
  }
}
