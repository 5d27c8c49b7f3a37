// e2e: the engines of a host over net_af_packet, a thread each, that serve or ask, and the process
// around them that obeys and tells.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <proa/in_process.hpp>

#include "netns.hpp"
#include "process.hpp"
#include "rollover.hpp"

namespace engines_tests {

using namespace proa;
using namespace proa::bench;
using namespace std::chrono_literals;
using Net = Stack<InProcess<DpdkNic>>;

inline constexpr std::uint32_t engines_at_most = 16;
inline constexpr std::chrono::milliseconds patience{60'000};
using Clock = std::chrono::steady_clock;

enum class Load : std::uint8_t {
  none,
  rounds,  // every flow of every engine has one message echoed, then a pause
  one,     // one flow only, one message after the other
};

/// What the parent wants of a host.
struct Order {
  Load load = Load::none;
  std::uint32_t from = 0, to = 0;    // Load::one: the client's engine and the server's
  std::chrono::nanoseconds every{};  // Load::rounds: of each engine; zero: without a pause
};

/// What a host says, all its engines together.
struct Word {
  char error[256] = {};
  std::uint64_t handed_over = 0, dropped = 0, searches_in_vain = 0, hits = 0, messages = 0;
  std::uint64_t path_changes = 0, path_returns = 0, rolled_over = 0;
  std::array<std::uint64_t, engines_at_most> received{};  // packets on each engine's own queue
  std::array<std::uint64_t, engines_at_most> rounds{};    // in which all flows of an engine echoed
};

/// The engines of one host, a thread each; as many on both.
class Host {
 public:
  const std::uint32_t engines;

  Host(const TwoHosts& hosts, std::size_t number, std::uint32_t of_engines, bool ipv6)
      : engines(of_engines), ipv6_(ipv6) {
    hosts.enter(number);
    options_.nic.driver = DpdkDriver::af_packet;
    options_.nic.interface = TwoHosts::interface;
    options_.nic.queue_pairs = static_cast<std::uint16_t>(engines);
    options_.interface.addresses = {
        {address_of(number, ipv6), static_cast<std::uint8_t>(ipv6 ? 64 : 24)}};
    port_ = std::make_unique<Port<DpdkNic>>(options_.nic);
  }
  ~Host() { stop(); }

  static IpAddress address_of(std::size_t number, bool ipv6) {
    IpAddress out{{0xfd, 0, 0x01, 0x17}};
    out.octets[15] = static_cast<std::uint8_t>(11 + number);
    return ipv6 ? out : IpAddress::v4(10, 117, 0, out.octets[15]);
  }
  /// A server of each engine.
  [[nodiscard]] Endpoint server(std::uint32_t engine) const {
    return {address_of(1, ipv6_), static_cast<std::uint16_t>(7000 + engine)};
  }
  /// body(engine, net) is called again and again; each thread has a copy of its own.
  template <class Body>
  void start(Body body) {
    for (std::uint32_t i = 0; i < engines; ++i)
      threads_.emplace_back([this, i, body]() mutable {
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
  void set(const Order& order) {
    const std::lock_guard lock{ordering_};
    order_ = order;
  }
  [[nodiscard]] Order order() {
    const std::lock_guard lock{ordering_};
    return order_;
  }
  void count_message() noexcept { messages_.fetch_add(1); }
  void count_round(std::uint32_t engine) noexcept { rounds_[engine].fetch_add(1); }
  void fail(const char* why) noexcept { failure_.store(why); }
  [[nodiscard]] Word word() const {
    Word out;
    if (const char* why = failure_.load()) std::string{why}.copy(out.error, sizeof out.error - 1);
    for (std::uint32_t i = 0; i < engines; ++i) {
      out.handed_over += seen_[i][0].load();
      out.dropped += seen_[i][1].load();
      out.searches_in_vain += seen_[i][2].load();
      out.hits += seen_[i][3].load();
      out.received[i] = seen_[i][4].load();
      out.rounds[i] = rounds_[i].load();
      out.path_changes += seen_[i][5].load();
      out.path_returns += seen_[i][6].load();
    }
    if (const auto packets = bench::rolled_over(engines))
      out.rolled_over = *packets;
    else
      std::strcpy(out.error, "sockets do not tell what rolled over");
    out.messages = messages_.load();
    return out;
  }

 private:
  void publish(std::uint32_t i, const EngineCounters& c) noexcept {
    seen_[i][0].store(c.handed_over);
    seen_[i][1].store(c.drops[Drop::handover_full]);
    seen_[i][2].store(c.paths.searches_in_vain);
    seen_[i][3].store(c.paths.hits);
    seen_[i][4].store(c.rx_packets);
    seen_[i][5].store(c.path_changes);
    seen_[i][6].store(c.path_returns);
  }

  bool ipv6_;
  Net::Options options_;
  std::unique_ptr<Port<DpdkNic>> port_;
  std::array<std::array<std::atomic<std::uint64_t>, 7>, engines_at_most> seen_{};
  std::atomic<std::uint64_t> messages_{0};
  std::array<std::atomic<std::uint64_t>, engines_at_most> rounds_{};
  std::atomic<const char*> failure_{nullptr};
  std::atomic<bool> stop_{false};
  std::mutex ordering_;
  Order order_;
  std::vector<std::thread> threads_;
};

/// Every engine listens on a port of its own and echoes.
inline void serve(Host& host) {
  host.start([&host, listening = false](std::uint32_t i, Net& net) mutable {
    if (!listening && !net.listen({host.server(i).port})) return host.fail("cannot listen");
    listening = true;
    while (auto event = net.poll())
      if (event->kind == EventKind::message && !net.send(event->flow, event->message.bytes()))
        host.fail("cannot echo");
    static_cast<void>(net.wait(10ms));
  });
}

/// A message: nobody else's, whatever its flow, its engine and its turn.
struct Question {
  std::uint64_t number = 0;
  std::uint32_t engine = 0, flow = 0;
};

/// An engine of the client: a flow to every engine of the other host.
class Asker {
 public:
  explicit Asker(Host& host) : host_(&host) {}

  void operator()(std::uint32_t engine, Net& net) {
    while (flows_.size() < host_->engines) {
      const auto flow =
          net.connect(host_->server(static_cast<std::uint32_t>(flows_.size())), patience);
      if (!flow) return host_->fail("cannot connect");
      flows_.push_back(*flow);
    }
    const Order order = host_->order();
    engine_ = engine;
    if (order.load == Load::rounds) {
      ask(net, flows_);
      host_->count_round(engine);
      pause(net, order.every);
    } else if (order.load == Load::one && order.from == engine) {
      ask(net, std::span{flows_}.subspan(order.to, 1));
    } else {
      static_cast<void>(net.poll());
      static_cast<void>(net.wait(2ms));
    }
  }

 private:
  /// One message on each of them, there and back.
  void ask(Net& net, std::span<const FlowHandle> flows) {
    ++number_;
    for (const FlowHandle flow : flows) {
      const Question question = question_on(flow);
      if (!net.send(flow, std::as_bytes(std::span{&question, 1})))
        return host_->fail("cannot send");
    }
    std::vector<bool> answered(flows_.size());
    for (std::size_t answers = 0; answers < flows.size();) {
      if (!net.wait(patience)) return host_->fail("no answer");
      while (auto event = net.poll()) {
        if (event->kind == EventKind::closed) return host_->fail("a flow ended");
        if (event->kind != EventKind::message) continue;
        const Question question = question_on(event->flow);
        if (question.flow == flows_.size() || answered[question.flow])
          return host_->fail("a flow answers that was not asked, or twice");
        if (!std::ranges::equal(event->message.bytes(), std::as_bytes(std::span{&question, 1})))
          return host_->fail("an answer is not what was asked");
        answered[question.flow] = true;
        ++answers;
        host_->count_message();
      }
    }
  }
  [[nodiscard]] Question question_on(FlowHandle flow) const {
    const auto at = std::find(flows_.begin(), flows_.end(), flow) - flows_.begin();
    return {number_, engine_, static_cast<std::uint32_t>(at)};
  }
  /// Until `every` after the last one began; who is late does not catch up.
  void pause(Net& net, std::chrono::nanoseconds every) {
    next_ += every;
    for (auto now = Clock::now(); now < next_; now = Clock::now())
      static_cast<void>(net.wait(std::chrono::duration_cast<Duration>(next_ - now)));
    next_ = Clock::now();
  }

  Host* host_;
  std::uint32_t engine_ = 0;
  std::uint64_t number_ = 0;  // of the round
  std::vector<FlowHandle> flows_;
  Clock::time_point next_ = Clock::now();
};
inline void ask(Host& host) { host.start(Asker{host}); }

/// A host in a child process that obeys and tells what it has seen.
inline ChildProcess run(const TwoHosts& hosts, std::size_t number, std::uint32_t engines, bool ipv6,
                        void (*what)(Host&)) {
  auto child = ChildProcess::start([&hosts, number, engines, ipv6, what](Control& control) {
    try {
      Host host{hosts, number, engines, ipv6};
      what(host);
      while (const auto order = control.receive<Order>(patience)) {
        host.set(*order);
        control.send(host.word());
      }
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

inline Word heard(ChildProcess& child, const Order& order) {
  child.control().send(order);
  const auto word = child.control().receive<Word>(patience);
  if (!word) throw std::runtime_error{"a host does not answer"};
  if (word->error[0] != '\0') throw std::runtime_error{word->error};
  return *word;
}

}  // namespace engines_tests
