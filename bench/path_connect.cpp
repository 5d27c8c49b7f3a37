// bench: flows between hosts of several engines, behind a hash nobody can read: what setting one up
// costs before and after a path is known, and what the kernel had a part in.
#include "path_connect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <proa/in_process.hpp>
#include <vector>

#include "machine.hpp"
#include "rollover.hpp"

namespace proa::bench {
namespace {

using Net = Stack<InProcess<DpdkNic>>;
using tl::unexpected;

constexpr std::uint16_t first_port = 7000;  // engine i listens on first_port + i
constexpr std::chrono::seconds start_patience{60};
// A flow looks for a better path after 8 of 32 packets came to the wrong engine, and takes a few
// round trips to find it.
constexpr std::uint32_t rounds_until_found = 100;
constexpr std::uint32_t rounds_remembered = 16;  // so that a path that became bad is noticed

/// What is read of all engines of a host at once.
struct Totals {
  std::uint64_t packets = 0, probes = 0, searches = 0, handed_over = 0;
  std::uint64_t rolled_over = 0;  // by the kernel, to another queue than its hash says
  Totals& operator+=(const Totals& other) noexcept {
    packets += other.packets;
    probes += other.probes;
    searches += other.searches;
    handed_over += other.handed_over;
    rolled_over += other.rolled_over;
    return *this;
  }
  friend Totals operator-(Totals a, const Totals& b) noexcept {
    return {a.packets - b.packets, a.probes - b.probes, a.searches - b.searches,
            a.handed_over - b.handed_over, a.rolled_over - b.rolled_over};
  }
};

IpAddress address_of(std::size_t number, bool ipv6) {
  if (ipv6) return *parse_ip(number == 0 ? "fd00:117::11" : "fd00:117::12");
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + number));
}

/// The engines of one host on a shared port, polled in turn by the thread that made them.
class Host {
 public:
  Host(const Wire& wire, std::size_t number, const PathSetup& setup)
      : peer_(address_of(1 - number, setup.ipv6)) {
    const std::uint32_t engines = setup.engines;
    Net::Options options;
    options.nic = wire.enter(number);
    options.nic.queue_pairs = static_cast<std::uint16_t>(engines);
    const auto prefix_bits = static_cast<std::uint8_t>(setup.ipv6 ? 64 : 24);
    options.interface.addresses = {{address_of(number, setup.ipv6), prefix_bits}};
    port_ = std::make_unique<Port<DpdkNic>>(options.nic);
    for (std::uint32_t i = 0; i < engines; ++i)
      engines_.push_back(std::make_unique<Net>(*port_, options));
  }

  [[nodiscard]] const IpAddress& peer() const noexcept { return peer_; }
  [[nodiscard]] std::uint32_t engines() const noexcept {
    return static_cast<std::uint32_t>(engines_.size());
  }
  [[nodiscard]] Net& engine(std::uint32_t i) noexcept { return *engines_[i]; }

  /// One turn of every engine; handle(engine, event).
  template <class Handle>
  void poll(const Handle& handle) {
    for (std::uint32_t i = 0; i < engines(); ++i)
      while (auto event = engine(i).poll()) handle(i, *event);
  }
  [[nodiscard]] Totals totals() const {
    Totals out;
    for (const auto& net : engines_) {
      const auto counters = net->counters();
      out += {counters.tx_packets + counters.rx_packets, counters.paths.probes_sent,
              counters.paths.searches, counters.handed_over, 0};
    }
    return out;
  }
  /// With what the kernel tells, which takes a system call for each descriptor.
  [[nodiscard]] Totals all_totals() const {
    Totals out = totals();
    out.rolled_over = rolled_over(engines()).value_or(0);
    return out;
  }

 private:
  IpAddress peer_;
  std::unique_ptr<Port<DpdkNic>> port_;
  std::vector<std::unique_ptr<Net>> engines_;
};

