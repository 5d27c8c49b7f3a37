// e2e: ports open, describe themselves, refuse with a sentence, and leave nothing behind.
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

/// DPDK starts once per process, so every case has its own.
std::string in_child(const std::function<std::string()>& body) {
  auto child = ChildProcess::start([&](Control& control) {
    control.send(Verdict{body()});
    return 0;
  });
  if (!child) return child.error();
  return heard(*child);
}

/// What opening says; empty if it worked.
std::string refusal(const DpdkOptions& options) {
  return in_child([&]() -> std::string {
    auto port = Port<DpdkNic>::open(options);
    return port ? "" : port.error();
  });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

}  // namespace

TEST_CASE("a memif client without a server says that nobody serves the socket", "[nic]") {
  auto options = memif(MemifRole::client, SocketPath{"nobody"});
  options.memif.connect_for = std::chrono::milliseconds(20);
  const auto sentence = refusal(options);
  CHECK(contains(sentence, "Nobody serves the memif socket"));
  CHECK(contains(sentence, "start the other end first"));
}

TEST_CASE("a second memif server on one socket is told that it is taken", "[nic]") {
  const auto options = memif(MemifRole::server, SocketPath{"taken"});
  const auto sentence = in_child([&]() -> std::string {
    auto port = Port<DpdkNic>::open(options);
    if (!port) return port.error();
    auto second = Port<DpdkNic>::open(options);
    return second ? "" : second.error();
  });
  CHECK(contains(sentence, "already serves the memif socket"));
}

TEST_CASE("the socket file of a killed memif server does not stop the next one", "[nic]") {
  const SocketPath socket{"stale"};
  const auto options = memif(MemifRole::server, socket);
  auto killed = ChildProcess::start([&](Control& control) {
    auto port = Port<DpdkNic>::open(options);
    control.send(Verdict{port ? "" : port.error()});
    return control.receive<char>(patience()) ? 0 : 1;
  });
  REQUIRE(killed);
  REQUIRE(heard(*killed) == "");
  ::kill(killed->pid(), SIGKILL);
  killed->stop(patience());
  struct stat info {};
  REQUIRE(::stat(options.memif.socket.c_str(), &info) == 0);
  CHECK(refusal(options) == "");
  CHECK(::stat(options.memif.socket.c_str(), &info) != 0);
}

TEST_CASE("missing interfaces, drivers and privileges are one sentence with the remedy", "[nic]") {
  DpdkOptions options;
  options.driver = DpdkDriver::af_packet;
  options.interface = "nosuchnic0";
  CHECK(contains(refusal(options), "\"nosuchnic0\" does not exist"));
  options.driver = DpdkDriver::vdev;
  options.vdev = "net_nosuchdriver0";
  CHECK(contains(refusal(options), "no driver for \"net_nosuchdriver0\""));
  options.driver = DpdkDriver::pci;
  options.pci = "0000:ff:1f.7";
  CHECK(contains(refusal(options), "0000:ff:1f.7"));
  options = memif(MemifRole::server, "/no/such/directory/x.sock");
  CHECK(contains(refusal(options), "does not exist: make it first"));
  options = memif(MemifRole::server, SocketPath{"huge"});
  options.hugepages = true;
  if (const auto sentence = refusal(options); !sentence.empty())
    CHECK(contains(sentence, "vm.nr_hugepages"));
  options.driver = DpdkDriver::af_packet;
  options.hugepages = false;
  options.interface = "lo";
  CHECK(contains(in_child([&]() -> std::string {
                   if (::setuid(65534) != 0) return "cannot drop privileges; needs CAP_NET_RAW";
                   auto port = Port<DpdkNic>::open(options);
                   return port ? "" : port.error();
                 }),
                 "needs CAP_NET_RAW"));
  options.queue_pairs = 100;
  CHECK(contains(refusal(options), "expected 1 to 64"));
}

