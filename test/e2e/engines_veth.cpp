// e2e: four and sixteen engines on each of two hosts over net_af_packet: the kernel spreads packets
// over the queues by a hash that nobody here can read or set (packet(7), PACKET_FANOUT_HASH).
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <proa/in_process.hpp>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "netns.hpp"
#include "process.hpp"
#include "rollover.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using namespace std::chrono_literals;
using Net = Stack<InProcess<DpdkNic>>;

constexpr std::uint32_t engines_at_most = 16;
constexpr std::chrono::milliseconds patience{60'000};
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
void serve(Host& host) {
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
void ask(Host& host) { host.start(Asker{host}); }

/// A host in a child process that obeys and tells what it has seen.
ChildProcess run(const TwoHosts& hosts, std::size_t number, std::uint32_t engines, bool ipv6,
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

Word heard(ChildProcess& child, const Order& order) {
  child.control().send(order);
  const auto word = child.control().receive<Word>(patience);
  if (!word) throw std::runtime_error{"a host does not answer"};
  if (word->error[0] != '\0') throw std::runtime_error{word->error};
  return *word;
}

/// What happened between two looks.
struct Phase {
  std::uint64_t messages = 0, handed_over = 0, path_changes = 0, path_returns = 0, rolled_over = 0;
  double seconds = 0;
  std::uint32_t windows = 0, quiet = 0;  // of 50 ms or a little more; nothing was handed over
  std::array<std::uint64_t, engines_at_most> received_a{}, received_b{};

  [[nodiscard]] double rate() const { return static_cast<double>(messages) / seconds; }
  [[nodiscard]] double handed_over_per_1000() const {
    return 1000.0 * static_cast<double>(handed_over) / static_cast<double>(messages);
  }
};

std::string text(const Phase& p) {
  const auto number = [](double v) { return std::to_string(static_cast<std::uint64_t>(v + 0.5)); };
  return number(p.rate()) + " messages/s, " + number(1000 * p.handed_over_per_1000()) +
         " handed over per million, nothing in " + std::to_string(p.quiet) + " of " +
         std::to_string(p.windows) + " windows, " + std::to_string(p.path_changes) +
         " paths changed, " + std::to_string(p.path_returns) + " back, " +
         std::to_string(p.handed_over) + " handed over, " + std::to_string(p.rolled_over) +
         " rolled over";
}

/// What each look saw go astray, of its messages.
std::string handed_over_in(const std::vector<Phase>& looks) {
  std::string out;
  for (const Phase& look : looks)
    out += (out.empty() ? "" : ", ") + std::to_string(look.handed_over) + " of " +
           std::to_string(look.messages);
  return out;
}

/// Both hosts, seen from the parent.
class Pair {
 public:
  Pair(const TwoHosts& hosts, std::uint32_t engines, bool ipv6)
      : server_(run(hosts, 1, engines, ipv6, serve)), client_(ready(hosts, engines, ipv6)) {}

  /// At least that many messages under this load, and for that long.
  Phase under(const Order& order, std::uint64_t messages,
              std::chrono::milliseconds at_least = 0ms) {
    const Word a = heard(client_, order), b = heard(server_, {});
    const auto began = Clock::now();
    Phase out;
    std::uint64_t so_far = a.handed_over + b.handed_over;
    Word a_then = a;
    while (a_then.messages < a.messages + messages || Clock::now() < began + at_least) {
      ::usleep(50'000);
      a_then = heard(client_, order);
      const std::uint64_t now = a_then.handed_over + heard(server_, {}).handed_over;
      ++out.windows;
      out.quiet += now == std::exchange(so_far, now) ? 1 : 0;
    }
    out.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const Word b_then = heard(server_, {});
    out.messages = a_then.messages - a.messages;
    out.handed_over = a_then.handed_over + b_then.handed_over - a.handed_over - b.handed_over;
    out.path_changes = a_then.path_changes + b_then.path_changes - a.path_changes - b.path_changes;
    out.path_returns = a_then.path_returns + b_then.path_returns - a.path_returns - b.path_returns;
    out.rolled_over = a_then.rolled_over + b_then.rolled_over - a.rolled_over - b.rolled_over;
    for (std::uint32_t i = 0; i < engines_at_most; ++i) {
      out.received_a[i] = a_then.received[i] - a.received[i];
      out.received_b[i] = b_then.received[i] - b.received[i];
    }
    return out;
  }
  /// Lets what is under way arrive.
  void rest() {
    heard(client_, {});
    ::usleep(50'000);
  }
  [[nodiscard]] Word client() { return heard(client_, {}); }
  [[nodiscard]] Word server() { return heard(server_, {}); }

 private:
  ChildProcess ready(const TwoHosts& hosts, std::uint32_t engines, bool ipv6) {
    heard(server_, {});
    return run(hosts, 0, engines, ipv6, ask);
  }
  ChildProcess server_, client_;
};

/// Alone, a flow is received by its own engine at either end and nothing is handed over. A thread
/// that gets no processor makes the kernel use other queues: not ten times in a row.
bool runs_on_its_own(Pair& pair, std::uint32_t from, std::uint32_t to) {
  constexpr std::uint64_t count = 20;
  for (int attempt = 0; attempt < 10; ++attempt) {
    pair.rest();
    const Phase alone = pair.under({Load::one, from, to, {}}, count);
    pair.rest();
    if (alone.handed_over == 0 && alone.received_a[from] >= count && alone.received_b[to] >= count)
      return true;
  }
  return false;
}

}  // namespace

TEST_CASE("four engines on each side find paths through the kernel's fanout hash",
          "[stack][root]") {
  const bool ipv6 = GENERATE(false, true);
  constexpr std::uint32_t engines = 4;
  CAPTURE(ipv6);
  const auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  Pair pair{*hosts, engines, ipv6};
  // Sixteen flows: enough for 8 of 32 packets, and for every search.
  static_cast<void>(pair.under({Load::rounds, 0, 0, 4ms}, 16 * 60));
  // Before a path is known three of four packets go astray. With as many threads as here on two
  // cores one that gets no processor is silent and its peers try other paths. Those that they know
  // are good too, and soon every flow knows two: then nothing is handed over but what a thread
  // causes that stands still for longer than peers have patience. Not ten times in a row.
  // What full load is depends on who else wants the processors: it is measured before each look.
  // A look that was disturbed so much that it is not at half load does not count either.
  Phase full;
  const auto at_half = [&](const Phase& look) {
    return look.rate() >= full.rate() * 0.4 && look.rate() <= full.rate() * 0.6;
  };
  std::vector<Phase> looks;
  std::vector<double> astray;  // per 1000 messages, in each look at half load
  while (astray.size() < 10 && looks.size() < 40 &&
         (looks.empty() || looks.back().handed_over != 0 || looks.back().rolled_over != 0 ||
          !at_half(looks.back()))) {
    full = pair.under({Load::rounds, 0, 0, 0ms}, 16 * 60, looks.empty() ? 2s : 1s);
    const std::chrono::nanoseconds every{
        static_cast<std::int64_t>(1e9 * engines * engines / (full.rate() / 2))};
    static_cast<void>(pair.under({Load::rounds, 0, 0, every}, 16 * 60));
    looks.push_back(pair.under({Load::rounds, 0, 0, every}, 16 * 60, 2s));
    if (at_half(looks.back())) astray.push_back(looks.back().handed_over_per_1000());
  }
  const Phase& half = looks.back();
  CHECK(half.handed_over == 0);
  CHECK(half.rolled_over == 0);  // nor did the kernel use other queues
  CHECK(at_half(half));          // an idle machine hands nothing over either
  std::sort(astray.begin(), astray.end());
  REQUIRE_FALSE(astray.empty());
  CHECK(astray[astray.size() / 2] < 30);
  Phase calm;
  calm.handed_over = 1;
  for (int attempt = 0; attempt < 10 && calm.handed_over != 0; ++attempt)
    calm = pair.under({Load::rounds, 0, 0, 10ms}, 16 * 20, 1s);
  CHECK(calm.handed_over == 0);
  for (std::uint32_t from = 0; from < engines; ++from)
    for (std::uint32_t to = 0; to < engines; ++to) {
      CAPTURE(from, to);
      CHECK(runs_on_its_own(pair, from, to));
    }
  const Word a = pair.client(), b = pair.server();
  CHECK(a.hits + b.hits > 0);
  CHECK(a.handed_over + b.handed_over > 0);
  CHECK(a.dropped + b.dropped == 0);
  WARN((ipv6 ? "IPv6, " : "IPv4, ")
       << "full load: " << text(full) << "; half: " << text(looks.front()) << "; " << looks.size()
       << " looks at half: " << handed_over_in(looks) << "; the last: " << text(half)
       << "; calm: " << text(calm) << "; searches that hit: " << a.hits + b.hits
       << ", in vain: " << a.searches_in_vain + b.searches_in_vain);
}

TEST_CASE("sixteen stacks of a process share its port, and each reaches all sixteen of the peer",
          "[stack][root]") {
  const bool ipv6 = GENERATE(false, true);
  constexpr std::uint32_t engines = engines_at_most;
  CAPTURE(ipv6);
  const auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  Pair pair{*hosts, engines, ipv6};
  Phase all;
  Word client;
  for (const auto until = Clock::now() + patience; Clock::now() < until;) {
    all = pair.under({Load::rounds, 0, 0, 50ms}, engines * engines, 1s);
    client = pair.client();
    if (std::count(client.rounds.begin(), client.rounds.end(), 0U) == 0) break;
  }
  const Word server = pair.server();
  for (std::uint32_t i = 0; i < engines; ++i) {
    CAPTURE(i);
    CHECK(client.rounds[i] > 0);
    CHECK(client.received[i] > 0);
    CHECK(server.received[i] > 0);
  }
  WARN("sixteen engines, " << (ipv6 ? "IPv6: " : "IPv4: ") << text(all));
}
