// e2e: a peer nobody here wrote: a Linux kernel at the other end of the wire resolves and pings a
// Proa host.
#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <proa/in_process.hpp>

#include "netns.hpp"
#include "process.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using Net = Stack<InProcess<DpdkNic>>;

constexpr const char *proa_address = "10.117.0.11", *proa_address_ipv6 = "fd00:117::11";

struct Word {
  char text[1200] = {};
  Word() = default;
  explicit Word(const std::string& what) { what.copy(text, sizeof text - 1); }
};

/// In host 0: a stack that only lives. Its first word is "ready MAC" or what is wrong.
int proa_host(const TwoHosts& hosts, DpdkDriver driver, Control& control) {
  hosts.enter(0);
  Net::Options options;
  options.nic.driver = driver;
  options.nic.interface = TwoHosts::interface;
  options.interface.addresses = {{*parse_ip(proa_address), 24}, {*parse_ip(proa_address_ipv6), 64}};
  auto net = Net::open(options);
  if (!net) return control.send(Word{net.error()}), 1;
  control.send(Word{"ready " + to_text(net->placement().nic().capabilities().mac)});
  while (!control.ready()) static_cast<void>(net->wait(std::chrono::milliseconds{20}));
  return 0;
}

/// What a command prints in host 1, the kernel's; with its exit status behind it.
std::string in_kernel_host(const TwoHosts& hosts, const std::string& command) {
  auto child = ChildProcess::start([&](Control& control) {
    hosts.enter(1);
    std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "re");
    if (pipe == nullptr) return 1;
    std::string said(4096, '\0');
    said.resize(std::fread(said.data(), 1, said.size(), pipe));
    said += fmt::format("\nexit status {}", ::pclose(pipe) >> 8);
    control.send(Word{said});
    return 0;
  });
  if (!child) return child.error();
  const auto word = child->control().receive<Word>(std::chrono::minutes{2});
  child->stop(std::chrono::seconds{60});
  return word ? word->text : "no word from " + command;
}

void pinged_over(DpdkDriver driver) {
  auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  auto host =
      ChildProcess::start([&](Control& control) { return proa_host(*hosts, driver, control); });
  REQUIRE(host);
  const auto ready = host->control().receive<Word>(std::chrono::minutes{2});
  REQUIRE(ready);
  const std::string word{ready->text};
  REQUIRE(word.substr(0, 6) == "ready ");
  const std::string mac = word.substr(6);

  for (const char* address : {proa_address, proa_address_ipv6}) {
    for (const int size : {64, 512, 1400, 1452}) {
      // Until three are answered, which are the first three if none is lost, however late they are.
      const auto said = in_kernel_host(
          *hosts, fmt::format("ping -n -c 3 -i 0.05 -w 60 -M do -s {} {}", size, address));
      INFO(said);
      for (const int number : {1, 2, 3})
        CHECK(said.find(fmt::format("{}: icmp_seq={} ttl", address, number)) != std::string::npos);
      CHECK(said.find("exit status 0") != std::string::npos);
    }
    const auto neighbour =
        in_kernel_host(*hosts, fmt::format("ip neigh show {} dev wire0", address));
    INFO(neighbour);
    CHECK(neighbour.find("lladdr " + mac) != std::string::npos);
    // DELAY and PROBE follow STALE while the kernel confirms what it knows.
    const bool usable = neighbour.find("REACHABLE") != std::string::npos ||
                        neighbour.find("STALE") != std::string::npos ||
                        neighbour.find("DELAY") != std::string::npos ||
                        neighbour.find("PROBE") != std::string::npos;
    CHECK(usable);
  }
  host->control().send('s');
  CHECK(host->stop(std::chrono::seconds{60}) == 0);
}

}  // namespace

TEST_CASE("a Linux kernel resolves and pings a Proa host over af_packet", "[stack][root]") {
  pinged_over(DpdkDriver::af_packet);
}

TEST_CASE("a Linux kernel resolves and pings a Proa host over af_xdp", "[stack][root]") {
  pinged_over(DpdkDriver::af_xdp);
}
