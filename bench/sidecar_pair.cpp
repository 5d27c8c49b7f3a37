// bench: applications on sidecars, measured once: both on one machine, or one on each of two hosts.
#include "sidecar_pair.hpp"

#include <vector>

#include <proa/wire/address_text.hpp>

#include "apps/echo.hpp"
#include "machine.hpp"
#include "proad.hpp"

namespace proa::bench {
namespace {

using Net = Stack<Sidecar>;
using tl::unexpected;

constexpr std::uint16_t port = 7000;
constexpr std::chrono::seconds start_patience{60};

/// How the applications wait.
std::string waiting(const SidecarSetup& setup) { return setup.asleep ? "spin=0us" : ""; }

ProadSetup proad_of(const SidecarSetup& setup, std::size_t host, int core, const Wire* wire) {
  return {setup.proad, host, core, wire, setup.asleep ? "sleep" : "adaptive"};
}

EchoOptions echo_options(const SidecarSetup& setup, std::size_t peer) {
  EchoOptions options;
  options.peer = {*parse_ip(proad_address(peer)), port};
  options.size = setup.size;
  options.window = setup.window;
  options.seconds = setup.seconds;
  options.verify = setup.verify;
  options.wait = setup.wait;
  options.patience = std::chrono::seconds{30};
  return options;
}

Outcome sample_of(const tl::expected<EchoResult, std::string>& result) {
  if (!result) return unexpected(result.error());
  Sample sample;
  add_latency(sample, result->rtt);
  sample.push_back({"rate", "messages/s", result->rate});
  return sample;
}

/// Client and server in one thread: while the client looks for an event, the server does too.
struct BothEnds {
  Net& own;
  EchoServer<Net>& server;
  using Event = Net::Event;
  using Message = Net::Message;
  using Buffer = Net::Buffer;

  auto connect(const Endpoint& peer, Deadline deadline) { return own.connect(peer, deadline); }
  auto send(FlowHandle flow, std::span<const std::byte> bytes) { return own.send(flow, bytes); }
  auto send(FlowHandle flow, Buffer&& buffer) { return own.send(flow, std::move(buffer)); }
  auto allocate(std::uint32_t size) { return own.allocate(size); }
  auto close(FlowHandle flow) { return own.close(flow); }
  auto wait(std::chrono::milliseconds at_most) { return own.wait(at_most); }
  auto drain(std::chrono::seconds at_most) { return own.drain(at_most); }
  auto poll() {
    auto event = own.poll();
    while (!event && server.look()) continue;
    return event;
  }
};

Outcome both_ends(const SidecarSetup& setup, const ProadDirectory& directory) {
  auto client = attach(directory, 0);
  if (!client) return unexpected(client.error());
  auto server = attach(directory, 0);
  if (!server) return unexpected(server.error());
  if (!server->listen({port})) return unexpected<std::string>("cannot listen");
  EchoServer<Net> echo{*server};
  BothEnds net{*client, echo};
  return sample_of(EchoClient<BothEnds>{net, echo_options(setup, 0)}.run([] { return false; }));
}

}  // namespace

Outcome measure_one_machine(const SidecarSetup& setup) {
  const ProadDirectory directory;
  auto proad = start_proad(proad_of(setup, 0, setup.core_b, nullptr), directory);
  if (!proad) return unexpected(proad.error());
  auto ends = ChildProcess::start([&](Control& control) {
    pin(setup.core_a);
    control.send(ReportMessage{both_ends(setup, directory)});
    return 0;
  });
  if (!ends) return unexpected(ends.error());
  return heard(*ends, "applications", std::chrono::seconds{120});
}

Outcome measure_two_sidecars(const Wire& wire, const SidecarSetup& setup) {
  const ProadDirectory directory;
  const auto core = [&](std::size_t host) { return host == 0 ? setup.core_a : setup.core_b; };
  std::vector<ChildProcess> sidecars;
  for (const std::size_t host : {1U, 0U}) {  // memif's server before its client
    auto proad = start_proad(proad_of(setup, host, core(host), &wire), directory);
    if (!proad) return unexpected(proad.error());
    sidecars.push_back(std::move(*proad));
  }
  auto server = ChildProcess::start([&](Control& control) {
    pin(core(1));
    auto net = attach(directory, 1, waiting(setup));
    if (!net || !net->listen({port})) return 1;
    control.send('l');
    std::uint32_t asked = 0;
    EchoServer<Net>{*net}.run(setup.wait, [&] { return ++asked % 1024 == 0 && control.ready(); });
    return 0;
  });
  if (!server) return unexpected(server.error());
  if (!server->control().receive<char>(start_patience))
    return unexpected<std::string>("the echo server did not start");
  auto client = ChildProcess::start([&](Control& control) {
    pin(core(0));
    auto net = attach(directory, 0, waiting(setup));
    const Outcome outcome =
        net ? sample_of(EchoClient<Net>{*net, echo_options(setup, 1)}.run([] { return false; }))
            : Outcome{unexpected(net.error())};
    control.send(ReportMessage{outcome});
    return 0;
  });
  if (!client) return unexpected(client.error());
  return heard(*client, "client", std::chrono::seconds{120});
}

}  // namespace proa::bench
