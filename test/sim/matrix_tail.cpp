// TEST-MATRIX A11 and TARGETS 10: the last packet is lost, or what is sent again is lost again.
#include <algorithm>
#include <cstdio>

#include "hosts.hpp"
#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// When the client sent each packet after `quiet`, of those that the peer acknowledges.
struct Tail {
  std::vector<Instant> sent;
  FlowInfo when_sent;  // the sender, at the first of them
  Instant arrived{};   // at the server's application
};

/// Some messages for the round trip to be known well, silence, then one that is lost k times.
Tail lose_tail(std::uint32_t k, Duration one_way) {
  Plan plan = base_plan(1);
  plan.delay = one_way;
  add_messages(plan, client, 100, 1000, 8 * one_way);
  add_messages(plan, client, 1, 1000, 200 * one_way);
  ProductScene scene{plan, run_options()};
  REQUIRE(scene.run_until([&] { return scene.app(client).submitted() == 100; }, Instant{100s}));
  scene.run_for(100 * one_way);
  Tail out;
  scene.wire().watch([&](const Passing& passing) {
    if (passing.to != server || !look_at(passing).eliciting) return false;
    if (out.sent.empty()) out.when_sent = scene.flow(client)->info();
    out.sent.push_back(passing.now);
    return out.sent.size() <= k;
  });
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + 100s));
  out.arrived = scene.app(server).received_at();
  scene.wire().watch({});
  scene.conclude();
  return out;
}

/// A flow between whole engines, of messages that take a packet each.
class EngineTail {
 public:
  explicit EngineTail(Duration round_trip) : round_trip_(round_trip), hosts_(options()) {
    for (const std::uint32_t host : {0U, 1U}) {
      SimLinkOptions link = hosts_[host].port.options().link;
      link.delay = round_trip / 4;  // the cables of both, there and back
      hosts_[host].port.set_link(link);
    }
    hosts_.app(1).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind != FlowEventKind::message) return;
      arrived_at_ = hosts_.now();
      messages_.arrived(event);
    };
    flow_ = hosts_.connect(0, 1);
    (void)hosts_.accepted(1, 0, hosts_.info(0, flow_));
  }
  /// `times` times so many messages at once.
  void send(std::uint32_t messages, Duration gap, std::uint32_t times) {
    for (std::uint32_t i = 0; i < times; ++i) {
      messages_.fill(hosts_, 0, 0, flow_, messages_.offered() + messages);
      hosts_.run_for(gap);
    }
    REQUIRE(messages_.arrived() == messages_.offered());
  }
  void rest(Duration time) { hosts_.run_for(time); }
  /// One message whose packet is lost arrives in time.
  void lose_one() {
    Instant lost_at = never;
    hosts_[0].watch = [&](Instant now, std::span<const std::byte> frame) {
      const bool lost = lost_at == never && frame.size() >= message_bytes;
      if (lost) lost_at = now;
      return lost;
    };
    send(1, 100 * round_trip_, 1);
    REQUIRE(lost_at != never);
    const Duration took = arrived_at_ - lost_at;
    std::printf("round trip %3.0f us: %5.1f us until a lost last packet arrives\n",
                static_cast<double>(round_trip_.count()) / 1e3,
                static_cast<double>(took.count()) / 1e3);
    CHECK(took > round_trip_);  // it was the message that was lost
    CHECK(took <= std::max(Duration{3 * round_trip_}, Duration{200us}));
    hosts_[0].watch = nullptr;
  }
  void finish() {
    hosts_.converge();
    CHECK(messages_.right());
  }

 private:
  static constexpr std::uint32_t message_bytes = 1000;

  static HostsOptions options() {
    HostsOptions out;
    out.mtu_bytes = 1500;
    out.engine.flow.congestion = CongestionKind::swift;
    return out;
  }

  Duration round_trip_;
  Hosts<> hosts_;
  FlowKey flow_;
  Stream messages_{1, 0, message_bytes};
  Instant arrived_at_{};
};

}  // namespace

