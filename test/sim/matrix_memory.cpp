// TEST-MATRIX A20 and A28: applications that do not read, and more messages than memory.
#include <numeric>
#include <optional>

#include "hosts.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t sender = 0, receiver = 1;
constexpr std::uint32_t neighbour = 1;  // the application beside the one that stops

constexpr std::uint32_t other_count = 3;

/// The slow application's flows, and the memory each application has.
struct SlowOptions {
  std::uint32_t flows;
  std::uint64_t memory_bytes;
};

/// Two applications on the receiving host, each with its own memory: the slow one's flows, three
/// to its neighbour.
struct SlowReceiver {
  static constexpr std::uint32_t message_bytes = 16 * 1024;

  explicit SlowReceiver(const SlowOptions& options)
      : hosts(HostsOptions{
            .apps = 2, .receive_bytes = options.memory_bytes, .message_bytes_max = message_bytes}) {
    for (std::uint32_t i = 0; i < options.flows; ++i) slow.push_back(open(0, i));
    for (std::uint32_t i = 0; i < other_count; ++i) others.push_back(open(neighbour, i));
    for (const std::uint32_t app : {0U, neighbour})
      hosts.app(receiver, app).on_event = [this, app](FlowKey key, const FlowEvent& event) {
        auto& flows = app == 0 ? slow : others;
        if (event.kind == FlowEventKind::message) flows[ends[key.value]].stream.arrived(event);
      };
  }
  struct OneFlow {
    FlowKey key;
    Stream stream;
  };
  OneFlow open(std::uint32_t app, std::uint32_t i) {
    const FlowKey key = hosts.connect(sender, receiver, app, app);
    ends[hosts.accepted(receiver, app, hosts.info(sender, key)).value] = i;
    return {key, {20, app * 100 + i, message_bytes}};
  }
  void fill(std::vector<OneFlow>& flows) {
    const std::uint32_t app = &flows == &slow ? 0 : neighbour;
    for (OneFlow& flow : flows) flow.stream.fill(hosts, sender, app, flow.key);
  }
  /// All of them send without a pause for so long.
  void busy(std::vector<OneFlow>& flows, Duration time) {
    for (const Instant end = hosts.now() + time; hosts.now() < end; hosts.run_for(5us)) fill(flows);
  }
  [[nodiscard]] static std::uint64_t arrived(const std::vector<OneFlow>& flows) {
    std::uint64_t out = 0;
    for (const OneFlow& flow : flows) out += flow.stream.arrived();
    return out;
  }
  [[nodiscard]] static bool all_here(const std::vector<OneFlow>& flows) {
    return std::all_of(flows.begin(), flows.end(), [](const OneFlow& flow) {
      return flow.stream.arrived() == flow.stream.offered() && flow.stream.right();
    });
  }
  /// The neighbours send ten megabytes without a pause: how long until they are there.
  Duration neighbours_take() {
    const Instant began = hosts.now();
    for (OneFlow& flow : others)
      flow.stream.fill(hosts, sender, neighbour, flow.key, flow.stream.offered() + 200);
    REQUIRE(hosts.run_until([this] { return all_here(others); }, began + 1s));
    return hosts.now() - began;
  }
  /// The same in every second of ten.
  std::vector<Duration> neighbours_for_ten_seconds() {
    std::vector<Duration> out;
    for (int i = 0; i < 10; ++i) {
      const Instant next = hosts.now() + 1s;
      out.push_back(neighbours_take());
      hosts.run_for(next - hosts.now());
    }
    return out;
  }
  [[nodiscard]] std::uint64_t packets_sent_to_slow() {
    std::uint64_t out = 0;
    for (const OneFlow& flow : slow) out += hosts.info(sender, flow.key).packets_sent;
    return out;
  }

  Hosts<> hosts;
  std::map<std::uint32_t, std::uint32_t> ends;  // from the receiver's key to the index
  std::vector<OneFlow> slow, others;
};

/// Blocked: the senders wait for credit, their application for room. Only credit given on trust may
/// be under way, because the memory behind it ran out.
void demand_blocked(SlowReceiver& world) {
  for (const auto& flow : world.slow) {
    const FlowInfo blocked = world.hosts.info(sender, flow.key);
    CHECK(blocked.queued_bytes > (std::uint64_t{31} << 20U));
    if (world.slow.size() > 1 && blocked.in_flight_bytes != 0)
      CHECK(blocked.in_flight_bytes <= 5 * world.message_bytes);
    else
      CHECK(blocked.credit_left_bytes < memory_cost(world.message_bytes));
  }
}

