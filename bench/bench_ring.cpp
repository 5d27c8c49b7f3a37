// bench: what passing a message to another core costs: a bare cache line, Boost.Lockfree, our ring,
// a whole channel.
#include <array>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <proa/ipc/channel_client.hpp>
#include <proa/ipc/channel_server.hpp>
#include <proa/ipc/channel_setup.hpp>
#include <proa/ipc/ring.hpp>

#include "harness.hpp"

namespace {

using namespace proa;
using namespace proa::bench;

using Stop = std::atomic<bool>;
using Payload = std::array<std::byte, 48>;

/// Runs `other` on the second core while this thread, on the first, does `step` again and again;
/// `step` returns how many messages it moved. Returns ns per message: the median over the steps, so
/// that an interruption spoils a step and not the figure.
double ns_per_message(const Bench& bench, double seconds, const std::function<void(Stop&)>& other,
                      const std::function<std::uint64_t()>& step) {
  Stop stop{false};
  pin(bench.core(0));
  std::thread thread{[&] {
    pin(bench.core(1));
    other(stop);
  }};
  for (int i = 0; i < 10; ++i) step();  // warm
  const double per_tick = ns_per_tick();
  const auto limit = static_cast<std::uint64_t>(seconds * 1e9 / per_tick);
  std::vector<double> steps;
  steps.reserve(1'000'000);
  const std::uint64_t begin = ticks();
  // A short time may go by while the other one has no processor.
  const auto patience = limit + static_cast<std::uint64_t>(10e9 / per_tick);
  for (std::uint64_t last = begin; last - begin < (steps.empty() ? patience : limit);) {
    const std::uint64_t moved = step();
    const std::uint64_t now = ticks();
    if (moved != 0)
      steps.push_back(static_cast<double>(now - last) * per_tick / static_cast<double>(moved));
    last = now;
  }
  stop.store(true);
  thread.join();
  return median(std::move(steps));
}

constexpr int trips_per_step = 500;

// --- the limit: one cache line each way ---

struct CacheLines {
  struct alignas(64) Line {
    std::atomic<std::uint32_t> value{0};
  };
  Line there, back;
};

Sample cache_line(const Bench& bench, double seconds) {
  CacheLines lines;
  std::uint32_t sent = 0;
  const double ns = ns_per_message(
      bench, seconds,
      [&](Stop& stop) {
        for (std::uint32_t seen = 0; !stop.load(std::memory_order_relaxed);) {
          const std::uint32_t now = lines.there.value.load(std::memory_order_acquire);
          if (now != seen) lines.back.value.store(seen = now, std::memory_order_release);
        }
      },
      [&]() -> std::uint64_t {
        for (int i = 0; i < trips_per_step; ++i) {
          lines.there.value.store(++sent, std::memory_order_release);
          while (lines.back.value.load(std::memory_order_acquire) != sent) {
          }
        }
        return trips_per_step;
      });
  return {{"rtt", "ns", ns}};
}

// --- queues: push(payload) and pop(payload) say whether they could ---

struct BoostQueue {
  bool push(const Payload& p) { return queue.push(p); }
  bool pop(Payload& p) { return queue.pop(p); }
  boost::lockfree::spsc_queue<Payload, boost::lockfree::capacity<1023>> queue;
};

struct OwnRing {
  static constexpr std::uint32_t slots = 1024;
  bool push(const Payload& p) {
    if (writer.room() == 0) return false;
    std::memcpy(writer.body() + sizeof(SlotHead), p.data(), p.size());
    writer.publish();
    return true;
  }
  bool pop(Payload& p) {
    SlotBody body;
    if (!reader.peek(body)) return false;
    reader.advance();
    std::memcpy(p.data(), body.data() + sizeof(SlotHead), p.size());
    return true;
  }
  std::vector<RingSlot> memory{slots};
  ReaderLine line;
  // Each end's position on a cache line of its own, as two processes have them.
  alignas(64) RingWriter writer{memory.data(), slots, &line};
  alignas(64) RingReader reader{memory.data(), slots, &line};
};

template <class Queue>
Sample there_and_back(const Bench& bench, double seconds) {
  const auto there = std::make_unique<Queue>(), back = std::make_unique<Queue>();
  Payload payload{};
  const double ns = ns_per_message(
      bench, seconds,
      [&](Stop& stop) {
        Payload got;
        while (!stop.load(std::memory_order_relaxed))
          if (there->pop(got)) back->push(got);
      },
      [&]() -> std::uint64_t {
        for (int i = 0; i < trips_per_step; ++i) {
          there->push(payload);
          while (!back->pop(payload)) {
          }
        }
        return trips_per_step;
      });
  return {{"rtt", "ns", ns}};
}

template <class Queue>
Sample one_way(const Bench& bench, double seconds) {
  const auto queue = std::make_unique<Queue>();
  Payload payload{};
  std::uint64_t sum = 0;
  const double ns = ns_per_message(
      bench, seconds,
      [&](Stop& stop) {
        Payload out{};
        while (!stop.load(std::memory_order_relaxed))
          if (queue->push(out)) out[0] = static_cast<std::byte>(std::to_integer<int>(out[0]) + 1);
      },
      [&]() -> std::uint64_t {
        std::uint64_t got = 0;
        for (int i = 0; i < 20'000; ++i)
          if (queue->pop(payload)) {
            ++got;
            sum += std::to_integer<std::uint64_t>(payload[0]);
          }
        return got;
      });
  return {{"rate", "messages/s", sum == 0 ? 0 : 1e9 / ns}};
}

// --- a channel: requests, checks, arenas and events, an engine that only sends back ---

struct EchoSink {
  explicit EchoSink(ChannelServer& s) : server(s) {}
  Expected<std::uint32_t> connect(ChannelHandle h, const Endpoint&, Instant) noexcept {
    handle = h;
    return 1;
  }
  Expected<MessageNumber> submit(std::uint32_t, const MessageBlock& block, bool) noexcept {
    if (!server.room()) return failed(Reason::would_block);
    const auto to = server.memory().reserve(block.length);
    if (!to) return failed(Reason::would_block);
    std::memcpy(to->data, block.data, block.length);
    server.memory().release(block);
    server.deliver_message(handle, *to);
    return MessageNumber{number++};
  }
  void close(std::uint32_t, Instant) noexcept {}
  void reset(std::uint32_t) noexcept {}
  bool describe(std::uint32_t, FlowDetails&) noexcept { return false; }

  ChannelServer& server;
  ChannelHandle handle;
  std::uint32_t number = 0;
};

struct Channel {
  static std::unique_ptr<Channel> make() {
    ChannelGeometry g;
    auto setup = ChannelSetup::make(g).value();
    auto offer = setup.offer().value();
    auto send =
        SharedMapping::map(offer.send.get(), send_layout(g).bytes(), MapAccess::read_write).value();
    auto receive =
        SharedMapping::map(offer.receive.get(), receive_layout(g).bytes(), MapAccess::read_only)
            .value();
    return std::make_unique<Channel>(setup.serve().value(), g, std::move(send), std::move(receive),
                                     Doorbell{std::move(offer.doorbell)});
  }
  Channel(std::unique_ptr<ChannelServer> s, const ChannelGeometry& g, SharedMapping send,
          SharedMapping receive, Doorbell bell)
      : server(std::move(s)),
        memory(g, std::move(send), std::move(receive)),
        client(memory, std::move(bell)),
        flow(client.connect({IpAddress::v4(1), 7}, never).value()) {}

  std::unique_ptr<ChannelServer> server;
  ClientMemory memory;
  ChannelClient client;
  ChannelHandle flow;
};

Sample channel_echo(const Bench& bench, double seconds, std::uint32_t size, std::uint32_t window) {
  const auto channel = Channel::make();
  std::vector<std::byte> bytes(size);
  std::uint64_t in_flight = 0;
  const double ns = ns_per_message(
      bench, seconds,
      [&](Stop& stop) {
        EchoSink sink{*channel->server};
        while (!stop.load(std::memory_order_relaxed)) {
          channel->server->pull(sink, 32);
          channel->server->publish();
        }
      },
      [&]() -> std::uint64_t {
        ChannelEvent event;
        std::uint64_t got = 0;
        for (int i = 0; i < 2'000; ++i) {
          while (in_flight < window && channel->client.send(channel->flow, bytes, false))
            ++in_flight;
          channel->client.flush();
          while (channel->client.poll(event)) {
            if (event.kind != ChannelEventKind::message) continue;
            channel->memory.release(event.message);
            --in_flight;
            ++got;
          }
        }
        return got;
      });
  if (window == 1) return {{"rtt", "ns", ns}};
  return {{"rate", "messages/s", 1e9 / ns}};
}

Case make_case(Labels labels, std::function<Sample()> run) {
  return {std::move(labels),
          [run = std::move(run)]() -> tl::expected<Sample, std::string> { return run(); }};
}

Labels labelled(std::string name, std::uint32_t size, std::uint32_t window, std::string reference) {
  Labels labels;
  labels.name = std::move(name);
  labels.placement = labels.name;
  labels.size = size;
  labels.has_size = true;
  labels.window = window;
  labels.reference = std::move(reference);
  return labels;
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_ring",
               .question = "What does passing a message to another core and back cost?",
               .wires = {}}};
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  if (!bench.enough_cores())
    bench.say("this process may use one processor only: two threads take turns on it");
  const double s = bench.options().seconds;
  bench.measure({
      make_case(labelled("cache line", 4, 1, ""), [&] { return cache_line(bench, s); }),
      make_case(labelled("boost spsc", 48, 1, "cache line"),
                [&] { return there_and_back<BoostQueue>(bench, s); }),
      make_case(labelled("ring", 48, 1, "cache line"),
                [&] { return there_and_back<OwnRing>(bench, s); }),
      make_case(labelled("channel", 48, 1, "cache line"),
                [&] { return channel_echo(bench, s, 48, 1); }),
      make_case(labelled("channel, arena", 1024, 1, "cache line"),
                [&] { return channel_echo(bench, s, 1024, 1); }),
  });
  bench.measure({
      make_case(labelled("boost spsc, one way", 48, 1023, ""),
                [&] { return one_way<BoostQueue>(bench, s); }),
      make_case(labelled("ring, one way", 48, 1024, "boost spsc, one way"),
                [&] { return one_way<OwnRing>(bench, s); }),
      make_case(labelled("channel, echo", 48, 32, "boost spsc, one way"),
                [&] { return channel_echo(bench, s, 48, 32); }),
      make_case(labelled("channel, arena, echo", 1024, 32, "boost spsc, one way"),
                [&] { return channel_echo(bench, s, 1024, 32); }),
  });
  return bench.finish();
}
