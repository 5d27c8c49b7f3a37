// bench: many flows on one engine, few of them active: what the idle ones cost the active ones, the
// memory and the processor.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <proa/in_process.hpp>

#include "apps/echo.hpp"
#include "harness.hpp"
#include "machine.hpp"
#include "process.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using Net = Stack<InProcess<DpdkNic>>;
using Outcome = tl::expected<Sample, std::string>;
using tl::unexpected;

constexpr std::uint16_t port = 7000;
constexpr const char* limit_name = "the limit";  // target 12: 1 % of a core
constexpr std::uint32_t opening_at_once = 64;    // below the listener's limit for half-open flows

IpAddress address_of(std::size_t end, bool ipv6) {
  if (ipv6) return *parse_ip(end == 0 ? "fd00:117::11" : "fd00:117::12");
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + end));
}

struct Setup {
  std::uint32_t active = 16;
  std::uint32_t idle = 0;  // beside the active ones
  std::uint32_t size = 64;
  std::uint32_t window = 8;  // of the second measurement, per flow
  double seconds = 0.3;
  double keepalive_s = 0;  // 0: not measured; else the processor's time over one such period
  bool ipv6 = false;
  int core_a = 0, core_b = 1;
};

/// What one end has to say.
struct Word {
  char error[200] = {};
  double bytes_per_flow = 0, cpu_percent = 0;
  double rtt_p50 = 0, rtt_p99 = 0, rate = 0, rate_window = 0, opened_per_s = 0;
  Word() = default;
  explicit Word(const std::string& what) { what.copy(error, sizeof error - 1); }
};

double resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  long total = 0, resident = 0;
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
  std::fclose(file);
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

tl::expected<Net, std::string> open_stack(const Wire& wire, std::size_t end, const Setup& setup) {
  Net::Options options;
  options.nic = wire.enter(end);
  options.interface.mtu_bytes = wire.mtu();
  const auto prefix_bits = static_cast<std::uint8_t>(setup.ipv6 ? 64 : 24);
  options.interface.addresses = {{address_of(end, setup.ipv6), prefix_bits}};
  options.engine.flows_max = std::max(setup.active + setup.idle + 64, 1024U);
  const double keepalive = setup.keepalive_s == 0 ? 30 : setup.keepalive_s;
  options.engine.flow.keepalive = Duration{static_cast<Duration::rep>(keepalive * 1e9)};
  // Longer than a busy machine may keep either end from its processor.
  options.engine.flow.idle_limit =
      std::max<Duration>(4 * options.engine.flow.keepalive, std::chrono::seconds{10});
  return Net::open(options);
}

/// Connects the idle flows, a few at a time; the error of the first that fails.
std::string open_idle(Net& net, std::vector<FlowHandle>& flows, const Setup& setup) {
  std::uint32_t opening = 0, opened = 0;
  while (opened < setup.idle) {
    while (opening < opening_at_once && flows.size() < setup.idle) {
      const auto flow = net.connect({address_of(1, setup.ipv6), port});
      if (!flow) return "cannot connect: " + std::string{flow.error().text()};
      flows.push_back(*flow);
      ++opening;
    }
    const auto event = net.poll();
    if (!event) continue;
    if (event->kind == EventKind::closed) return "ended: " + std::string{text(event->reason)};
    if (event->kind != EventKind::connected) continue;
    --opening;
    ++opened;
  }
  return {};
}

/// One message on each flow, spread over the time: so are the keepalives that follow.
std::string spread(Net& net, const std::vector<FlowHandle>& flows, double seconds) {
  const Instant start = net.now();
  const std::byte one[1] = {};
  for (std::size_t sent = 0; sent < flows.size();) {
    const double share = static_cast<double>(sent) / static_cast<double>(flows.size());
    const Instant due = start + Duration{static_cast<Duration::rep>(share * seconds * 1e9)};
    if (net.now() < due) static_cast<void>(net.wait(due));
    const auto event = net.poll();
    if (event && event->kind == EventKind::closed)
      return "ended: " + std::string{text(event->reason)};
    if (net.now() < due) continue;
    const auto done = net.send(flows[sent], one);
    if (!done && !done.error().would_block()) return std::string{done.error().text()};
    if (done) ++sent;
  }
  return {};
}

/// The processor's time of this process over one keepalive period in which nothing else happens.
tl::expected<double, std::string> idle_percent(Net& net, double seconds) {
  const double before = cpu_seconds(::getpid());
  const Instant start = net.now();
  const Instant until = start + Duration{static_cast<Duration::rep>(seconds * 1e9)};
  while (net.now() < until) {
    static_cast<void>(net.wait(until));
    const auto event = net.poll();
    if (event && event->kind == EventKind::closed)
      return unexpected("an idle flow ended: " + std::string{text(event->reason)});
  }
  return (cpu_seconds(::getpid()) - before) / seconds * 100;
}

