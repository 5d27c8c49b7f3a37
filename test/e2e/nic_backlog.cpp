// e2e: how many frames lie unread when nobody reads: never more than the NIC says can.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

constexpr int frames = 30'000;  // more than any driver here can hold

/// Sends whether somebody reads or not.
End floods(DpdkOptions options) {
  return {std::move(options), [](DpdkNic& nic, Control&) -> std::string {
            bench::RawLink link{nic};
            if (!soon([&] { return link.send(1, 100) == 1; })) return "nothing can be sent";
            for (int i = 0; i < frames; ++i) link.send(1, 100);
            return "";
          }};
}

/// Receives until nothing comes any more; "" if that is what can lie there, between `least` frames
/// and what the NIC says.
std::string count_unread(DpdkNic& nic, std::size_t least) {
  std::size_t unread = 0;
  std::array<Packet, 32> packets;
  for (int in_vain = 0; in_vain < 100; ++in_vain) {
    const std::size_t got = nic.rx_burst(Instant{}, packets);
    nic.release(std::span{packets}.first(got));
    unread += got;
    if (got != 0) in_vain = 0;
    if (got == 0) ::usleep(100);
  }
  const std::size_t most = nic.capabilities().rx_backlog_packets;
  if (unread >= least && unread <= most) return "";
  return std::to_string(unread) + " frames lay unread, at most " + std::to_string(most) + " can";
}

/// Leaves everything where it is until told that the other end has sent.
End reads_late(DpdkOptions options, std::size_t least) {
  return {std::move(options), [least](DpdkNic& nic, Control& control) -> std::string {
            static_cast<void>(control.receive<char>(patience()));
            return count_unread(nic, least);
          }};
}

std::string over_veth(DpdkDriver driver) {
  auto hosts = TwoHosts::make();
  if (!hosts) return hosts.error();
  return run_pair(floods(on_wire(DpdkDriver::af_packet)), reads_late(on_wire(driver), 256),
                  &*hosts);
}

/// The kernel sends into a tap device: for an address whose station it knows.
std::string kernel_floods_tap() {
  if (::system("ip link set proatap0 up && ip addr add 10.118.0.1/24 dev proatap0 && "
               "ip neigh add 10.118.0.2 lladdr 02:00:00:00:00:02 dev proatap0") != 0)
    return "cannot configure the tap device";
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(7000);
  to.sin_addr.s_addr = htonl(0x0a76'0002);
  char byte = 0;
  for (int i = 0; i < frames; ++i)
    static_cast<void>(
        ::sendto(socket, &byte, 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), sizeof to));
  ::close(socket);
  return "";
}

}  // namespace

TEST_CASE("no more frames lie unread in af_packet's ring than it says", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_packet) == "");
}

TEST_CASE("no more frames lie unread before an af_xdp socket than it says", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_xdp) == "");
}

TEST_CASE("no more frames lie unread in a tap device than it says", "[nic][root]") {
  auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  auto child = ChildProcess::start([&](Control& control) {
    hosts->enter(0);
    DpdkOptions options;
    options.driver = DpdkDriver::tap;
    options.interface = "proatap0";
    const End end{options, [](DpdkNic& nic, Control&) {
                    const std::string wrong = kernel_floods_tap();
                    return wrong.empty() ? count_unread(nic, 257) : wrong;
                  }};
    return run_end(end, control);
  });
  REQUIRE(child);
  REQUIRE(heard(*child) == "");
  child->control().send('g');
  CHECK(heard(*child) == "");
  child->control().send('e');
}
