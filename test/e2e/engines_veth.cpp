// e2e: four engines on each of two hosts over net_af_packet: the kernel spreads packets over the
// queues by a hash that nobody here can read or set (packet(7), PACKET_FANOUT_HASH).
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <proa/in_process.hpp>
#include <string>
#include <thread>
#include <vector>

#include "netns.hpp"
#include "process.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using namespace std::chrono_literals;
using Net = Stack<InProcess<DpdkNic>>;

constexpr std::uint32_t engines = 4;
constexpr std::chrono::milliseconds patience{60'000};

/// What a host says at the end of a phase, all its engines together.
struct Word {
  char error[256] = {};
  std::uint64_t handed_over = 0, dropped = 0, searches_in_vain = 0, hits = 0, messages = 0;
};

/// The engines of one host, a thread each.
class Host {
 public:
  Host(const TwoHosts& hosts, std::size_t number) {
    hosts.enter(number);
    options_.nic.driver = DpdkDriver::af_packet;
    options_.nic.interface = TwoHosts::interface;
    options_.nic.queue_pairs = engines;
    options_.interface.addresses = {{address_of(number), 24}};
    port_ = std::make_unique<Port<DpdkNic>>(options_.nic);
  }
  ~Host() { stop(); }

  static IpAddress address_of(std::size_t number) {
    return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + number));
  }
  /// body(engine, net) is called again and again.
  template <class Body>
  void start(Body body) {
    for (std::uint32_t i = 0; i < engines; ++i)
      threads_.emplace_back([this, i, body] {
        Net net{*port_, options_};
        while (!stop_.load()) {
          body(i, net);
          publish(i, net.counters());
        }
      });
  }
  void stop() {
    stop_.store(true);
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  void count_message() noexcept { messages_.fetch_add(1); }
  void fail(const char* why) noexcept { failure_.store(why); }
  [[nodiscard]] Word word() const {
    Word out;
    if (const char* why = failure_.load()) std::string{why}.copy(out.error, sizeof out.error - 1);
    for (const auto& seen : seen_) {
      out.handed_over += seen[0].load();
      out.dropped += seen[1].load();
      out.searches_in_vain += seen[2].load();
      out.hits += seen[3].load();
    }
    out.messages = messages_.load();
    return out;
  }

 private:
  void publish(std::uint32_t i, const EngineCounters& c) noexcept {
    seen_[i][0].store(c.handed_over);
    seen_[i][1].store(c.drops[Drop::handover_full]);
    seen_[i][2].store(c.paths.searches_in_vain);
    seen_[i][3].store(c.paths.hits);
  }

  Net::Options options_;
  std::unique_ptr<Port<DpdkNic>> port_;
  std::array<std::array<std::atomic<std::uint64_t>, 4>, engines> seen_{};
  std::atomic<std::uint64_t> messages_{0};
  std::atomic<const char*> failure_{nullptr};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

/// Every engine listens on a port of its own and echoes.
void serve(Host& host) {
  host.start([&](std::uint32_t i, Net& net) {
    static thread_local bool listening = false;
    if (!listening && !net.listen({static_cast<std::uint16_t>(7000 + i)}))
      return host.fail("cannot listen");
    listening = true;
    while (auto event = net.poll())
      if (event->kind == EventKind::message && !net.send(event->flow, event->message.bytes()))
        host.fail("cannot echo");
    static_cast<void>(net.wait(10ms));
  });
}

/// Every engine talks to every engine of the other host, one message at a time on each flow and a
/// pause: the kernel moves packets to other queues when a reader is too slow.
void ask(Host& host) {
  host.start([&](std::uint32_t, Net& net) {
    static thread_local std::vector<FlowHandle> flows;
    for (std::uint16_t to = 0; flows.size() < engines; ++to) {
      const auto flow =
          net.connect({Host::address_of(1), static_cast<std::uint16_t>(7000 + to)}, 20s);
      if (!flow) return host.fail("cannot connect");
      flows.push_back(*flow);
    }
    std::uint64_t number = 0;
    for (const FlowHandle flow : flows)
      if (!net.send(flow, std::as_bytes(std::span{&number, 1}))) return host.fail("cannot send");
    for (std::size_t answers = 0; answers < flows.size();) {
      if (!net.wait(20s)) return host.fail("no answer");
      while (auto event = net.poll()) {
        if (event->kind == EventKind::closed) return host.fail("a flow ended");
        if (event->kind != EventKind::message) continue;
        ++answers;
        host.count_message();
      }
    }
    static_cast<void>(net.wait(2ms));
  });
}

/// A host in a child process that tells what it has seen whenever it is asked.
ChildProcess run(const TwoHosts& hosts, std::size_t number, void (*what)(Host&)) {
  auto child = ChildProcess::start([&hosts, number, what](Control& control) {
    try {
      Host host{hosts, number};
      what(host);
      while (control.receive<char>(patience)) control.send(host.word());
    } catch (const std::exception& error) {
      Word word;
      std::string{error.what()}.copy(word.error, sizeof word.error - 1);
      control.send(word);
    }
    return 0;
  });
  if (!child) throw std::runtime_error{child.error()};
  return std::move(*child);
}

Word heard(ChildProcess& child) {
  child.control().send('?');
  const auto word = child.control().receive<Word>(patience);
  if (!word) throw std::runtime_error{"a host does not answer"};
  if (word->error[0] != '\0') throw std::runtime_error{word->error};
  return *word;
}

}  // namespace

TEST_CASE("four engines on each side find paths through the kernel's fanout hash",
          "[stack][root]") {
  const auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  ChildProcess server = run(*hosts, 1, serve);
  static_cast<void>(heard(server));
  ChildProcess client = run(*hosts, 0, ask);
  const auto until_more = [&](std::uint64_t messages) {
    const std::uint64_t goal = heard(client).messages + messages;
    while (heard(client).messages < goal) ::usleep(20'000);
  };
  until_more(16 * 60);  // sixteen flows: enough for 8 of 32 packets, and for every search
  Word a, b;
  std::uint64_t handed_over = 1;
  // A thread that gets no processor makes the kernel use other queues: not in every second.
  for (int attempt = 0; attempt < 10 && handed_over != 0; ++attempt) {
    const Word a_before = heard(client), b_before = heard(server);
    until_more(16 * 20);
    a = heard(client);
    b = heard(server);
    handed_over = a.handed_over + b.handed_over - a_before.handed_over - b_before.handed_over;
  }
  CHECK(handed_over == 0);
  CHECK(a.hits + b.hits > 0);
  CHECK(a.handed_over + b.handed_over > 0);
  CHECK(a.dropped + b.dropped == 0);
  WARN("handed over until paths were found: "
       << a.handed_over + b.handed_over << ", searches that hit: " << a.hits + b.hits
       << ", in vain: " << a.searches_in_vain + b.searches_in_vain);
}