TEST_CASE("a constructor throws the sentence that open returns", "[nic]") {
  CHECK(contains(in_child([]() -> std::string {
                   try {
                     const Port<DpdkNic> port{DpdkOptions{.driver = DpdkDriver::af_packet}};
                   } catch (const std::runtime_error& error) {
                     return error.what();
                   }
                   return "";
                 }),
                 "needs the name of a network interface"));
}

TEST_CASE("options from text name the key and what was expected", "[nic]") {
  const auto good =
      DpdkOptions::parse("memif,role=server,socket=/tmp/a,mtu=9000,mac=02:00:00:00:00:07");
  REQUIRE(good);
  CHECK(good->memif.role == MemifRole::server);
  CHECK(good->memif.socket == "/tmp/a");
  CHECK(good->mtu == 9000);
  REQUIRE(good->mac);
  CHECK(good->mac->octets[5] == 7);
  const auto device = DpdkOptions::parse("vdev,queues=2,device=net_null0,copy=1");
  REQUIRE(device);
  CHECK(device->vdev == "net_null0,copy=1");
  CHECK(contains(DpdkOptions::parse("memfi").error(), "driver \"memfi\" is not known"));
  CHECK(contains(DpdkOptions::parse("memif,mtu=big").error(), "mtu=big: expected a whole number"));
  CHECK(contains(DpdkOptions::parse("memif,colour=red").error(), "colour is not known"));
  CHECK(contains(DpdkOptions::parse("memif,descriptors=100").error(), "a power of two"));
  CHECK(contains(DpdkOptions::parse("tap").error(), "interface=NAME"));
}

TEST_CASE("ports open and close one after the other and leave nothing but what memif loses",
          "[nic]") {
  const SocketPath socket{"again"};
  CHECK(in_child([&]() -> std::string {
          std::size_t before = 0;
          for (int round = 0; round < 6; ++round) {
            auto port = Port<DpdkNic>::open(memif(MemifRole::server, socket));
            if (!port) return port.error();
            auto nic = port->take_queue();
            if (!nic) return nic.error();
            if (port->take_queue()) return "a second queue pair of one";
            if (nic->pool_available() != nic->pool_size()) return "packets are missing";
            // The queue pair outlives its port's handle, then both are gone.
            *port = Port<DpdkNic>{std::move(*port)};
            // librte_net_memif 22.11 never closes a server's listening socket: one per port.
            if (round == 1) before = open_descriptors();
            // DPDK's interrupt thread closes some a moment later; a lost one stays.
            const std::size_t allowed = before + static_cast<std::size_t>(round) - 1;
            const auto deadline = steady_clock::now() + patience();
            while (round > 1 && open_descriptors() > allowed)
              if (steady_clock::now() > deadline)
                return std::to_string(open_descriptors()) + " descriptors after " +
                       std::to_string(before);
          }
          struct stat info {};
          return ::stat(socket.c_str(), &info) == 0 ? "the socket file is still there" : "";
        }) == "");
}