/// Beside it the neighbours' transfers take at most 5 % longer than without it.
void demand_undisturbed(const std::vector<Duration>& beside, const std::vector<Duration>& alone) {
  const auto sum = [](const std::vector<Duration>& all) {
    return static_cast<double>(std::accumulate(all.begin(), all.end(), Duration{}).count());
  };
  WARN("others: " << sum(alone) / sum(beside) * 100 << " % of undisturbed");
  CHECK(sum(beside) <= sum(alone) / 0.95);
  // Nor any of them alone, for what the senders' own controllers make of it.
  for (std::size_t i = 0; i < alone.size(); ++i) CHECK(beside[i] <= alone[i] * 5 / 4);
}

/// It stops for ten seconds and reads again; returns the most memory that was in use.
std::uint64_t stop_and_resume(const SlowOptions& options) {
  SlowReceiver alone{options};
  const auto undisturbed = alone.neighbours_for_ten_seconds();
  alone.hosts.converge();

  SlowReceiver world{options};
  auto& hosts = world.hosts;
  world.busy(world.slow, 1ms);
  REQUIRE(world.arrived(world.slow) > 50);
  hosts.app(receiver).reads = false;
  world.busy(world.slow, 40ms);
  demand_blocked(world);
  const std::uint64_t arrived = world.arrived(world.slow);
  const std::uint64_t sent = world.packets_sent_to_slow();

  demand_undisturbed(world.neighbours_for_ten_seconds(), undisturbed);
  demand_blocked(world);
  CHECK(world.arrived(world.slow) == arrived);
  // Ten seconds of silence cost a few keepalives, not a probe after the other.
  CHECK(world.packets_sent_to_slow() <= sent + 20 * options.flows);
  // It reads again: what waited is there at once, and new data within two round trips.
  const Instant resumed_at = hosts.now();
  hosts.app(receiver).reads = true;
  hosts.poll(receiver);
  const std::uint64_t waited = world.arrived(world.slow);
  CHECK(waited > arrived);
  const auto more = [&] { return world.arrived(world.slow) > waited; };
  REQUIRE(hosts.run_until(more, resumed_at + 10ms));
  WARN("resumed after " << (hosts.now() - resumed_at).count() / 1000 << " us");
  CHECK(hosts.now() - resumed_at <= 2 * 40us);
  CHECK(hosts.run_until([&] { return world.all_here(world.slow); }, hosts.now() + 5s));
  CHECK(world.all_here(world.others));
  hosts.converge();
  return hosts.app(receiver).memory.most_received_bytes();
}

}  // namespace

TEST_CASE("A20: an application that stops for 10 s stops its sender and nobody else", "[A20]") {
  constexpr SlowOptions options{1, std::uint64_t{32} << 20U};
  CHECK(stop_and_resume(options) <= options.memory_bytes);
}
TEST_CASE("A20: an application that stops and fills its memory stops its senders and nobody else",
          "[A20]") {
  constexpr SlowOptions options{10, std::uint64_t{4} << 20U};
  const std::uint64_t most = stop_and_resume(options);
  WARN("received at most " << most << " of " << options.memory_bytes);
  CHECK(most <= options.memory_bytes);  // full to the last block, and never more
  CHECK(most + memory_cost(SlowReceiver::message_bytes) >= options.memory_bytes);
}

namespace {

/// One flow whose messages fill the receiver's memory; the next one waits there for its block.
struct Exhausted {
  static constexpr std::uint32_t length = 64 * 1024;

  Exhausted()
      : hosts(HostsOptions{.receive_bytes = 8 * length, .message_bytes_max = length}),
        flow(hosts.connect(sender, receiver)),
        stream(20, 0, length) {
    server = hosts.accepted(receiver, 0, hosts.info(sender, flow));
    hosts.app(receiver).on_event = [this](FlowKey, const FlowEvent& event) {
      if (event.kind == FlowEventKind::message) stream.arrived(event);
    };
    stream.fill(hosts, sender, 0, flow, 4);
    hosts.run_for(1ms);
    REQUIRE(stream.arrived() == 4);
    hosts.app(receiver).reads = false;
    stream.fill(hosts, sender, 0, flow, 24);
    hosts.run_for(5ms);
    REQUIRE(hosts.info(sender, flow).in_flight_bytes == 0);
    REQUIRE(hosts.info(sender, flow).queued_messages > 0);
  }
  Hosts<> hosts;
  FlowKey flow, server;
  Stream stream;
};

}  // namespace

