// One suite for every placement: what an application sees of a stack is the same everywhere.
#include <chrono>
#include <map>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/base/prng.hpp>

#include "sidecar_pair.hpp"
#include "sim_placement.hpp"

// A fixture has Net, a, b, at_a(port), at_b(port), run(duration): see SimPair.
#define PROA_PLACEMENTS stack_tests::SimPair, stack_tests::SidecarPair

using namespace proa;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed = 1) {
  Prng random{seed + size};
  std::vector<std::byte> out(size);
  for (auto& b : out) b = static_cast<std::byte>(random.next());
  return out;
}

bool equal(std::span<const std::byte> got, std::span<const std::byte> wanted) {
  return std::equal(got.begin(), got.end(), wanted.begin(), wanted.end());
}

constexpr auto patience = 60s;  // of whatever only a bug keeps from coming

/// Lets everybody run until `done`, asked in between; false: never.
template <class Pair, class Done>
bool sail(Pair& pair, Done&& done) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    pair.run(1us);
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

/// Polls until an event of that kind comes, letting everybody run in between; others are skipped.
template <class Pair, class Net>
typename Net::Event next(Pair& pair, Net& net, EventKind kind) {
  std::optional<typename Net::Event> found;
  const auto comes = [&] {
    while (!found) {
      auto event = net.poll();
      if (!event) return false;
      if (event->kind == kind) found.emplace(std::move(*event));
    }
    return true;
  };
  if (!sail(pair, comes)) throw std::runtime_error("the event does not come");
  return std::move(*found);
}

template <class Pair>
struct Connected {
  explicit Connected(std::uint16_t port = 7000) {
    REQUIRE(pair.b->listen({port}));
    const auto flow = pair.a->connect(pair.at_b(port), patience);
    REQUIRE(flow);
    a = *flow;
    REQUIRE(pair.a->send(a, pattern(1)));
    b = next(pair, *pair.b, EventKind::accepted).flow;
    (void)next(pair, *pair.b, EventKind::message);
  }
  Pair pair;
  FlowHandle a, b;
};

}  // namespace

TEMPLATE_TEST_CASE("A connect, an accept and a message each way", "[stack]", PROA_PLACEMENTS) {
  TestType pair;
  REQUIRE(pair.b->listen({7000}));
  const auto flow = pair.a->connect(pair.at_b(7000));
  REQUIRE(flow);
  CHECK(next(pair, *pair.a, EventKind::connected).flow == *flow);
  REQUIRE(pair.a->send(*flow, pattern(100)));
  const auto accepted = next(pair, *pair.b, EventKind::accepted);
  CHECK(accepted.peer.address == pair.at_a(0).address);
  CHECK(accepted.local == pair.at_b(7000));
  auto message = next(pair, *pair.b, EventKind::message);
  CHECK(message.flow == accepted.flow);
  CHECK(equal(message.message.bytes(), pattern(100)));
  REQUIRE(pair.b->send(accepted.flow, message.message.bytes()));
  CHECK(equal(next(pair, *pair.a, EventKind::message).message.bytes(), pattern(100)));
}

TEMPLATE_TEST_CASE("Messages of every size arrive whole, in order and unaltered", "[stack]",
                   PROA_PLACEMENTS) {
  Connected<TestType> flow;
  const std::size_t sizes[] = {0,    1,      40,     63,        64,        65, 1400, 1500,
                               4096, 65'536, 65'537, 1'000'000, 8U << 20U, 0,  3};
  for (const std::size_t size : sizes) {
    auto sent = flow.pair.a->send(flow.a, pattern(size));
    while (!sent && sent.error().would_block()) {
      (void)next(flow.pair, *flow.pair.a, EventKind::writable);
      sent = flow.pair.a->send(flow.a, pattern(size));
    }
    REQUIRE(sent);
  }
  for (const std::size_t size : sizes) {
    const auto event = next(flow.pair, *flow.pair.b, EventKind::message);
    CAPTURE(size);
    REQUIRE(event.message.size() == size);
    CHECK(equal(event.message.bytes(), pattern(size)));
  }
}

TEMPLATE_TEST_CASE("A connect with a deadline returns the flow or the reason", "[stack]",
                   PROA_PLACEMENTS) {
  TestType pair;
  REQUIRE(pair.b->listen({7000}));
  const auto flow = pair.a->connect(pair.at_b(7000), patience);
  REQUIRE(flow);
  CHECK_FALSE(pair.a->poll());  // its `connected` was the answer
  const auto nobody = pair.a->connect(pair.at_b(7001), patience);
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().reason() == Reason::connection_refused);
  CHECK_FALSE(pair.a->poll());
  CHECK_FALSE(pair.a->connect(pair.at_b(0), patience));
}