/// Echoes, and tells its totals whenever it is asked.
int serve(Host& host, Control& control) {
  for (std::uint32_t i = 0; i < host.engines(); ++i)
    if (!host.engine(i).listen({static_cast<std::uint16_t>(first_port + i)})) return 1;
  control.send(ReportMessage{});
  bool lost = false;
  for (;;) {
    for (std::uint32_t turn = 0; turn < 256; ++turn)  // between looks, which cost a system call
      host.poll([&](std::uint32_t i, const Net::Event& event) {
        if (event.kind == EventKind::message)
          lost = !host.engine(i).send(event.flow, event.message.bytes()) || lost;
      });
    if (lost) return std::fputs("the server cannot echo\n", stderr), 1;
    if (!control.ready()) continue;
    if (!control.receive<char>()) return 0;
    control.send(host.all_totals());
  }
}

/// What a phase of the client comes to.
struct PhaseResult {
  char error[256] = {};
  std::uint64_t setups = 0, packets = 0;  // packets sent and received until each flow was there
  Totals spent{};                         // by the client
  double seconds = 0;                     // of setting up
  Histogram time{};                       // of a set-up
};

/// Opens flows from every engine to every engine of the other host and counts what that takes.
class Client {
 public:
  Client(Host& host, double seconds) : host_(&host), seconds_(seconds) {}

  /// Every pair of engines once, then talk until the paths are found; ends the flows.
  PhaseResult first_time() {
    return phase([this] {
      for (std::uint32_t pair = 0; pair < pairs() && error_.empty(); ++pair) open(pair);
      for (std::uint32_t round = 0; round < rounds_until_found && error_.empty(); ++round)
        exchange();
      end_all();
    });
  }
  /// Every pair of engines again and again, each time with some messages.
  PhaseResult again() {
    return phase([this] {
      const std::uint64_t end =
          ticks() + static_cast<std::uint64_t>(seconds_ * 1e9 / ns_per_tick());
      for (std::uint32_t pair = 0; error_.empty() && ticks() < end; pair = (pair + 1) % pairs()) {
        open(pair);
        for (std::uint32_t round = 0; round < rounds_remembered && error_.empty(); ++round)
          exchange();
        end_all();
      }
    });
  }

 private:
  struct Flow {
    std::uint32_t engine;
    FlowHandle handle;
  };

  [[nodiscard]] std::uint32_t pairs() const noexcept { return host_->engines() * host_->engines(); }

  template <class Body>
  PhaseResult phase(const Body& body) {
    result_ = PhaseResult{};
    const Totals before = host_->all_totals();
    body();
    result_.spent = host_->all_totals() - before;
    error_.copy(result_.error, sizeof result_.error - 1);
    return result_;
  }
  void open(std::uint32_t pair) {
    const std::uint32_t from = pair % host_->engines(), to = pair / host_->engines();
    const std::uint64_t packets_before = host_->totals().packets, before = ticks();
    const auto flow =
        host_->engine(from).connect({host_->peer(), static_cast<std::uint16_t>(first_port + to)});
    if (!flow) return fail("cannot connect: " + std::string{flow.error().text()});
    flows_.push_back({from, *flow});
    await(EventKind::connected, 1);
    const auto passed = static_cast<double>(ticks() - before);
    result_.time.record(static_cast<std::uint64_t>(passed * ns_per_tick()));
    result_.seconds += passed * ns_per_tick() / 1e9;
    result_.packets += host_->totals().packets - packets_before;
    ++result_.setups;
  }
  /// A message there and back on every flow.
  void exchange() {
    static constexpr std::byte message[8] = {};
    for (const Flow& flow : flows_)
      if (!host_->engine(flow.engine).send(flow.handle, message)) return fail("cannot send");
    await(EventKind::message, flows_.size());
  }
  void end_all() {
    for (const Flow& flow : flows_)
      static_cast<void>(host_->engine(flow.engine).reset(flow.handle));
    flows_.clear();
  }
  void await(EventKind kind, std::size_t events) {
    const std::uint64_t end = ticks() + static_cast<std::uint64_t>(30e9 / ns_per_tick());
    while (events != 0 && error_.empty()) {
      host_->poll([&](std::uint32_t engine, const Net::Event& event) {
        if (event.kind == kind) --events;
        if (event.kind == EventKind::closed && is_open(engine, event.flow))
          fail("a flow ended: " + std::string{text(event.reason)});
      });
      if (ticks() > end) fail("nothing happened for half a minute");
    }
  }
  [[nodiscard]] bool is_open(std::uint32_t engine, FlowHandle handle) const {
    return std::any_of(flows_.begin(), flows_.end(), [&](const Flow& flow) {
      return flow.engine == engine && flow.handle.value == handle.value;
    });
  }
  void fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
  }

  Host* host_;
  double seconds_;
  PhaseResult result_;
  std::vector<Flow> flows_;
  std::string error_;
};

