// TEST-MATRIX A19: the path's MTU shrinks to 1280 without a word, and comes back.
#include "hosts.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// RFC 9002 6.2.1, as ARCHITECTURE has it: what the sender waits before its second probe.
Duration probe_timeout_of(const FlowInfo& info) {
  return info.smoothed_rtt + std::max<Duration>(4 * info.rtt_variation, 20us) + 25us;
}

struct Narrowing {
  explicit Narrowing(std::uint32_t mtu_bytes)
      : hosts(HostsOptions{.mtu_bytes = mtu_bytes}), stream(mtu_bytes, 0, 64 * 1024) {
    for (std::uint32_t i = 0; i < 2; ++i)
      hosts[i].watch = [this](Instant, std::span<const std::byte> frame) {
        return frame.size() - ethernet_header_bytes > path_mtu_bytes;
      };
    hosts.app(1).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind == FlowEventKind::message) stream.arrived(event);
    };
    flow = hosts.connect(0, 1);
  }
  /// Sends without a pause; true once `done`.
  template <class Done>
  bool busy_until(Done done, Duration limit) {
    const Instant end = hosts.now() + limit;
    while (!done()) {
      stream.fill(hosts, 0, 0, flow);
      if (hosts.now() >= end) return false;
      hosts.run_for(5us);
    }
    return true;
  }

  Hosts<> hosts;
  Stream stream;
  std::uint32_t path_mtu_bytes = 9000;
  FlowKey flow;
};

void shrink_and_grow(std::uint32_t mtu_bytes) {
  Narrowing world{mtu_bytes};
  auto& hosts = world.hosts;
  const auto full_size = [&] { return hosts.info(0, world.flow).packet_bytes == mtu_bytes - 28; };
  REQUIRE(world.busy_until(full_size, 1ms));
  world.busy_until([] { return false; }, 5ms);
  REQUIRE(world.stream.arrived() > 50);

  const FlowInfo before = hosts.info(0, world.flow);
  const std::uint64_t arrived = world.stream.arrived();
  const Instant shrunk_at = hosts.now();
  world.path_mtu_bytes = 1280;
  // What was on its way still arrives; repaired is the first message that went the new way.
  hosts.run_for(60us);
  const std::uint64_t under_way = world.stream.arrived();
  const auto repaired = [&] { return world.stream.arrived() > under_way + 1; };
  REQUIRE(world.busy_until(repaired, 10ms));
  const double timeouts = static_cast<double>((hosts.now() - shrunk_at).count()) /
                          static_cast<double>(probe_timeout_of(before).count());
  WARN("MTU " << mtu_bytes << ": repaired after " << timeouts << " PTO");
  CHECK(timeouts <= 6.0);
  CHECK(under_way >= arrived);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);

  // A flow made meanwhile begins at the smaller size: the engine remembers.
  const FlowKey other = hosts.connect(0, 1);
  CHECK(hosts.info(0, other).packet_bytes == 1232);

  // The search below the lost size ends without result; one more begins a second later.
  world.busy_until([] { return false; }, 5ms);
  world.path_mtu_bytes = 9000;
  hosts.run_for(1s);
  CHECK(hosts.info(0, world.flow).packet_bytes == 1232);
  CHECK(world.busy_until(full_size, 200us));
  const auto all_arrived = [&] { return world.stream.arrived() == world.stream.offered(); };
  CHECK(hosts.run_until(all_arrived, hosts.now() + 1s));
  CHECK(world.stream.right());
  hosts.converge();
}

}  // namespace

TEST_CASE("A19: a path of 1500 bytes that shrinks to 1280 is repaired within 6 PTO, and grows back",
          "[A19]") {
  shrink_and_grow(1500);
}
TEST_CASE("A19: a path of 9000 bytes that shrinks to 1280 is repaired within 6 PTO, and grows back",
          "[A19]") {
  shrink_and_grow(9000);
}
