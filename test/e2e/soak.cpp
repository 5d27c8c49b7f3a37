// e2e: two hosts over a wire that loses 1 % of the packets each way (or, on sidecars, none). Flows
// of all kinds come and go, one host is killed and started anew again and again; the other lives
// all the time, and what it takes of the system must stay the same. Not in test/run.sh.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <proa/in_process.hpp>
#include <proa/nic/lossy_port.hpp>
#include <proa/sidecar.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "netns.hpp"
#include "process.hpp"
#include "raw_wire.hpp"
#include "sidecar_support.hpp"
#include "soak_process.hpp"
#include "soak_watch.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;
using bench::ChildProcess;
using bench::Control;
using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t killed = 0, survivor = 1;    // ends of the wire
constexpr std::chrono::seconds long_patience{60};  // of what should take a second

using LossyNet = Stack<InProcess<Lossy<DpdkNic>>>;
using SidecarNet = Stack<Sidecar>;

/// Where the hosts' stacks are.
struct Setting {
  std::function<int(std::size_t end, std::uint64_t seed, Control&)> host;  // in a child
  std::vector<std::pair<std::string, pid_t>> daemons{};                    // they live all the time
  bool in_process = true;
  bool loses = false;  // the wire
};

struct Choice {
  double seconds = 600;
  bool sidecar = false;
  std::uint32_t engines = 0;                // of each sidecar; 0: nobody asked
  std::string wire = "memif";               // or veth
  std::optional<std::uint32_t> loss_ppm{};  // of each stack in process
};

template <class Net>
int run_host(tl::expected<Net, std::string> net, const Endpoint& other, std::uint64_t seed,
             Control& control) {
  if (net && net->listen({soak_port})) return SoakProcess<Net>{*net, other, seed, control}.run();
  SoakReport failure;
  (net ? "cannot listen" : net.error()).copy(failure.wrong, sizeof failure.wrong - 1);
  control.send(failure);
  return 1;
}

IpAddress address_of(std::size_t end) {
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + end));
}

tl::expected<LossyNet, std::string> open_lossy(const bench::Wire& wire, std::size_t end,
                                               std::uint64_t seed, std::uint32_t loss_ppm) {
  // A dead host's flows shall end within the time until the next one dies.
  auto options = LossyNet::Options::parse(
      "send_memory=128MiB;receive_memory=128MiB;keepalive=3s;idle_limit=10s;flows=1024");
  if (!options) return tl::unexpected{options.error()};
  using NicOptions = decltype(options->nic);
  options->nic = NicOptions{wire.enter(end)};
  options->nic.tx.drop_ppm = loss_ppm;
  options->nic.tx.duplicate_ppm = options->nic.tx.reorder_ppm = options->nic.tx.corrupt_ppm = 1'000;
  options->nic.seed = seed;
  options->interface.mtu_bytes = wire.mtu();
  options->interface.addresses = {{address_of(end), 24}};
  auto net = LossyNet::open(*options);
  if (net) touch(net->placement().home().memory());
  return net;
}

Setting in_process(const bench::Wire& wire, std::uint32_t loss_ppm) {
  const auto host = [&wire, loss_ppm](std::size_t end, std::uint64_t seed, Control& control) {
    return run_host(open_lossy(wire, end, seed, loss_ppm), {address_of(1 - end), soak_port}, seed,
                    control);
  };
  return {host, {}, true, loss_ppm != 0};
}

/// Two daemons that live, an application at each.
Setting sidecars(const Hosts& hosts) {
  const auto host = [&hosts](std::size_t end, std::uint64_t seed, Control& control) {
    const auto options = SidecarNet::Options::parse("name=soak;socket=" + hosts.socket(end));
    auto net = options ? SidecarNet::open(*options) : tl::unexpected{options.error()};
    return run_host(std::move(net), Hosts::at(1 - end, soak_port), seed, control);
  };
  return {host, {{"first proad", hosts.a.pid()}, {"second proad", hosts.b.pid()}}, false, false};
}

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1U << 20U); }

/// A child with what it said last.
struct Life {
  Life(ChildProcess from) : process(std::move(from)) {}
  ChildProcess process;
  SoakReport last;
  bool heard = false;

  /// Reads all it said meanwhile; empty, or what went wrong.
  std::string listen(const char* who) {
    while (process.control().ready()) {
      const auto report = process.control().receive<SoakReport>();
      if (!report) return fmt::format("{} ended unexpectedly", who);
      last = *report;
      heard = true;
      if (last.wrong[0] != '\0') return fmt::format("{}: {}", who, last.wrong);
    }
    return "";
  }
};

class Soak {
 public:
  Soak(Setting setting, double seconds)
      : setting_(std::move(setting)), length_(seconds), kill_every_(std::max(5.0, seconds / 12)) {}

  /// The exit code.
  int run() {
    start(survivor);
    start(killed);
    if (ok()) watch();
    if (ok()) go();
    began_ = steady_clock::now();
    next_kill_ = kill_every_;
    while (ok() && elapsed() < length_) {
      if (elapsed() >= next_kill_ && length_ - elapsed() > kill_every_ / 2) replace();
      std::this_thread::sleep_for(std::chrono::milliseconds{100});
      hear();
      sample();
      if (elapsed() >= next_line_) print_line();
    }
    if (ok()) finish();
    return summary();
  }