TEST_CASE("two ports of one process talk to each other", "[nic]") {
  const SocketPath socket{"both"};
  CHECK(in_child([&]() -> std::string {
          auto server = Port<DpdkNic>::open(memif(MemifRole::server, socket));
          if (!server) return server.error();
          auto client = Port<DpdkNic>::open(memif(MemifRole::client, socket));
          if (!client) return client.error();
          auto a = server->take_queue(), b = client->take_queue();
          if (!a || !b) return "no queue pairs";
          bench::RawLink from{*a}, to{*b};
          const auto deadline = steady_clock::now() + patience();
          while (to.receive([](std::uint64_t, std::span<std::byte>) {}) == 0) {
            from.send(1, 100);
            if (steady_clock::now() > deadline) return "nothing arrives";
          }
          // Whose descriptors are whose cannot be told here: a sleeper looks every millisecond.
          std::array<int, 1> fd{};
          if (b->wait_descriptors(fd) != 1) return "no descriptor";
          while (!b->arm_wait()) to.receive([](std::uint64_t, std::span<std::byte>) {});
          if (!soon([&] { return from.send(1, 100) == 1; })) return "no room for a frame";
          pollfd waiting{fd[0], POLLIN, 0};
          if (::poll(&waiting, 1, 60'000) != 1) return "never woken";
          b->disarm_wait();
          return a->capabilities().mac != b->capabilities().mac ? "" : "the same address twice";
        }) == "");
}

TEST_CASE("a queue pair that was given back is taken again, empty and counting from zero",
          "[nic]") {
  const SocketPath socket{"again"};
  CHECK(in_child([&]() -> std::string {
          auto options = memif(MemifRole::server, socket);
          options.queue_pairs = 2;
          auto server = Port<DpdkNic>::open(options);
          if (!server) return server.error();
          options.memif.role = MemifRole::client;
          auto client = Port<DpdkNic>::open(options);
          if (!client) return client.error();
          auto from = server->take_queue();
          auto first = client->take_queue(), second = client->take_queue();
          if (!from || !first || !second) return "no queue pairs";
          if (client->take_queue()) return "a third queue pair of two";
          bench::RawLink sender{*from};
          const auto ignore = [](std::uint64_t, std::span<std::byte>) {};
          for (int owner = 0; owner < 200; ++owner) {
            const auto deadline = steady_clock::now() + patience();
            {
              bench::RawLink receiver{*first};
              sender.send(1, 100);
              while (receiver.receive(ignore) == 0) {
                sender.send(1, 100);
                if (steady_clock::now() > deadline) return "nothing arrives";
              }
            }
            for (int i = 0; i < 8; ++i) sender.send(2, 100);  // nobody takes them
            { const DpdkNic gone = std::move(*first); }
            first = client->take_queue();
            if (!first) return first.error();
            if (client->take_queue()) return "the other one is not free";
            const auto counters = first->counters();
            if (first->capabilities().queue != 0) return "another queue pair than the free one";
            if (counters.rx_packets + counters.link_downs != 0) return "it counts for the former";
            std::array<Packet, 32> packets;
            if (first->rx_burst(Instant{}, packets) != 0) return "frames for the former owner";
          }
          return "";
        }) == "");
}

TEST_CASE("a port has 256 descriptors, says what it is, and keeps the thread's cores", "[nic]") {
  CHECK(in_child([]() -> std::string {
          cpu_set_t before{}, after{};
          ::sched_getaffinity(0, sizeof before, &before);
          auto port = Port<DpdkNic>::open(memif(MemifRole::server, SocketPath{"cores"}));
          ::sched_getaffinity(0, sizeof after, &after);
          if (!port) return port.error();
          if (!CPU_EQUAL(&before, &after)) return "the thread was pinned";
          const auto d = port->describe();
          auto nic = port->take_queue();
          if (nic->capabilities().queue_descriptors != 256) return "not 256 descriptors";
          if (nic->capabilities().frame_bytes_max != 1514) return "not 1514 bytes";
          if (nic->capabilities().tx_udp_checksum) return "an offload memif does not have";
          if (d.driver != "net_memif" || d.mtu != 1500 || d.link_up) return d.text();
          return contains(d.text(), "server of") ? "" : d.text();
        }) == "");
}

TEST_CASE("a program that runs DPDK already has its queue adopted", "[nic]") {
  CHECK(in_child([]() -> std::string {
          DpdkOptions options;
          options.driver = DpdkDriver::vdev;
          options.vdev = "net_null0";
          auto port = Port<DpdkNic>::open(options);  // stands in for the program's own calls
          if (!port) return port.error();
          if (DpdkNic::adopt(0, 5)) return "a queue that does not exist";
          if (DpdkNic::adopt(31, 0)) return "a port that does not exist";
          auto nic = DpdkNic::adopt(0, 0);
          if (!nic) return nic.error();
          std::array<Packet, 4> packets;
          if (nic->rx_burst(Instant{}, packets) != 4) return "nothing received";
          nic->release(packets);
          if (nic->allocate(packets) != 4) return "nothing allocated";
          for (auto& packet : packets) packet.set_length(64);
          return nic->tx_burst(Instant{}, packets) == 4 ? "" : "nothing sent";
        }) == "");
}
