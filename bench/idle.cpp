// bench: what doing nothing costs: processor shares of sidecars and applications that only wait.
#include "idle.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <vector>

#include <proa/in_process.hpp>
#include <proa/wire/address_text.hpp>

#include "machine.hpp"
#include "proad.hpp"

namespace proa::bench {
namespace {

using tl::unexpected;
using InProcessNet = Stack<InProcess<DpdkNic>>;
using SidecarNet = Stack<Sidecar>;

constexpr std::uint16_t port = 7000;
constexpr std::chrono::seconds start_patience{60};
// What follows a set-up is over: late acknowledgements, path probes, duplicates of our address.
constexpr std::chrono::milliseconds settling{1500};

/// An application that waits for whatever comes, which is nothing.
template <class Net>
void wait_until_told(Net& net, Control& control) {
  while (!control.ready())
    if (!net.poll()) static_cast<void>(net.wait(std::chrono::milliseconds{200}));
}

template <class Net>
int serve(Net& net, Control& control) {
  if (!net.listen({port})) return 1;
  control.send('l');
  wait_until_told(net, control);
  return 0;
}

template <class Net>
int connect(Net& net, Control& control, const std::string& peer) {
  const auto flow = net.connect({*parse_ip(peer), port}, start_patience);
  if (!flow || !net.send(*flow, std::array<std::byte, 1>{})) return 1;
  control.send('c');
  wait_until_told(net, control);
  return 0;
}

std::string address_in_process(std::size_t end) { return "10.117.0." + std::to_string(11 + end); }

tl::expected<InProcessNet, std::string> open_stack(const Wire& wire, std::size_t end) {
  InProcessNet::Options options;
  options.nic = wire.enter(end);
  options.interface.mtu_bytes = wire.mtu();
  options.interface.addresses = {{*parse_ip(address_in_process(end)), 24}};
  return InProcessNet::open(options);
}

tl::expected<ChildProcess, std::string> start(const char* what, const ChildProcess::Body& body) {
  auto child = ChildProcess::start(body);
  if (child && !child->control().receive<char>(start_patience))
    return unexpected(std::string{"the "} + what + " did not get ready");
  return child;
}

/// Everybody's share of a core while nothing happens, in percent.
std::vector<double> shares(const std::vector<pid_t>& pids, double seconds) {
  std::this_thread::sleep_for(settling);
  std::vector<double> out;
  const auto start = std::chrono::steady_clock::now();
  for (const pid_t pid : pids) out.push_back(-cpu_seconds(pid));
  std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  for (std::size_t i = 0; i < pids.size(); ++i)
    out[i] = (out[i] + cpu_seconds(pids[i])) / passed.count() * 100;
  return out;
}

}  // namespace

Outcome measure_idle_in_process(const Wire& wire, const IdleSetup& setup) {
  auto server = start("server", [&](Control& control) {
    pin(setup.core_b);
    auto net = open_stack(wire, 1);
    return net ? serve(*net, control) : 1;
  });
  if (!server) return unexpected(server.error());
  auto client = start("client", [&](Control& control) {
    pin(setup.core_a);
    auto net = open_stack(wire, 0);
    return net ? connect(*net, control, address_in_process(1)) : 1;
  });
  if (!client) return unexpected(client.error());
  const auto found = shares({server->pid(), client->pid()}, setup.seconds);
  return Sample{{"cpu_process", "% of a core", std::max(found[0], found[1])}};
}

Outcome measure_idle_sidecars(const Wire* wire, const IdleSetup& setup) {
  const ProadDirectory directory;
  const std::size_t there = wire != nullptr ? 1 : 0;
  const auto core = [&](std::size_t host) { return host == 0 ? setup.core_a : setup.core_b; };
  std::vector<ChildProcess> all;
  for (std::size_t host = there + 1; host-- > 0;) {  // memif's server before its client
    auto proad = start_proad({setup.proad, host, core(host), wire}, directory);
    if (!proad) return unexpected(proad.error());
    all.push_back(std::move(*proad));
  }
  const std::size_t sidecars = all.size();
  auto server = start("server", [&](Control& control) {
    pin(core(there));
    auto net = attach(directory, there);
    return net ? serve(*net, control) : 1;
  });
  if (!server) return unexpected(server.error());
  all.push_back(std::move(*server));
  auto client = start("client", [&](Control& control) {
    pin(core(0));
    auto net = attach(directory, 0);
    return net ? connect(*net, control, proad_address(there)) : 1;
  });
  if (!client) return unexpected(client.error());
  all.push_back(std::move(*client));
  std::vector<pid_t> pids;
  for (const ChildProcess& child : all) pids.push_back(child.pid());
  const auto found = shares(pids, setup.seconds);
  const auto apps = found.begin() + static_cast<std::ptrdiff_t>(sidecars);
  return Sample{{"cpu_proad", "% of a core", *std::max_element(found.begin(), apps)},
                {"cpu_application", "% of a core", *std::max_element(apps, found.end())}};
}

}  // namespace proa::bench
