// e2e: hours in small: two hosts over a memif pair that loses 1 % of the packets each way. Flows of
// all kinds come and go, one host is killed and started anew again and again; the other lives all
// the time, and what it takes of the system must stay the same. Not part of test/run.sh.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "process.hpp"
#include "raw_wire.hpp"
#include "soak_host.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;
using bench::ChildProcess;
using bench::Control;
using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint16_t port = 7000;
constexpr std::size_t killed = 0, survivor = 1;  // ends of the wire
constexpr std::uint64_t growth_max = 2U << 20U;  // bytes of resident memory, after the first third
constexpr std::chrono::seconds patience{60};     // of what should take a second

/// What a host has in use besides its process's memory.
struct Pools {
  std::uint64_t send_used = 0, receive_used = 0;  // bytes of message memory
  std::int64_t receive_free = 0;                  // bytes not promised to peers
  friend bool operator==(const Pools&, const Pools&) = default;
};

struct Report {
  SoakCounts counts;
  LossyCounters wire;  // what it sent
  Pools pools, pools_at_start;
  std::uint64_t flows = 0, tx_pool_empty = 0;
  bool paused = false;
  char wrong[200] = {};
};

/// Writes to all message memory once: from then on, more memory in use is a leak somewhere else.
void touch(HeapMemory& memory) {
  constexpr std::uint32_t bytes = 8U << 20U;
  std::vector<MessageBlock> blocks;
  while (const auto block = memory.allocate_send(bytes)) blocks.push_back(*block);
  while (const auto block = memory.reserve(bytes)) blocks.push_back(*block);
  while (const auto block = memory.reserve_last(bytes)) blocks.push_back(*block);
  for (const MessageBlock& block : blocks) std::memset(block.data, 1, block.length);
  for (const MessageBlock& block : blocks) memory.release(block);
}

IpAddress address_of(std::size_t end) {
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + end));
}

tl::expected<SoakNet, std::string> open_stack(const bench::Wire& wire, std::size_t end,
                                              std::uint64_t seed) {
  // A dead host's flows shall end within the time until the next one dies.
  auto options = SoakNet::Options::parse(
      "send_memory=128MiB;receive_memory=128MiB;keepalive=3s;idle_limit=10s;flows=1024");
  if (!options) return tl::unexpected{options.error()};
  using NicOptions = decltype(options->nic);
  options->nic = NicOptions{wire.enter(end)};
  options->nic.tx.drop_ppm = 10'000;
  options->nic.tx.duplicate_ppm = options->nic.tx.reorder_ppm = options->nic.tx.corrupt_ppm = 1'000;
  options->nic.seed = seed;
  options->interface.mtu_bytes = wire.mtu();
  options->interface.addresses = {{address_of(end), 24}};
  return SoakNet::open(*options);
}

/// In a child: both roles until the parent has heard enough.
class Host {
 public:
  Host(SoakNet& net, std::size_t end, std::uint64_t seed, Control& control)
      : net_(&net),
        control_(&control),
        opener_(net, {address_of(1 - end), port}, epoch_, content_, counts_, seed),
        echoer_(net, epoch_, content_, counts_) {}

  int run() {
    at_start_ = pools();
    report();
    for (std::uint64_t turn = 0; wrong_.empty(); ++turn) {
      const bool idle = !look();
      if (idle || turn % 64 == 0) note(opener_.step());
      if ((idle || turn % 256 == 0) && control_->ready() && !obey()) return 0;
      if (net_->now() >= next_report_) report();
      if (idle) static_cast<void>(net_->wait(std::chrono::milliseconds{1}));
    }
    report();
    return 1;
  }

