// TEST-MATRIX A1 and A3 on whole engines, whose listeners decide what is a new connection and who
// count what they drop.
#include <algorithm>

#include <catch2/catch.hpp>

#include "load_world.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t server = 0;

/// Without a trailer of Proa's own: UDP's checksum is all there is.
struct UdpSummed : DefaultPolicy {
  using Integrity = UdpChecksum;
};

/// Half of the seeds are IPv6's, and half of each family's have four engines a host.
LoadOptions options_of(std::uint64_t seed) {
  LoadOptions out;
  out.seed = seed;
  out.ipv6 = seed % 2 == 0;
  out.engines = seed % 4 < 2 ? 1 : 4;
  return out;
}
/// 30 % in bursts, of two frames in the mean, in both directions; a fifth of them leaves again
/// later.
LoadOptions lossy_and_repeated(std::uint64_t seed) {
  LoadOptions out = options_of(seed);
  out.port.link.to_switch.enter_ppm = 214'286;  // 0.3 / 0.7 of leave_ppm
  out.port.link.to_switch.leave_ppm = 500'000;
  out.nic.repeat_ppm = 200'000;
  return out;
}
/// `count` flows to the server, one message of 1 KB each.
template <class Policy>
void add_connects(LoadWorld<Policy>& world, std::uint32_t count) {
  LoadFlowOptions flow;
  flow.message_bytes = 1024;
  flow.messages_max = 1;
  for (std::uint32_t i = 0; i < count; ++i) world.add(flow);
}
template <class Policy>
void demand_delivery(LoadWorld<Policy>& world) {
  const auto all_delivered = [&world] {
    const auto& flows = world.flows();
    return std::all_of(flows.begin(), flows.end(), [](const LoadFlow& flow) {
      return flow.delivered == flow.options.messages_max;
    });
  };
  REQUIRE(world.run_while_not(all_delivered, Instant{20s}));
}

}  // namespace

TEST_CASE("50 connects whose SYNs are lost and repeated make 50 flows, each accepted once",
          "[A1]") {
  for (const auto seed : seeds(20, 200)) {
    CAPTURE(seed);
    LoadWorld<> world(2, lossy_and_repeated(seed));
    add_connects(world, 50);
    demand_delivery(world);
    const HostCounters counters = world.counters(server);
    CHECK(counters.flows_accepted == 50);   // and no two of one connect: LoadSide looks
    CHECK(world.flow_count(server) == 50);  // nor one that nobody will ever finish
    CHECK(counters.drops[Drop::duplicate_packet] > 5);
    world.converge();
  }
}

TEMPLATE_TEST_CASE("every corrupt packet is counted by the engine that drops it", "[A3]",
                   DefaultPolicy, UdpSummed) {
  for (const auto seed : seeds(10, 100)) {
    CAPTURE(seed);
    LoadOptions options = options_of(seed);
    options.nic.corrupt_ppm = 50'000;
    LoadWorld<TestType> world(2, options);
    add_connects(world, 20);
    LoadFlowOptions large;
    large.messages_max = 4;
    world.add(large);
    demand_delivery(world);
    world.converge();
    for (const std::uint32_t host : {0U, 1U}) {
      const HostAtEnd& at_end = world.at_end(host);
      CAPTURE(host);
      REQUIRE(at_end.counters.nic.rx_missed == 0);
      CHECK(at_end.counters.drops[Drop::bad_checksum] == world.at_end(1 - host).corrupted);
      CHECK(at_end.corrupted > 0);
    }
  }
}
