// bench: applications on sidecars, measured once: both on one machine, or one on each of two hosts.
#include "sidecar_pair.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

#include <proa/sidecar.hpp>
#include <proa/wire/address_text.hpp>

#include "apps/echo.hpp"
#include "machine.hpp"

namespace proa::bench {
namespace {

using Net = Stack<Sidecar>;
using tl::unexpected;

constexpr std::uint16_t port = 7000;
constexpr std::chrono::seconds start_patience{20};

/// For the control sockets; a proad that gives up being root may write here too.
class Directory {
 public:
  Directory() {
    char name[] = "/tmp/proa-bench-XXXXXX";
    if (::mkdtemp(name) == nullptr) return;
    ::chmod(name, 0777);
    path_ = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string address_of(std::size_t host) { return fmt::format("10.117.0.{}", 21 + host); }

std::string nic_text(const Wire& wire, std::size_t end) {
  const DpdkOptions nic = wire.enter(end);
  if (nic.driver != DpdkDriver::memif)
    return fmt::format("{},interface={}", nic.driver == DpdkDriver::af_xdp ? "af_xdp" : "af_packet",
                       nic.interface);
  return fmt::format("memif,role={},socket={}",
                     nic.memif.role == MemifRole::server ? "server" : "client", nic.memif.socket);
}

/// Becomes proad, which says on descriptor 3, the child's control socket, that it is ready.
int become_proad(Control& control, const std::string& log, std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (control.fd() == 3)
    ::fcntl(3, F_SETFD, 0);
  else
    ::dup2(control.fd(), 3);
  ::execv(arguments[0], arguments.data());
  return 127;
}

/// `nic` is asked in the child, on its host.
tl::expected<ChildProcess, std::string> start_proad(const SidecarSetup& setup,
                                                    const Directory& directory, std::size_t host,
                                                    int core,
                                                    const std::function<std::string()>& nic) {
  const std::string log = directory / fmt::format("{}.log", host);
  auto child = ChildProcess::start([&](Control& control) {
    return become_proad(control, log,
                        {setup.proad, "--nic", nic(), "--address", address_of(host) + "/24",
                         "--socket", directory / fmt::format("{}.sock", host), "--core",
                         std::to_string(core), "--ready-fd", "3"});
  });
  if (!child || child->control().receive<char>(start_patience)) return child;
  std::ifstream said{log};
  return unexpected("proad did not start: " +
                    std::string{std::istreambuf_iterator<char>{said}, {}});
}

tl::expected<Net, std::string> attach(const Directory& directory, std::size_t host) {
  return Net::open(*Net::Options::parse("socket=" + (directory / fmt::format("{}.sock", host))));
}

EchoOptions echo_options(const SidecarSetup& setup, std::size_t peer) {
  EchoOptions options;
  options.peer = {*parse_ip(address_of(peer)), port};
  options.size = setup.size;
  options.window = setup.window;
  options.seconds = setup.seconds;
  options.verify = setup.verify;
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

Outcome both_ends(const SidecarSetup& setup, const Directory& directory) {
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
  const Directory directory;
  auto proad = start_proad(setup, directory, 0, setup.core_b, [] { return std::string{"none"}; });
  if (!proad) return unexpected(proad.error());
  auto ends = ChildProcess::start([&](Control& control) {
    pin(setup.core_a);
    control.send(ReportMessage{both_ends(setup, directory)});
    return 0;
  });
  if (!ends) return unexpected(ends.error());
  return heard(*ends, "applications", std::chrono::seconds{60});
}

Outcome measure_two_sidecars(const Wire& wire, const SidecarSetup& setup) {
  const Directory directory;
  const auto core = [&](std::size_t host) { return host == 0 ? setup.core_a : setup.core_b; };
  std::vector<ChildProcess> sidecars;
  for (const std::size_t host : {1U, 0U}) {  // memif's server before its client
    auto proad = start_proad(setup, directory, host, core(host),
                             [&wire, host] { return nic_text(wire, host); });
    if (!proad) return unexpected(proad.error());
    sidecars.push_back(std::move(*proad));
  }
  auto server = ChildProcess::start([&](Control& control) {
    pin(core(1));
    auto net = attach(directory, 1);
    if (!net || !net->listen({port})) return 1;
    control.send('l');
    std::uint32_t asked = 0;
    EchoServer<Net>{*net}.run(false, [&] { return ++asked % 1024 == 0 && control.ready(); });
    return 0;
  });
  if (!server) return unexpected(server.error());
  if (!server->control().receive<char>(start_patience))
    return unexpected<std::string>("the echo server did not start");
  auto client = ChildProcess::start([&](Control& control) {
    pin(core(0));
    auto net = attach(directory, 0);
    const Outcome outcome =
        net ? sample_of(EchoClient<Net>{*net, echo_options(setup, 1)}.run([] { return false; }))
            : Outcome{unexpected(net.error())};
    control.send(ReportMessage{outcome});
    return 0;
  });
  if (!client) return unexpected(client.error());
  return heard(*client, "client", std::chrono::seconds{60});
}

}  // namespace proa::bench