TEST_CASE("A20: a credit update that is lost is repaired by the receiver's own probe", "[A20]") {
  Exhausted world;
  Hosts<>& hosts = world.hosts;
  std::optional<Instant> lost_at, resumed_at;
  hosts[receiver].watch = [&](Instant now, std::span<const std::byte> frame) {
    if (lost_at) return false;
    CHECK(frame.size() < 200);  // it tells of credit and nothing else
    lost_at = now;
    return true;
  };
  hosts[sender].watch = [&](Instant now, std::span<const std::byte> frame) {
    if (frame.size() > 1000 && !resumed_at) resumed_at = now;
    return false;
  };
  const Duration probe_wait = 2 * hosts.info(receiver, world.server).smoothed_rtt + 25us;
  hosts.app(receiver).reads = true;
  hosts.poll(receiver);
  (void)hosts.run_until([&] { return resumed_at.has_value(); }, hosts.now() + 1s);
  REQUIRE(lost_at.has_value());
  REQUIRE(resumed_at.has_value());
  WARN("lost, and resumed " << (*resumed_at - *lost_at).count() / 1000
                            << " us later; first probe after " << probe_wait.count() / 1000);
  CHECK(*resumed_at - *lost_at <= probe_wait + 20us + 5us);  // one way, and who takes turns
  CHECK(hosts.run_until([&] { return world.stream.arrived() == 24; }, hosts.now() + 1s));
  CHECK(world.stream.right());
  hosts.converge();
}

namespace {

/// `count` flows each offer one message of 8 MiB to one application with `receive_bytes`.
void more_than_memory(std::uint32_t count, std::uint64_t receive_bytes) {
  constexpr std::uint32_t length = 8U << 20U;
  Hosts<> hosts{HostsOptions{.flows_max = 2048, .receive_bytes = receive_bytes}};
  std::map<std::uint32_t, std::uint32_t> flow_of;  // the receiver's flow keys
  std::vector<std::uint32_t> arrivals(count);
  std::uint32_t arrived = 0, wrong = 0;
  hosts.app(receiver).on_event = [&](FlowKey key, const FlowEvent& event) {
    if (event.kind != FlowEventKind::message) return;
    const std::uint32_t i = flow_of[key.value];
    ++arrived;
    ++arrivals[i];
    const ContentKey content{28, i, 0, 0};
    if (event.message.length != length || !PatternMemory::holds(content, event.message)) ++wrong;
  };
  std::vector<FlowKey> flows;
  for (std::uint32_t i = 0; i < count; ++i) {
    flows.push_back(hosts.connect(sender, receiver));
    flow_of[hosts.accepted(receiver, 0, hosts.info(sender, flows[i])).value] = i;
  }
  const Instant began = hosts.now();
  for (std::uint32_t i = 0; i < count; ++i)
    REQUIRE(hosts.offer(sender, 0, flows[i], {28, i, 0, 0}, length) == Reason::none);
  const bool all = hosts.run_until([&] { return arrived == count; }, hosts.now() + 20s);
  const double seconds = static_cast<double>((hosts.now() - began).count()) / 1e9;
  WARN(count << " messages of 8 MiB in " << seconds
             << " s: " << static_cast<double>(arrived) * length * 8 / seconds / 1e9 << " Gbit/s");
  CHECK(all);
  CHECK(wrong == 0);
  CHECK(std::all_of(arrivals.begin(), arrivals.end(), [](auto n) { return n == 1; }));
  CHECK(hosts.app(receiver).memory.most_received_bytes() <= receive_bytes);
  // What the queues take: a few small blocks for each flow that waits, and the records of what was
  // in flight when it was its turn, until it rests: a path's worth, 32 or 64 packets. The sender
  // keeps no copy of what it sends. With some hundred flows half of them reach the 64.
  const std::uint64_t each = count < 100 ? 2048 : 512 + 64 * sizeof(SentPacket);
  CHECK(hosts[receiver].most_scratch_bytes <= std::uint64_t{1024} * count);
  CHECK(hosts[sender].most_scratch_bytes <= each * count + (64U << 10U));
  hosts.converge();
}

}  // namespace

TEST_CASE("A28: 1,000 flows each offer 8 MiB to 64 MiB of receive memory; all complete", "[A28]") {
  more_than_memory(in_full() ? 1000 : 60, std::uint64_t{64} << 20U);
}
TEST_CASE("A28: memory for one message only serves many flows one after the other", "[A28]") {
  more_than_memory(in_full() ? 1000 : 20, std::uint64_t{9} << 20U);
}

