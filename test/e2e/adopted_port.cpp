// e2e: a program that runs DPDK itself, EAL, port and pool, lends Proa a queue pair of it and
// exchanges verified messages with an ordinary stack. The one file outside lib/ that calls rte_*.
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "apps/echo.hpp"
#include "nic_support.hpp"
#include "process.hpp"

#include <proa/in_process.hpp>

namespace {

using namespace proa;
using namespace proa::bench;
using namespace proa::e2e;
using Net = Stack<InProcess<DpdkNic>>;

constexpr std::uint16_t port = 7000;
constexpr std::uint16_t dpdk_port = 0, queue = 0;

Net::Options options_of(std::uint8_t host) {
  Net::Options options;
  options.interface.addresses = {{IpAddress::v4(10, 117, 0, host), 24}};
  return options;
}

/// DPDK as a program of its own starts it, with a memif port of Proa's peer as its only NIC.
class ForeignDpdk {
 public:
  /// Empty, or what went wrong.
  std::string start(const std::string& socket) {
    std::vector<std::string> words{"foreign",
                                   "--no-huge",
                                   "-m",
                                   "64",
                                   "--no-pci",
                                   "--no-shconf",
                                   "--no-telemetry",
                                   "--iova-mode",
                                   "va",
                                   "--log-level",
                                   "*:error",
                                   "--file-prefix",
                                   "foreign" + std::to_string(::getpid()),
                                   "--vdev",
                                   "net_memif0,role=client,socket-abstract=no,socket=" + socket};
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) return "EAL";
    ::rmdir(rte_eal_get_runtime_dir());  // empty, and left by DPDK
    pool_ =
        rte_pktmbuf_pool_create("foreign", packets, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool_ == nullptr) return "the packet pool";
    const rte_eth_conf configuration{};
    if (rte_eth_dev_configure(dpdk_port, 1, 1, &configuration) != 0) return "the port";
    if (rte_eth_rx_queue_setup(dpdk_port, queue, 256, 0, nullptr, pool_) != 0 ||
        rte_eth_tx_queue_setup(dpdk_port, queue, 256, 0, nullptr) != 0)
      return "the queue pair";
    if (rte_eth_dev_start(dpdk_port) != 0) return "the start of the port";
    return link_comes_up() ? "" : "the link stays down";
  }

  /// Empty, or what Proa has kept of it.
  std::string stop() {
    if (rte_eth_dev_stop(dpdk_port) != 0) return "the port does not stop";
    if (rte_eth_dev_close(dpdk_port) != 0) return "the port does not close";
    const auto missing = packets - rte_mempool_avail_count(pool_);
    rte_mempool_free(pool_);
    rte_eal_cleanup();
    return missing == 0 ? "" : std::to_string(missing) + " packets of the program are missing";
  }

 private:
  static constexpr unsigned packets = 4095;

  static bool link_comes_up() {
    const auto deadline = steady_clock::now() + patience();
    rte_eth_link link{};
    while (steady_clock::now() < deadline) {
      if (rte_eth_link_get_nowait(dpdk_port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP)
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return false;
  }

  rte_mempool* pool_ = nullptr;
};

struct Run {
  std::uint32_t size, window;
  std::uint64_t messages;
};
constexpr Run runs[] = {
    {0, 16, 300}, {1, 16, 300}, {1'000, 8, 300}, {100'000, 4, 20}, {8U << 20U, 1, 3}};

/// Sends each run's messages to the other stack and compares every reply.
std::string echo_all(Net& net) {
  for (const Run& run : runs) {
    EchoOptions options;
    options.peer = {IpAddress::v4(10, 117, 0, 2), port};
    options.size = run.size;
    options.window = run.window;
    options.messages = run.messages;
    options.patience = patience();
    const auto result = EchoClient<Net>{net, options}.run([] { return false; });
    if (!result) return std::to_string(run.size) + " bytes: " + result.error();
    if (result->messages != run.messages) return "replies are missing";
  }
  return "";
}

std::string echo_on_adopted_queue() {
  if (DpdkNic::adopt(dpdk_port, 1)) return "a queue pair that is not there was adopted";
  auto nic = DpdkNic::adopt(dpdk_port, queue);
  if (!nic) return nic.error();
  auto net = Net::adopt(std::move(*nic), options_of(1));
  return net ? echo_all(*net) : net.error();
}

int run_foreign_program(const std::string& socket, Control& control) {
  ForeignDpdk dpdk;
  std::string wrong = dpdk.start(socket);
  if (wrong.empty()) {
    wrong = echo_on_adopted_queue();
    const auto kept = dpdk.stop();  // Proa is gone by now
    if (wrong.empty()) wrong = kept;
  }
  control.send(Verdict{wrong});
  return wrong.empty() ? 0 : 1;
}

int run_ordinary_stack(const std::string& socket, Control& control) {
  auto options = options_of(2);
  options.nic = decltype(options.nic){memif(MemifRole::server, socket)};
  auto net = Net::open(options);
  if (!net) return control.send(Verdict{net.error()}), 1;
  if (!net->listen({port})) return control.send(Verdict{"cannot listen"}), 1;
  control.send(Verdict{""});
  EchoServer<Net> echoes{*net};
  std::uint32_t asked = 0;
  echoes.run(false, [&] { return ++asked % 1024 == 0 && control.ready(); });
  return 0;
}

}  // namespace

TEST_CASE("a stack on a queue pair of a program's own DPDK exchanges messages with an ordinary one",
          "[stack]") {
  const SocketPath socket{"foreign"};
  auto ordinary =
      ChildProcess::start([&](Control& control) { return run_ordinary_stack(socket, control); });
  REQUIRE(ordinary);
  REQUIRE(heard(*ordinary) == "");
  auto foreign =
      ChildProcess::start([&](Control& control) { return run_foreign_program(socket, control); });
  REQUIRE(foreign);
  CHECK(heard(*foreign) == "");
  CHECK(foreign->stop(patience()) == 0);
  ordinary->control().send('s');
  CHECK(ordinary->stop(patience()) == 0);
}