 private:
  [[nodiscard]] bool ok() const { return wrong_.empty(); }
  [[nodiscard]] double elapsed() const { return Seconds{steady_clock::now() - began_}.count(); }
  void note(const std::string& wrong) {
    if (wrong_.empty()) wrong_ = wrong;
  }
  void hear() {
    if (lives_[survivor]) note(lives_[survivor]->listen("the surviving host"));
    if (lives_[killed]) note(lives_[killed]->listen("the host that is killed"));
  }
  template <class Condition>
  void wait_until(const char* what, Condition&& condition) {
    const auto until = steady_clock::now() + long_patience;
    while (ok() && !condition()) {
      if (steady_clock::now() > until) note(fmt::format("{}: not within a minute", what));
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
      hear();
    }
  }

  void start(std::size_t end) {
    const std::uint64_t seed = ++seed_;
    auto child = ChildProcess::start(
        [this, end, seed](Control& control) { return setting_.host(end, seed, control); });
    if (!child) return note(child.error());
    lives_[end].emplace(std::move(*child));
    // A memif client opens only once its server is there, and the server may be heard first.
    if (end == survivor) return;
    wait_until("both hosts open", [&] { return lives_[killed]->heard && lives_[survivor]->heard; });
  }
  void watch() {
    const bool own = !setting_.in_process;
    watched_.emplace_back("the survivor", lives_[survivor]->process.pid(), own);
    for (const auto& [name, pid] : setting_.daemons) watched_.emplace_back(name, pid, own);
  }
  void go() {
    for (auto& life : lives_) life->process.control().send('g');
    moved_at_ = steady_clock::now();
  }
  /// Kills one host in the middle of everything and starts it anew.
  void replace() {
    lives_[survivor]->process.control().send('p');
    wait_until("the survivor pauses", [&] { return lives_[survivor]->last.paused; });
    if (!ok()) return;
    ::kill(lives_[killed]->process.pid(), SIGKILL);
    lives_[killed]->process.stop();
    add_to_past(lives_[killed]->last);
    lives_[killed].reset();
    ++kills_;
    // Sometimes the link is down for a moment, sometimes for long.
    std::this_thread::sleep_for(std::chrono::milliseconds{1 + kills_ * 611 % 2'000});
    start(killed);
    if (ok()) go();
    next_kill_ += kill_every_;
  }

  void sample() {
    const SoakReport& report = lives_[survivor]->last;
    const std::uint64_t moved = report.counts.checked + report.counts.echoed;
    if (moved != moved_) moved_at_ = steady_clock::now();
    moved_ = moved;
    if (steady_clock::now() - moved_at_ > long_patience) note("no message for a minute");
    if (elapsed() < next_sample_) return;
    next_sample_ += 1;
    for (Watched& one : watched_) one.sample(elapsed() < length_ / 3);
  }

  void finish() {
    for (auto& life : lives_) life->process.control().send('f');
    wait_until("all flows end", [&] {
      return lives_[survivor]->last.flows == 0 && lives_[killed]->last.flows == 0;
    });
    for (const auto& life : lives_)
      if (life->last.pools != life->last.pools_at_start)
        note("message memory is in use although no flow is left");
    for (const Watched& one : watched_) note(one.judge());
    if (!setting_.loses) return;
    for (const auto& life : lives_)
      if (life->last.wire.dropped == 0) note("the wire lost nothing: this run shows nothing");
  }

  void add_to_past(const SoakReport& report) {
    past_checked_ += report.counts.checked;
    past_bytes_ += report.counts.bytes;
    past_dropped_ += report.wire.dropped;
  }
  void print_line() {
    next_line_ += 10;
    const SoakReport& report = lives_[survivor]->last;
    std::string memory;
    for (const Watched& one : watched_)
      memory += fmt::format("{}: {:.2f} MiB, {} descriptors; ", one.name(),
                            mib(one.now().resident_bytes), one.now().descriptors);
    const Taken other = Taken::of(lives_[killed]->process.pid(), !setting_.in_process);
    fmt::print(
        "{:5.0f} s  {}the other: {:.2f} MiB; {} echoed, {} came back, {:.0f} MiB, {} flows ({} "
        "opened, {} accepted), {:.1f}+{:.1f} MiB in use, {} dropped, {} kills\n",
        elapsed(), memory, mib(other.resident_bytes), report.counts.echoed, report.counts.checked,
        mib(report.counts.bytes), report.flows, report.counts.opened, report.counts.accepted,
        mib(report.pools.send_used), mib(report.pools.receive_used), report.wire.dropped, kills_);
    std::fflush(stdout);
  }

  /// The exit code.
  int summary() {
    if (lives_[survivor] && lives_[killed]) {
      add_to_past(lives_[killed]->last);
      print_figures(lives_[survivor]->last);
    }
    for (const Watched& one : watched_)
      fmt::print(
          "Memory of {}: at most {:.2f} MiB in the first third, {:.2f} MiB after it; descriptors "
          "{} "
          "and {}.\n",
          one.name(), mib(one.warm().resident_bytes), mib(one.after().resident_bytes),
          one.warm().descriptors, one.after().descriptors);
    fmt::print("{}\n", ok() ? "passed" : "FAILED: " + wrong_);
    return ok() ? 0 : 1;
  }
  void print_figures(const SoakReport& report) {
    const auto& counts = report.counts;
    const auto& wire = report.wire;
    fmt::print(
        "{:.0f} s, {} kills. Survivor: {} messages echoed, {} back and verified, {:.1f} GiB; "
        "flows {} opened ({} closed, {} reset, {} cut by a kill), {} accepted.\n",
        elapsed(), kills_, counts.echoed, counts.checked, mib(counts.bytes) / 1024, counts.opened,
        counts.closed, counts.reset, counts.cut, counts.accepted);
    if (setting_.in_process)
      fmt::print(
          "Of its packets {} dropped, {} duplicated, {} reordered, {} corrupted, {} left in all; "
          "no "
          "packet to fill {} times.\n",
          wire.dropped, wire.duplicated, wire.reordered, wire.corrupted, wire.passed,
          report.tx_pool_empty);
    fmt::print("The killed ones: {} messages back and verified, {:.1f} GiB, {} packets dropped.\n",
               past_checked_, mib(past_bytes_) / 1024, past_dropped_);
  }

  Setting setting_;
  std::vector<Watched> watched_;  // the survivor first
  double length_, kill_every_;    // seconds
  double next_kill_ = 0, next_sample_ = 0, next_line_ = 10;
  std::optional<Life> lives_[2];
  steady_clock::time_point began_{}, moved_at_{};
  std::uint64_t moved_ = 0, seed_ = 0, kills_ = 0;
  std::uint64_t past_checked_ = 0, past_bytes_ = 0, past_dropped_ = 0;
  std::string wrong_;
};

int usage() {
  fmt::print(
      stderr,
      "usage: soak [--sidecar [--engines N]] [--wire memif|veth] [--loss-ppm N] [--seconds N]\n"
      "  --sidecar     applications on two proad, with N engines each (1)\n"
      "  --wire        between the hosts (memif); veth pairs are for root\n"
      "  --loss-ppm N  of the packets of stacks in process (10000)\n"
      "  --seconds N   (600; at least 15)\n");
  return 2;
}

std::optional<Choice> parse(int argc, char** argv) {
  Choice out;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool more = i + 1 < argc;
    const auto number = [&] {
      return static_cast<std::uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    };
    if (argument == "--sidecar")
      out.sidecar = true;
    else if (argument == "--seconds" && more)
      out.seconds = std::strtod(argv[++i], nullptr);
    else if (argument == "--engines" && more)
      out.engines = number();
    else if (argument == "--loss-ppm" && more)
      out.loss_ppm = number();
    else if (argument == "--wire" && more)
      out.wire = argv[++i];
    else
      return std::nullopt;
  }
  const bool wire_known = out.wire == "memif" || out.wire == "veth";
  const bool contradicts = out.sidecar ? out.loss_ppm.has_value() : out.engines != 0;
  if (out.seconds < 15 || !wire_known || contradicts) return std::nullopt;
  return out;
}

int soak_in_process(const Choice& choice) {
  const auto wire = bench::Wire::make(choice.wire == "veth" ? "veth-af_packet" : choice.wire);
  if (!wire) return fmt::print(stderr, "{}\n", wire.error()), 2;
  return Soak{in_process(*wire, choice.loss_ppm.value_or(10'000)), choice.seconds}.run();
}

int soak_on_sidecars(const Choice& choice) {
  std::optional<bench::TwoHosts> wires;
  if (choice.wire == "veth") {
    auto made = bench::TwoHosts::make();
    if (!made) return fmt::print(stderr, "{}\n", made.error()), 2;
    wires.emplace(std::move(*made));
  }
  const std::uint32_t engines = std::max(1U, choice.engines);
  // Few flows: a slot's first use touches memory, so all shall be used while warming up.
  const Hosts hosts{{"--send-memory", "128 MiB", "--receive-memory", "128 MiB", "--flows", "1024",
                     "--channel-flows", "256", "--engines", std::to_string(engines)},
                    wires ? &*wires : nullptr};
  const auto sum = [&](const char* name) {
    return sum_in(hosts.status(0), name) + sum_in(hosts.status(1), name);
  };
  for (const std::size_t host : {0U, 1U})
    if (times(hosts.status(host), "\"handed_over\":") != engines)
      return fmt::print(stderr, "not all engines run\n"), 1;
  const int done = Soak{sidecars(hosts), choice.seconds}.run();
  fmt::print("{} engines each: {} packets handed over, {} path probes, {} paths changed.\n",
             engines, sum("handed_over"), sum("path_probes_sent"), sum("path_changes"));
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  const auto choice = parse(argc, argv);
  if (!choice) return usage();
  return choice->sidecar ? soak_on_sidecars(*choice) : soak_in_process(*choice);
}