tl::expected<EchoResult, std::string> echo(Net& net, const Setup& setup, std::uint32_t window) {
  EchoOptions options;
  options.peer = {address_of(1, setup.ipv6), port};
  options.size = setup.size;
  options.window = window;
  options.flows = setup.active;
  options.seconds = setup.seconds;
  options.patience = std::chrono::seconds{30};
  return EchoClient<Net>{net, options}.run([] { return false; });
}

Word client(Net& net, const Setup& setup) {
  Word word;
  std::vector<FlowHandle> flows(setup.idle);  // touched before the first look at memory
  flows.clear();
  const double before = resident_bytes();
  const Instant start = net.now();
  if (auto wrong = open_idle(net, flows, setup); !wrong.empty()) return Word{wrong};
  const double took = static_cast<double>((net.now() - start).count()) * 1e-9;
  if (setup.idle != 0) {
    word.bytes_per_flow = (resident_bytes() - before) / setup.idle;
    word.opened_per_s = setup.idle / took;
  }
  if (setup.keepalive_s != 0) {
    if (auto wrong = spread(net, flows, setup.keepalive_s); !wrong.empty()) return Word{wrong};
    const auto percent = idle_percent(net, setup.keepalive_s);
    if (!percent) return Word{percent.error()};
    word.cpu_percent = *percent;
    return word;
  }
  const auto one = echo(net, setup, 1);
  if (!one) return Word{one.error()};
  Sample latency;
  add_latency(latency, one->rtt);
  word.rtt_p50 = latency[0].value;
  word.rtt_p99 = latency[1].value;
  word.rate = one->rate;
  const auto full = echo(net, setup, setup.window);
  if (!full) return Word{full.error()};
  word.rate_window = full->rate;
  return word;
}

/// Echoes until told to stop. With a keepalive to look at it sleeps, and measures from the middle:
/// what comes before are the messages that spread the flows over the period.
Word server(Net& net, const Setup& setup, Control& control) {
  Word word;
  std::uint32_t asked = 0;
  const double before = resident_bytes();
  double cpu = 0;
  std::optional<Instant> since;
  std::uint32_t open = 0, messages = 0;
  double after = before;
  while (setup.keepalive_s != 0 ? !control.ready() : ++asked % 1024 != 0 || !control.ready()) {
    const auto event = net.poll();
    if (!event) {
      if (setup.keepalive_s != 0) static_cast<void>(net.wait(std::chrono::milliseconds{100}));
      continue;
    }
    if (event->kind == EventKind::accepted && ++open == setup.idle) after = resident_bytes();
    if (event->kind != EventKind::message) continue;
    if (setup.keepalive_s == 0) {
      const auto sent = net.send(event->flow, event->message.bytes());
      if (!sent) return Word{"cannot echo: " + std::string{sent.error().text()}};
    } else if (++messages == setup.idle) {
      since = net.now(), cpu = cpu_seconds(::getpid());
    }
  }
  if (setup.idle != 0) word.bytes_per_flow = (after - before) / setup.idle;
  if (since)
    word.cpu_percent =
        (cpu_seconds(::getpid()) - cpu) * 1e11 /
        static_cast<double>(std::max<Duration::rep>((net.now() - *since).count(), 1));
  return word;
}

int run_end(const Wire& wire, std::size_t end, const Setup& setup, Control& control) {
  auto net = open_stack(wire, end, setup);
  if (!net) return control.send(Word{net.error()}), 1;
  pin(end == 0 ? setup.core_a : setup.core_b);
  if (const auto listening = net->listen({port}); !listening)
    return control.send(Word{"cannot listen"}), 1;
  control.send(Word{});
  while (!control.ready()) static_cast<void>(net->poll());
  if (!control.receive<char>()) return 1;
  const Word word = end == 0 ? client(*net, setup) : server(*net, setup, control);
  control.send(word);
  while (!control.ready()) static_cast<void>(net->poll());
  return 0;
}

tl::expected<Word, std::string> heard(ChildProcess& child, const char* who, double seconds) {
  const auto word = child.control().receive<Word>(
      std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1e3)});
  if (!word) return unexpected(fmt::format("the {} did not answer", who));
  if (word->error[0] != '\0') return unexpected(fmt::format("{}: {}", who, word->error));
  return *word;
}

