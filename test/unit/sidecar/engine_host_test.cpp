// sidecar: one engine's thread and its channels, without a daemon.
#include <catch2/catch.hpp>

#include <memory>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/sidecar.hpp>

#include "../../boat_without_nic.hpp"

using namespace proa;
using namespace proa::sidecar;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
  Prng random{seed};
  std::vector<std::byte> out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(random.next32());
  return out;
}

/// A channel's two ends, the client's in this thread.
struct Seat {
  Seat() {
    ChannelGeometry g;
    g.send_bytes = g.receive_bytes = std::uint64_t{2} << 20U;
    g.message_bytes_max = 1U << 20U;
    auto setup = ChannelSetup::make(g);
    auto offer = setup->offer();
    auto send =
        SharedMapping::map(offer->send.get(), send_layout(g).bytes(), MapAccess::read_write);
    auto receive =
        SharedMapping::map(offer->receive.get(), receive_layout(g).bytes(), MapAccess::read_only);
    memory = std::make_unique<ClientMemory>(g, std::move(*send), std::move(*receive));
    client = std::make_unique<ChannelClient>(*memory, Doorbell{std::move(offer->doorbell)});
    server = std::move(*setup->serve());
  }
  std::unique_ptr<ClientMemory> memory;
  std::unique_ptr<ChannelClient> client;
  std::unique_ptr<ChannelServer> server;
};

EngineCommand command(EngineCommand::Kind kind, std::uint32_t app,
                      ChannelServer* channel = nullptr) {
  EngineCommand c;
  c.kind = kind;
  c.app = app;
  c.channel = channel;
  c.port = 7000;
  return c;
}

}  // namespace

TEST_CASE("what an application asked for is done even if its exit is heard of first") {
  using Kind = EngineCommand::Kind;
  auto config = parse_config("[[interface]]\nnic = 'none'\naddresses = '10.0.0.1/24'\n", "t.toml");
  REQUIRE(config);
  Seat leaver, listener;
  auto host = open_lonely_interface(*config, config->interfaces.front());
  REQUIRE(host);
  EngineLink& link = host->engines.front()->link();
  link.post(command(Kind::serve, 0, listener.server.get()));
  link.post(command(Kind::listen, 0));
  link.post(command(Kind::serve, 1, leaver.server.get()));
  const auto flow = leaver.client->connect({IpAddress::v4(10, 0, 0, 1), 7000}, never);
  REQUIRE(flow);
  host->engines.front()->start();
  std::vector<ChannelEventKind> seen;
  const auto hear = [&](std::size_t events, Duration within) {
    const Instant until = monotonic_now() + within;
    while (seen.size() < events && monotonic_now() < until) {
      ChannelEvent event;
      listener.client->wait(10ms);
      while (listener.client->poll(event)) seen.push_back(event.kind);
    }
  };
  ChannelEvent connected;
  leaver.client->wait(60s);
  REQUIRE(leaver.client->poll(connected));
  hear(1, 60s);
  hear(2, 50ms);  // nothing: the engine falls asleep
  REQUIRE(leaver.client->send(*flow, pattern(500, 1), false));
  REQUIRE(leaver.client->close(*flow, never));
  link.post(command(Kind::abandon, 1));  // wakes it; the requests were not rung for
  hear(3, 60s);
  link.post({});  // stop
  host->engines.front()->join();
  CHECK(seen == std::vector{ChannelEventKind::accepted, ChannelEventKind::message,
                            ChannelEventKind::closed});
}