/// A phase whenever it is told to; alive while it waits: it answers its neighbours.
int ask(Host& host, Control& control, double seconds) {
  Client client{host, seconds};
  control.send(ReportMessage{});
  for (bool first = true;; first = false) {
    while (!control.ready()) host.poll([](std::uint32_t, const Net::Event&) {});
    if (!control.receive<char>()) return 0;
    control.send(first ? client.first_time() : client.again());
  }
}

/// body(host, control) in a child of its own that is ready; an error while it starts is its report.
template <class Body>
tl::expected<ChildProcess, std::string> start_host(const Wire& wire, std::size_t number,
                                                   const PathSetup& setup, const Body& body) {
  auto child = ChildProcess::start([&, number](Control& control) {
    try {
      Host host{wire, number, setup};
      pin(number == 0 ? setup.core_a : setup.core_b);
      return body(host, control);
    } catch (const std::exception& error) {
      return control.send(ReportMessage{unexpected<std::string>(error.what())}), 1;
    }
  });
  if (!child) return child;
  if (auto ready = heard(*child, "host", start_patience); !ready) return unexpected(ready.error());
  return child;
}

/// What the child answers to a question.
template <class Answer>
tl::expected<Answer, std::string> asked(ChildProcess& child, std::chrono::milliseconds patience) {
  child.control().send('?');
  if (auto answer = child.control().receive<Answer>(patience)) return *answer;
  return unexpected<std::string>("a host does not answer");
}

Sample sample_of(const PhaseResult& result, const Totals& server) {
  const auto per_setup = [&](std::uint64_t count) {
    return static_cast<double>(count) / static_cast<double>(result.setups);
  };
  Sample sample;
  add_latency(sample, result.time);
  sample.push_back({"packets", "per set-up", per_setup(result.packets)});
  Totals both = result.spent;
  both += server;
  sample.push_back({"probes", "per flow", per_setup(both.probes)});
  sample.push_back({"searches", "per flow", per_setup(both.searches)});
  sample.push_back({"handed_over", "per flow", per_setup(both.handed_over)});
  sample.push_back({"rolled_over", "per flow", per_setup(both.rolled_over)});
  sample.push_back({"rate", "set-ups/s", static_cast<double>(result.setups) / result.seconds});
  return sample;
}

/// One phase of the client, with what it took the server.
Outcome measure_phase(ChildProcess& client, ChildProcess& server, double seconds) {
  const std::chrono::milliseconds patience{static_cast<std::int64_t>(seconds * 1e3) + 120'000};
  const auto before = asked<Totals>(server, start_patience);
  const auto result = asked<PhaseResult>(client, patience);
  const auto after = asked<Totals>(server, start_patience);
  if (!before || !result || !after) return unexpected<std::string>("a host does not answer");
  if (result->error[0] != '\0') return unexpected<std::string>(result->error);
  if (result->setups == 0) return unexpected<std::string>("no flow was set up");
  return sample_of(*result, *after - *before);
}

}  // namespace

Outcome measure_path_connects(const Wire& wire, const PathSetup& setup) {
  auto server = start_host(wire, 1, setup, serve);
  if (!server) return unexpected(server.error());
  auto client = start_host(wire, 0, setup, [&](Host& host, Control& control) {
    return ask(host, control, setup.seconds);
  });
  if (!client) return unexpected(client.error());
  auto first = measure_phase(*client, *server, setup.seconds);
  if (!first || !setup.remembered) return first;
  return measure_phase(*client, *server, setup.seconds);
}

}  // namespace proa::bench