 private:
  bool look() {
    auto event = net_->poll();
    if (!event) return false;
    note(opener_.owns(event->flow) ? opener_.handle(*event) : echoer_.handle(*event));
    return true;
  }
  void note(std::string wrong) {
    if (wrong_.empty()) wrong_ = std::move(wrong);
  }
  bool obey() {
    const auto command = control_->receive<char>();
    if (!command) return false;
    if (*command == 'p') epoch_.pause();
    if (*command == 'g') epoch_.go();
    if (*command == 'f') opener_.finish();
    report();
    return true;
  }
  Pools pools() {
    HeapMemory& memory = net_->placement().home().memory();
    return {memory.send_arena().used(), memory.receive_arena().used(), memory.ledger_free()};
  }
  void report() {
    Report out;
    const auto counters = net_->counters();
    out.counts = counts_;
    out.wire = net_->placement().nic().tx_counters();
    out.pools = pools();
    out.pools_at_start = at_start_;
    out.flows = counters.flows_now + opener_.flows() + echoer_.flows();
    out.tx_pool_empty = counters.tx_pool_empty;
    out.paused = epoch_.paused();
    wrong_.copy(out.wrong, sizeof out.wrong - 1);
    control_->send(out);
    next_report_ = net_->now() + std::chrono::seconds{1};
  }

  SoakNet* net_;
  Control* control_;
  bench::Content content_;
  Epoch epoch_;
  SoakCounts counts_;
  SoakOpener opener_;
  SoakEchoer echoer_;
  Pools at_start_;
  Instant next_report_{};
  std::string wrong_;
};

int run_host(const bench::Wire& wire, std::size_t end, std::uint64_t seed, Control& control) {
  Report failure;
  auto net = open_stack(wire, end, seed);
  if (!net || !net->listen({port})) {
    (net ? "cannot listen" : net.error()).copy(failure.wrong, sizeof failure.wrong - 1);
    return control.send(failure), 1;
  }
  touch(net->placement().home().memory());
  return Host{*net, end, seed, control}.run();
}

/// What a process takes of the system.
struct Taken {
  std::uint64_t resident_bytes = 0, descriptors = 0;

  static Taken of(pid_t pid) {
    Taken out;
    const auto proc = std::filesystem::path{"/proc"} / std::to_string(pid);
    std::uint64_t pages = 0;
    std::ifstream{proc / "statm"} >> pages >> pages;
    out.resident_bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::error_code gone;
    for (std::filesystem::directory_iterator i{proc / "fd", gone}, end; !gone && i != end;
         i.increment(gone))
      ++out.descriptors;
    return out;
  }
  void raise_to(const Taken& other) {
    resident_bytes = std::max(resident_bytes, other.resident_bytes);
    descriptors = std::max(descriptors, other.descriptors);
  }
};

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1U << 20U); }

/// A child with what it said last.
struct Life {
  Life(ChildProcess from) : process(std::move(from)) {}
  ChildProcess process;
  Report last;
  bool heard = false;