Sample sample_of(const Setup& setup, const Word& client, const Word& server) {
  if (setup.keepalive_s != 0)
    return {{"cpu_client", "% of a core", client.cpu_percent},
            {"cpu_server", "% of a core", server.cpu_percent}};
  Sample out{{"rtt_p50", "ns", client.rtt_p50},
             {"rtt_p99", "ns", client.rtt_p99},
             {"rate", "messages/s", client.rate},
             {"rate_window", "messages/s", client.rate_window}};
  if (setup.idle == 0) return out;
  out.push_back({"memory_client", "bytes/flow", client.bytes_per_flow});
  out.push_back({"memory_server", "bytes/flow", server.bytes_per_flow});
  out.push_back({"opened", "flows/s", client.opened_per_s});
  return out;
}

Outcome measure(const Wire& wire, const Setup& setup) {
  const auto start = [&](std::size_t end) {
    return ChildProcess::start(
        [&, end](Control& control) { return run_end(wire, end, setup, control); });
  };
  auto there = start(1);
  if (!there) return unexpected(there.error());
  auto here = start(0);
  if (!here) return unexpected(here.error());
  const double patience = 120 + 3 * setup.seconds + 3 * setup.keepalive_s;
  if (auto ready = heard(*there, "server", 60); !ready) return unexpected(ready.error());
  if (auto ready = heard(*here, "client", 60); !ready) return unexpected(ready.error());
  there->control().send('g');
  here->control().send('g');
  const auto client = heard(*here, "client", patience);
  there->control().send('s');
  const auto server = heard(*there, "server", 60);
  here->stop(std::chrono::seconds{2});
  there->stop(std::chrono::seconds{2});
  if (!server) return unexpected(server.error());  // it knows why its client waits in vain
  if (!client) return unexpected(client.error());
  return sample_of(setup, *client, *server);
}

Labels labels_of(const Wire& wire, const Setup& setup) {
  const char* const family = setup.ipv6 ? ", IPv6" : "";
  const auto flows = setup.idle + setup.active;
  Labels labels{.name = fmt::format("{} flows, {} active{}", flows, setup.active, family),
                .wire = wire.name(),
                .placement = fmt::format("in-process, {} flows{}", flows, family),
                .size = setup.size,
                .has_size = true,
                .window = setup.window};
  if (setup.idle != 0 && setup.keepalive_s == 0)
    labels.reference = fmt::format("{0} flows, {0} active{1}", setup.active, family);
  if (setup.keepalive_s != 0) {
    labels.placement = fmt::format("in-process, idle{}", family);
    labels.reference = limit_name;
    labels.name =
        fmt::format("{} idle flows, keepalive {:g} s{}", setup.idle, setup.keepalive_s, family);
  }
  return labels;
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_flows",
               .question = "What do idle flows cost: the active ones, the memory, the processor?",
               .wires = {"memif"}}};
  std::uint32_t most = 100'000;
  double keepalive_s = 30;
  Setup setup;
  bench.option("--flows", most, "flows", "the largest number, idle ones included");
  bench.option("--active", setup.active, "flows", "active ones among them");
  bench.option("--keepalive", keepalive_s, "s",
               "period of the idle flows whose processor time is measured; 0: left out");
  bench.flag("--ipv6", setup.ipv6, "flows over IPv6 instead of IPv4");
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  setup.seconds = bench.options().seconds;
  setup.core_a = bench.core(0);
  setup.core_b = bench.core(1);
  const auto wire = Wire::make(bench.options().wire);
  if (!wire) {
    bench.say(wire.error());
    return 2;
  }
  std::vector<Case> cases;
  const auto add = [&](std::vector<Case>& to, const Setup& one) {
    to.push_back({labels_of(*wire, one), [&wire, one] { return measure(*wire, one); },
                  one.keepalive_s != 0});
  };
  Setup alone = setup;
  alone.active = 1;
  add(cases, alone);
  add(cases, setup);
  for (std::uint32_t flows = 1000; flows <= most; flows *= 10) {
    setup.idle = flows - setup.active;
    add(cases, setup);
  }
  bench.measure(cases);
  if (keepalive_s != 0) {
    setup.idle = most;
    setup.keepalive_s = keepalive_s;
    bench.options().repeats = 1;  // long enough
    std::vector<Case> idle{{{.name = limit_name},
                            [] {
                              return Outcome{Sample{{"cpu_client", "% of a core", 1},
                                                    {"cpu_server", "% of a core", 1}}};
                            },
                            true}};
    add(idle, setup);
    bench.measure(idle);
  }
  return bench.finish();
}