TEST_CASE("a tail lost k times is probed for with exact backoff",
          "[A11][rfc8985-7][rfc9002-6.2.1][rfc9002-6.2.4]") {
  for (const Duration one_way : {Duration{20us}, Duration{50us}, Duration{500us}})
    for (std::uint32_t k = 1; k <= 5; ++k) {
      INFO("k = " << k << ", one way " << one_way.count() << " ns");
      const Tail tail = lose_tail(k, one_way);
      REQUIRE(tail.sent.size() == k + 1);
      for (std::uint32_t n = 0; n < k; ++n) {
        INFO("probe " << n);
        CHECK((tail.sent[n + 1] - tail.sent[n]).count() ==
              expected_probe_wait(tail.when_sent, n).count());
      }
      CHECK(tail.arrived < tail.sent[k] + one_way + 1us);  // + the time on the link
    }
}

TEST_CASE("a lost last packet arrives within max(3 RTT, 200 us)", "[A11][target10]") {
  for (const Duration one_way : {Duration{5us}, Duration{20us}, Duration{33us}, Duration{50us},
                                 Duration{500us}, Duration{10ms}}) {
    INFO("one way " << one_way.count() << " ns");
    const Tail tail = lose_tail(1, one_way);
    CHECK(tail.arrived - tail.sent[0] <= std::max(Duration{6 * one_way}, Duration{200us}));
  }
}

TEST_CASE("a lost last packet of whole engines arrives within max(3 RTT, 200 us)",
          "[A11][target10]") {
  for (const Duration round_trip : {Duration{40us}, Duration{66us}, Duration{100us}})
    for (const Duration rest : {Duration{}, Duration{3s}}) {
      CAPTURE(round_trip.count(), rest.count());
      EngineTail tail{round_trip};
      tail.send(1, 4 * round_trip, 100);
      tail.rest(rest);
      tail.lose_one();
      tail.finish();
    }
}

// Their queue must not become the round trip that a probe waits for.
TEST_CASE("a lost last packet arrives as soon after bursts that the window holds",
          "[A11][target10]") {
  for (const std::uint32_t messages : {64U, 250U, 500U})
    for (const Duration rest : {Duration{}, Duration{3s}, Duration{25s}}) {
      CAPTURE(messages, rest.count());
      EngineTail tail{40us};
      for (int i = 0; i < 2; ++i) {
        tail.send(messages, 1ms, 30);
        tail.rest(rest);
        tail.lose_one();
      }
      tail.finish();
    }
}

TEST_CASE("what is sent again and lost again, k times, is found by later packets, without probes",
          "[A11][rfc9002-6.1]") {
  for (std::uint32_t k = 1; k <= 5; ++k) {
    INFO("k = " << k);
    constexpr Duration gap = 4us;
    Plan plan = base_plan(1);
    add_messages(plan, client, 400, 1000, gap);
    ProductScene scene{plan, run_options()};
    std::vector<Instant> sent;
    scene.wire().watch([&](const Passing& passing) {
      if (passing.to != server) return false;
      const SeenPacket packet = look_at(passing);
      const bool victim = std::any_of(packet.parts.begin(), packet.parts.end(),
                                      [](const CarriedPart& p) { return p.message == 100; });
      if (victim) sent.push_back(passing.now);
      return victim && sent.size() <= k;
    });
    REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, Instant{1s}));
    const FlowInfo info = scene.flow(client)->info();
    REQUIRE(sent.size() == k + 1);
    for (std::uint32_t n = 0; n < k; ++n) {
      INFO("loss " << n);
      // Three later packets, the peer's acknowledgement delay of at most srtt / 4, the way back.
      CHECK(sent[n + 1] - sent[n] <= 3 * gap + 10us + 42us);
    }
    CHECK(info.packets_lost == k);
    CHECK(info.probes == 0);
    scene.wire().watch({});
    scene.conclude();
  }
}