  /// Reads all it said meanwhile; empty, or what went wrong.
  std::string listen(const char* who) {
    while (process.control().ready()) {
      const auto report = process.control().receive<Report>();
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
  Soak(const bench::Wire& wire, double seconds)
      : wire_(&wire), length_(seconds), kill_every_(std::max(5.0, seconds / 12)) {}

  /// The exit code.
  int run() {
    start(survivor);
    start(killed);
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
    const auto until = steady_clock::now() + patience;
    while (ok() && !condition()) {
      if (steady_clock::now() > until) note(fmt::format("{}: not within a minute", what));
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
      hear();
    }
  }

  void start(std::size_t end) {
    const std::uint64_t seed = ++seed_;
    auto child = ChildProcess::start(
        [this, end, seed](Control& control) { return run_host(*wire_, end, seed, control); });
    if (!child) return note(child.error());
    lives_[end].emplace(std::move(*child));
    // A memif client opens only once its server is there, and the server may be heard first.
    if (end == survivor) return;
    wait_until("both hosts open", [&] { return lives_[killed]->heard && lives_[survivor]->heard; });
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
    const Report& report = lives_[survivor]->last;
    const std::uint64_t moved = report.counts.checked + report.counts.echoed;
    if (moved != moved_) moved_at_ = steady_clock::now();
    moved_ = moved;
    if (steady_clock::now() - moved_at_ > patience) note("no message for a minute");
    if (elapsed() < next_sample_) return;
    next_sample_ += 1;
    now_ = Taken::of(lives_[survivor]->process.pid());
    if (elapsed() < length_ / 3)
      warm_.raise_to(now_);
    else
      after_.raise_to(now_);
  }

  void finish() {
    for (auto& life : lives_) life->process.control().send('f');
    wait_until("all flows end", [&] {
      return lives_[survivor]->last.flows == 0 && lives_[killed]->last.flows == 0;
    });
    for (const auto& life : lives_)
      if (life->last.pools != life->last.pools_at_start)
        note("message memory is in use although no flow is left");
    if (after_.resident_bytes > warm_.resident_bytes + growth_max)
      note("the survivor's resident memory has grown");
    if (after_.descriptors > warm_.descriptors) note("the survivor's descriptors have grown");
    for (const auto& life : lives_)
      if (life->last.wire.dropped == 0) note("the wire lost nothing: this run shows nothing");
  }

  void add_to_past(const Report& report) {
    past_checked_ += report.counts.checked;
    past_bytes_ += report.counts.bytes;
    past_dropped_ += report.wire.dropped;
  }
  void print_line() {
    next_line_ += 10;
    const Report& report = lives_[survivor]->last;
    fmt::print(
        "{:5.0f} s  survivor: {:7.2f} MiB, {} descriptors, {} echoed, {} came back, {:.0f} MiB, "
        "{} flows ({} opened, {} accepted), {:.1f}+{:.1f} MiB in use, {} dropped, {} kills; "
        "the other: {:.2f} MiB\n",
        elapsed(), mib(now_.resident_bytes), now_.descriptors, report.counts.echoed,
        report.counts.checked, mib(report.counts.bytes), report.flows, report.counts.opened,
        report.counts.accepted, mib(report.pools.send_used), mib(report.pools.receive_used),
        report.wire.dropped, kills_, mib(Taken::of(lives_[killed]->process.pid()).resident_bytes));
    std::fflush(stdout);
  }

  int summary() {
    if (lives_[survivor] && lives_[killed]) {
      const Report& report = lives_[survivor]->last;
      add_to_past(lives_[killed]->last);
      fmt::print(
          "{:.0f} s, {} kills. Survivor: {} messages echoed, {} back and verified, {:.1f} GiB; "
          "flows "
          "{} opened ({} closed, {} reset, {} cut by a kill), {} accepted; {} packets sent, {} "
          "dropped, {} duplicated, {} reordered, {} corrupted; pool empty {} times.\n"
          "The killed ones: {} messages back and verified, {:.1f} GiB, {} packets dropped.\n"
          "Survivor's memory: at most {:.2f} MiB in the first third, {:.2f} MiB after it; "
          "descriptors {} and {}.\n",
          elapsed(), kills_, report.counts.echoed, report.counts.checked,
          mib(report.counts.bytes) / 1024, report.counts.opened, report.counts.closed,
          report.counts.reset, report.counts.cut, report.counts.accepted, report.wire.passed,
          report.wire.dropped, report.wire.duplicated, report.wire.reordered, report.wire.corrupted,
          report.tx_pool_empty, past_checked_, mib(past_bytes_) / 1024, past_dropped_,
          mib(warm_.resident_bytes), mib(after_.resident_bytes), warm_.descriptors,
          after_.descriptors);
    }
    fmt::print("{}\n", ok() ? "passed" : "FAILED: " + wrong_);
    return ok() ? 0 : 1;
  }

  const bench::Wire* wire_;
  double length_, kill_every_;  // seconds
  double next_kill_ = 0, next_sample_ = 0, next_line_ = 10;
  std::optional<Life> lives_[2];
  steady_clock::time_point began_{}, moved_at_{};
  std::uint64_t moved_ = 0, seed_ = 0, kills_ = 0;
  std::uint64_t past_checked_ = 0, past_bytes_ = 0, past_dropped_ = 0;
  Taken now_, warm_, after_;
  std::string wrong_;
};

}  // namespace

int main(int argc, char** argv) {
  double seconds = 600;
  if (argc == 3 && std::string{argv[1]} == "--seconds") seconds = std::strtod(argv[2], nullptr);
  if ((argc != 1 && argc != 3) || seconds < 15) {
    fmt::print(stderr, "usage: soak [--seconds N]   (600; at least 15)\n");
    return 2;
  }
  const auto wire = bench::Wire::make("memif");
  if (!wire) return fmt::print(stderr, "{}\n", wire.error()), 2;
  return Soak{*wire, seconds}.run();
}