TEMPLATE_TEST_CASE("A buffer is sent without another copy and stays with the caller on error",
                   "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  auto buffer = flow.pair.a->allocate(5000);
  REQUIRE(buffer);
  REQUIRE(buffer.size() == 5000);
  const auto wanted = pattern(4000);
  std::copy(wanted.begin(), wanted.end(), buffer.bytes().begin());
  buffer.shrink(4000);
  const auto refused = flow.pair.a->send(FlowHandle{0xffff'ffff}, std::move(buffer));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason() == Reason::no_such_flow);
  REQUIRE(buffer);
  REQUIRE(flow.pair.a->send(flow.a, std::move(buffer)));
  CHECK_FALSE(buffer);
  CHECK(equal(next(flow.pair, *flow.pair.b, EventKind::message).message.bytes(), wanted));
  CHECK(flow.pair.a->send(flow.a, std::move(buffer)).error().reason() == Reason::out_of_memory);
  CHECK_FALSE(flow.pair.a->allocate(std::size_t{1} << 40U));
}

TEMPLATE_TEST_CASE("A sender that does not stop is told to wait and when to go on", "[stack]",
                   PROA_PLACEMENTS) {
  Connected<TestType> flow;
  const auto message = pattern(100'000);
  std::size_t sent = 0;
  Result<MessageNumber> last = MessageNumber{};
  while (sent < 100'000) {
    last = flow.pair.a->send(flow.a, message);
    if (!last) break;
    ++sent;
  }
  REQUIRE_FALSE(last);
  REQUIRE(last.error().would_block());
  std::size_t received = 0;
  bool writable = false;
  const auto all_arrived = [&] {
    while (auto event = flow.pair.b->poll()) {
      REQUIRE(event->kind == EventKind::message);
      if (received % 50 == 0) REQUIRE(equal(event->message.bytes(), message));
      ++received;
    }
    while (auto event = flow.pair.a->poll()) {
      REQUIRE(event->kind == EventKind::writable);
      CHECK_FALSE(writable);
      writable = true;
    }
    return received >= sent && writable;
  };
  CHECK(sail(flow.pair, all_arrived));
  CHECK(received == sent);
  REQUIRE(writable);
  CHECK(flow.pair.a->send(flow.a, message));
}

TEMPLATE_TEST_CASE("Sent is told only when asked for", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  REQUIRE(flow.pair.a->send(flow.a, pattern(10)));
  const auto number = flow.pair.a->send(flow.a, pattern(10), {.notify = true});
  REQUIRE(number);
  REQUIRE(flow.pair.a->send(flow.a, pattern(10)));
  CHECK(next(flow.pair, *flow.pair.a, EventKind::sent).number == *number);
  flow.pair.run(1ms);
  while (auto event = flow.pair.a->poll()) CHECK(event->kind != EventKind::sent);
}

TEMPLATE_TEST_CASE("Close delivers everything and tells both ends why", "[stack]",
                   PROA_PLACEMENTS) {
  Connected<TestType> flow;
  for (std::size_t i = 0; i < 20; ++i) REQUIRE(flow.pair.a->send(flow.a, pattern(10'000 + i)));
  REQUIRE(flow.pair.a->close(flow.a));
  CHECK(flow.pair.a->send(flow.a, pattern(1)).error().reason() == Reason::flow_closing);
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(equal(next(flow.pair, *flow.pair.b, EventKind::message).message.bytes(),
                pattern(10'000 + i)));
  CHECK(next(flow.pair, *flow.pair.b, EventKind::closed).reason == Reason::closed_by_peer);
  const auto closed = next(flow.pair, *flow.pair.a, EventKind::closed);
  CHECK(closed.reason == Reason::closed_by_application);
  CHECK(flow.pair.a->send(flow.a, pattern(1)).error().reason() == Reason::no_such_flow);
  CHECK(flow.pair.a->close(flow.a).error().reason() == Reason::no_such_flow);
}

TEMPLATE_TEST_CASE("Drain finishes what was closed", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  REQUIRE(flow.pair.a->send(flow.a, pattern(300'000)));
  REQUIRE(flow.pair.a->close(flow.a));
  CHECK(flow.pair.a->drain(patience));
  CHECK(next(flow.pair, *flow.pair.a, EventKind::closed).reason == Reason::closed_by_application);
  CHECK(next(flow.pair, *flow.pair.b, EventKind::message).message.size() == 300'000);
}

TEMPLATE_TEST_CASE("Reset ends a flow at both ends at once", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  REQUIRE(flow.pair.b->reset(flow.b));
  CHECK(next(flow.pair, *flow.pair.b, EventKind::closed).reason == Reason::reset_by_application);
  CHECK_FALSE(next(flow.pair, *flow.pair.a, EventKind::closed).reason == Reason::none);
}

TEMPLATE_TEST_CASE("Destroying a stack tells its peers", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  REQUIRE(flow.pair.a->send(flow.a, pattern(100)));
  flow.pair.a.reset();
  const auto closed = next(flow.pair, *flow.pair.b, EventKind::closed);
  CHECK(closed.flow == flow.b);
  CHECK(closed.reason != Reason::none);
}

TEMPLATE_TEST_CASE("A message outlives its stack, and a detached one its thread", "[stack]",
                   PROA_PLACEMENTS) {
  typename TestType::Net::Message message;
  std::thread other;
  {
    Connected<TestType> flow;
    REQUIRE(flow.pair.a->send(flow.a, pattern(500)));
    REQUIRE(flow.pair.a->send(flow.a, pattern(600)));
    REQUIRE(flow.pair.a->send(flow.a, pattern(700)));
    message = next(flow.pair, *flow.pair.b, EventKind::message).message;
    auto dropped = next(flow.pair, *flow.pair.b, EventKind::message).message.detach();
    std::thread([held = std::move(dropped)] { REQUIRE(held.bytes().size() == 600); }).join();
    flow.pair.run(10us);
    auto kept = next(flow.pair, *flow.pair.b, EventKind::message).message.detach();
    flow.pair.b.reset();
    other = std::thread([held = std::move(kept)] {
      if (!equal(held.bytes(), pattern(700))) std::abort();
    });
  }
  other.join();
  CHECK(equal(message.bytes(), pattern(500)));
}

TEMPLATE_TEST_CASE("What is impossible is refused with its reason", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  auto& a = *flow.pair.a;
  CHECK(flow.pair.b->listen({7000}).error().reason() == Reason::port_in_use);
  CHECK(a.listen({0}).error().reason() == Reason::invalid_argument);
  CHECK(a.send(FlowHandle{123}, pattern(1)).error().reason() == Reason::no_such_flow);
  CHECK(a.send(flow.a, std::vector<std::byte>((8U << 20U) + 1)).error().reason() ==
        Reason::message_too_large);
  CHECK(a.close(FlowHandle{123}).error().reason() == Reason::no_such_flow);
  CHECK(a.reset(FlowHandle{123}).error().reason() == Reason::no_such_flow);
  CHECK_FALSE(a.flow_info(FlowHandle{123}));
  CHECK(flow.pair.b->unlisten({7000}));
  CHECK_FALSE(flow.pair.b->unlisten({7000}));
  CHECK(a.connect(flow.pair.at_b(7000), patience).error().reason() == Reason::connection_refused);
}

TEMPLATE_TEST_CASE("Waiting ends with an event or at its deadline", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  const Instant before = flow.pair.b->now();
  CHECK_FALSE(flow.pair.b->wait(2ms));
  CHECK(flow.pair.b->now() >= before + 2ms);
  REQUIRE(flow.pair.a->send(flow.a, pattern(10)));
  flow.pair.a->flush();
  REQUIRE(flow.pair.b->wait(patience));
  CHECK_FALSE(flow.pair.b->arm());  // the event is still to be polled
  const auto event = flow.pair.b->poll();
  REQUIRE(event);
  CHECK(event->kind == EventKind::message);
}

TEMPLATE_TEST_CASE("A stack can be moved and its flows go with it", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  typename TestType::Net moved{std::move(*flow.pair.a)};
  flow.pair.a.reset();
  REQUIRE(moved.send(flow.a, pattern(10)));
  moved.flush();
  CHECK(next(flow.pair, *flow.pair.b, EventKind::message).message.size() == 10);
}

TEMPLATE_TEST_CASE("A flow shows what it is doing", "[stack]", PROA_PLACEMENTS) {
  Connected<TestType> flow;
  const auto info = flow.pair.a->flow_info(flow.a);
  REQUIRE(info);
  CHECK(info->peer == flow.pair.at_b(7000));
  CHECK(info->messages_sent == 1);
  CHECK(info->smoothed_rtt > 0ns);
}

TEMPLATE_TEST_CASE("Many flows at a time keep their messages apart", "[stack]", PROA_PLACEMENTS) {
  TestType pair;
  REQUIRE(pair.b->listen({7000}));
  std::vector<FlowHandle> flows;
  for (int i = 0; i < 20; ++i) flows.push_back(pair.a->connect(pair.at_b(7000), patience).value());
  for (std::size_t round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < flows.size(); ++i)
      REQUIRE(pair.a->send(flows[i], pattern(100 * i + round, i)));
  std::size_t received = 0;
  std::map<std::uint32_t, std::size_t> of_flow;
  std::map<std::uint32_t, std::size_t> index;
  const auto all_arrived = [&] {
    while (auto event = pair.b->poll()) {
      if (event->kind != EventKind::message) continue;
      const std::size_t round = of_flow[event->flow.value]++;
      if (round == 0) index[event->flow.value] = event->message.size() / 100;
      const std::size_t i = index[event->flow.value];
      CHECK(equal(event->message.bytes(), pattern(100 * i + round, i)));
      ++received;
    }
    return received >= 60;
  };
  CHECK(sail(pair, all_arrived));
  CHECK(received == 60);
}

TEST_CASE("A stack that polls again asks its NIC no more to wake it", "[stack]") {
  Connected<stack_tests::SimPair> flow;
  auto& net = *flow.pair.b;
  while (net.poll()) {
  }
  flow.pair.run(1ms);
  REQUIRE(net.arm());
  CHECK(net.placement().nic().armed());
  CHECK_FALSE(net.poll());
  CHECK_FALSE(net.placement().nic().armed());
}
