// TEST-MATRIX A16: what spoofed SYNs bring upon those in whose name they come.
#include "stranger.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t target = 1;

/// Counts the IP bytes the target sends to victims, whose addresses end in 100 or more.
struct Victims {
  explicit Victims(Hosts<>& hosts) {
    hosts[target].watch = [this](Instant, std::span<const std::byte> frame) {
      const auto type = load_be<std::uint16_t>(frame.data() + 12);
      if (type != 0x0800 && type != 0x86dd) return false;
      const auto to = std::to_integer<int>(frame[type == 0x0800 ? 33 : 53]);
      const bool multicast = frame[0] != std::byte{2};
      if (to < 100 || multicast) return false;
      bytes += frame.size() - ethernet_header_bytes;
      ++packets;
      return false;
    };
  }
  std::uint64_t bytes = 0, packets = 0;
};

/// `syns` spoofed SYNs, each of them `repeats` times; then nobody answers.
void spoof(bool ipv6, std::uint32_t syns, std::uint32_t repeats) {
  HostsOptions options;
  options.ipv6 = ipv6;
  options.flows_max = 8192;
  Hosts<> hosts{options};
  Victims victims{hosts};
  Stranger stranger{hosts, target};
  const auto victim = [&hosts](std::uint32_t i) { return hosts.address_of(99 + i % 100); };
  // The victims' own hosts answer ARP, as they do in the world: else nothing would be sent back.
  for (std::uint32_t i = 0; i < std::min(syns, 100U); ++i)
    hosts[target].engine.interface().hear(
        {victim(i), MacAddress{{2, 0, 0, 0, 2, static_cast<std::uint8_t>(i)}}}, hosts.now());
  for (std::uint32_t i = 0; i < syns; ++i) {
    (void)hosts[target].engine.interface().reach(victim(i), hosts.now());
    hosts[target].engine.interface().hear(
        {victim(i), MacAddress{{2, 0, 0, 0, 2, static_cast<std::uint8_t>(i % 100)}}}, hosts.now());
    for (std::uint32_t n = 0; n < repeats; ++n) {
      stranger.send_syn(victim(i), 77 + i, 1000 + n);
      hosts.run_for(2us);
    }
  }
  hosts.run_for(7s);  // past the limit for half-open flows
  WARN(syns << " SYNs, each " << repeats << " times: "
            << static_cast<double>(victims.bytes) / static_cast<double>(stranger.sent_bytes())
            << "x the bytes back");
  CHECK(victims.packets > 0);  // it was answered at all
  CHECK(victims.bytes <= 3 * stranger.sent_bytes());
  CHECK(hosts.app(target).established.empty());
  CHECK(hosts[target].engine.flow_count() == 0);  // half-open flows are reaped
  hosts.converge();
}

}  // namespace

TEST_CASE("A16: a spoofed SYN brings its victim at most three times its bytes", "[A16]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  spoof(ipv6, 1, 1);
  spoof(ipv6, 1, 50);
  spoof(ipv6, 100, 1);
}
TEST_CASE("A16: a flood of spoofed SYNs brings less back than it costs, and none is kept",
          "[A16]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  spoof(ipv6, in_full() ? 100'000 : 2'500, 1);
}