namespace {

/// 300 flows send 16 messages of 1000 bytes each to an application that reads every 100 us. Returns
/// how many of its looks it took.
std::uint32_t looks_for_all(std::uint64_t receive_bytes) {
  constexpr std::uint32_t count = 300, messages = 16, length = 1000;
  HostsOptions options{
      .flows_max = count, .receive_bytes = receive_bytes, .message_bytes_max = 64 * 1024};
  // A controller would slow down for the queue that 300 flows make at first: not the question here.
  options.engine.flow.congestion = CongestionKind::fixed_window;
  Hosts<> hosts{options};
  std::vector<Stream> streams;
  std::map<std::uint32_t, std::uint32_t> flow_of;
  std::uint64_t arrived = 0;
  HostApp& app = hosts.app(receiver);
  app.on_event = [&](FlowKey key, const FlowEvent& event) {
    if (event.kind != FlowEventKind::message) return;
    streams[flow_of[key.value]].arrived(event);
    ++arrived;
  };
  std::vector<FlowKey> flows;
  for (std::uint32_t i = 0; i < count; ++i) {
    streams.emplace_back(30, i, length);
    flows.push_back(hosts.connect(sender, receiver));
    flow_of[hosts.accepted(receiver, 0, hosts.info(sender, flows[i])).value] = i;
  }
  for (std::uint32_t i = 0; i < count; ++i) streams[i].fill(hosts, sender, 0, flows[i], messages);
  std::uint32_t looks = 0;
  for (; arrived < std::uint64_t{count} * messages && looks < 50'000; ++looks) {
    app.reads = false;
    hosts.run_for(100us);
    app.reads = true;
    hosts.poll(receiver);
  }
  for (const Stream& stream : streams) CHECK((stream.right() && stream.arrived() == messages));
  CHECK(app.memory.most_received_bytes() <= receive_bytes);
  hosts.converge();
  return looks;
}

}  // namespace

TEST_CASE("Many flows over very little memory go on as memory comes free, not once per probe",
          "[A28]") {
  // 64 blocks of 1 KiB (and one kept back): 4,800 messages need 75 looks at the very least.
  const std::uint32_t looks = looks_for_all(128 * 1024);
  WARN(looks << " looks");
  CHECK(looks <= 4 * 75);
}

TEST_CASE("100,000 flows over one memory of 8 MiB all get their turn", "[A28]") {
  const std::uint32_t count = in_full() ? 100'000 : 10'000;
  constexpr std::uint32_t length = 3000;
  // Application ports of one address are 65,535: two hosts of clients.
  Hosts<> hosts{HostsOptions{.hosts = 3,
                             .flows_max = count + 16,
                             .receive_bytes = std::uint64_t{8} << 20U,
                             .message_bytes_max = 64 * 1024}};
  std::map<std::uint32_t, std::uint32_t> flow_of;
  std::uint32_t arrived = 0, wrong = 0;
  HostApp& app = hosts.app(receiver);
  app.on_event = [&](FlowKey key, const FlowEvent& event) {
    if (event.kind != FlowEventKind::message) return;
    ++arrived;
    const ContentKey content{31, flow_of[key.value], 0, 0};
    if (event.message.length != length || !PatternMemory::holds(content, event.message)) ++wrong;
  };
  const auto client = [](std::uint32_t i) { return i % 2 == 0 ? 0U : 2U; };
  std::vector<FlowKey> flows;
  for (std::uint32_t i = 0; i < count; ++i) {
    flows.push_back(hosts.connect(client(i), receiver));
    flow_of[hosts.accepted(receiver, 0, hosts.info(client(i), flows[i])).value] = i;
  }
  app.reads = false;  // until nothing more fits
  for (std::uint32_t i = 0; i < count; ++i)
    REQUIRE(hosts.offer(client(i), 0, flows[i], {31, i, 0, 0}, length) == Reason::none);
  hosts.run_for(5ms);
  CHECK(arrived == 0);
  const Instant began = hosts.now();
  app.reads = true;
  hosts.poll(receiver);
  CHECK(hosts.run_until([&] { return arrived == count; }, began + 20s));
  WARN(count << " flows in " << (hosts.now() - began).count() / 1000 << " us");
  CHECK(wrong == 0);
  CHECK(app.memory.most_received_bytes() <= std::uint64_t{8} << 20U);
  hosts.converge();
}
