// e2e: frames of every size cross each kind of wire between two processes, both ways, unharmed.
#include <fcntl.h>
#include <net/if.h>

#include <catch2/catch.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

const std::vector<std::size_t> small_sizes{60, 61, 64, 127, 128, 512, 1000, 1280, 1499, 1514};
const std::vector<std::size_t> all_sizes{60, 1514, 2048, 2049, 4096, 8000, 9000, 9014};

End sends(DpdkOptions options, const std::vector<std::size_t>& sizes) {
  return {std::move(options),
          [&sizes](DpdkNic& nic, Control&) { return send_and_verify(nic, sizes, 40); }};
}
End echoes(DpdkOptions options) { return {std::move(options), echo_until_told}; }
/// For drivers that hold buffers once they run: the pool is not expected to be full again.
End echoes_and_keeps(DpdkOptions options) {
  return {std::move(options), [](DpdkNic& nic, Control& control) -> std::string {
            static_cast<void>(echo_until_told(nic, control));
            return "";
          }};
}

std::string over_veth(DpdkDriver driver, std::uint32_t mtu, const std::vector<std::size_t>& sizes) {
  auto hosts = TwoHosts::make(mtu);
  if (!hosts) return hosts.error();
  const auto options = on_wire(driver, mtu);
  return run_pair(sends(options, sizes),
                  driver == DpdkDriver::af_xdp ? echoes_and_keeps(options) : echoes(options),
                  &*hosts);
}

}  // namespace

TEST_CASE("frames of 60 to 1514 bytes cross memif, whoever is the server", "[nic]") {
  const SocketPath socket{"wires"};
  const auto client = memif(MemifRole::client, socket), server = memif(MemifRole::server, socket);
  CHECK(run_pair(sends(client, small_sizes), echoes(server)) == "");
  CHECK(run_pair(sends(server, small_sizes), echoes(client)) == "");
}

TEST_CASE("frames of 9000 bytes cross memif, with and without zero-copy", "[nic]") {
  const SocketPath socket{"jumbo"};
  auto client = memif(MemifRole::client, socket, 9000);
  const auto server = memif(MemifRole::server, socket, 9000);
  CHECK(run_pair(sends(client, all_sizes), echoes(server)) == "");
  client.memif.zero_copy = true;
  CHECK(run_pair(sends(client, all_sizes), echoes(server)) == "");
  CHECK(run_pair(sends(server, all_sizes), echoes_and_keeps(client)) == "");
}

TEST_CASE("memif ends with different frame sizes never harm a frame", "[nic]") {
  // The server's buffers are larger than the client's: small frames pass, larger ones come to the
  // client in several parts, which are put together or dropped and counted.
  const SocketPath socket{"mixed"};
  const auto client = memif(MemifRole::client, socket);
  const auto server = memif(MemifRole::server, socket, 9000);
  CHECK(run_pair(sends(client, small_sizes), echoes(server)) == "");
}

TEST_CASE("frames cross a veth pair over af_packet", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_packet, 1500, small_sizes) == "");
}

TEST_CASE("frames of 9000 bytes cross a veth pair over af_packet", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_packet, 9000, all_sizes) == "");
}

TEST_CASE("frames cross a veth pair over af_xdp", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_xdp, 1500, small_sizes) == "");
}

TEST_CASE("a frame that the kernel sends into a tap device is received", "[nic][root]") {
  auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  auto child = ChildProcess::start([&](Control& control) {
    hosts->enter(0);
    DpdkOptions options;
    options.driver = DpdkDriver::tap;
    options.interface = "proatap0";
    const End end{options, [](DpdkNic& nic, Control&) -> std::string {
                    if (::system("ip link set proatap0 up && ip addr add 10.118.0.1/24 dev "
                                 "proatap0 && (ping -c1 -W1 10.118.0.2 >/dev/null 2>&1 &)") != 0)
                      return "cannot configure the tap device";
                    const auto deadline = steady_clock::now() + patience();
                    std::array<Packet, 8> packets;
                    while (steady_clock::now() < deadline) {
                      const auto got = nic.rx_burst(Instant{}, packets);
                      bool arp = false;
                      for (const auto& packet : std::span{packets}.first(got))
                        arp = arp || (packet.bytes()[12] == std::byte{8} &&
                                      packet.bytes()[13] == std::byte{6});
                      nic.release(std::span{packets}.first(got));
                      if (arp) return "";
                      ::sched_yield();
                    }
                    return "the kernel's address resolution was not received";
                  }};
    return run_end(end, control);
  });
  REQUIRE(child);
  REQUIRE(heard(*child) == "");
  child->control().send('g');
  CHECK(heard(*child) == "");
}
