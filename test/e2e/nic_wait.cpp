// e2e: a thread that sleeps on a NIC's descriptors wakes when a frame comes, and only then.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

constexpr std::uint64_t rounds = 200;
constexpr std::uint64_t never_enough = ~std::uint64_t{0};

/// Of both processes of a test: whether the end that sleeps is about to.
std::atomic<bool>& asleep() {
  static void* const shared = ::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *static_cast<std::atomic<bool>*>(shared);
}

/// Sleeps before every frame until told to stop, or until `frames` came; a frame that does not wake
/// it is an error.
std::string sleep_and_echo(DpdkNic& nic, Control& control, std::uint64_t frames) {
  bench::RawLink link{nic};
  std::array<int, 4> fds{};
  std::uint64_t slept = 0;
  std::uint64_t echoed = 0;
  while (echoed < frames && !control.ready()) {
    while (const auto got = link.echo()) echoed += got;
    if (echoed == frames) break;
    const auto count = nic.wait_descriptors(fds);
    if (count != 1) return "no descriptor to wait on";
    if (!nic.arm_wait()) continue;
    std::array<pollfd, 2> waiting{{{fds[0], POLLIN, 0}, {control.fd(), POLLIN, 0}}};
    asleep() = true;
    const int woken = ::poll(waiting.data(), waiting.size(), 60'000);
    asleep() = false;
    nic.disarm_wait();
    if (woken == 0) return "never woken, after " + std::to_string(slept) + " sleeps";
    ++slept;
  }
  if (echoed < frames) static_cast<void>(control.receive<char>());
  return slept >= echoed / 2 ? "" : "slept only " + std::to_string(slept) + " times";
}

/// One frame at a time, each to an end that is asleep: a busy machine may take it long to get
/// there.
std::string ping_slowly(DpdkNic& nic, Control&) {
  bench::RawLink link{nic};
  for (std::uint64_t round = 0; round < rounds; ++round) {
    if (!soon([] { return asleep().load(); }))
      return "nobody sleeps in round " + std::to_string(round);
    ::usleep(300);  // decides nothing: between its word and its sleep it may be interrupted
    const auto deadline = steady_clock::now() + patience();
    // A memif server has no room before its client has asked for frames once.
    while (link.send(1, 100) != 1 && steady_clock::now() < deadline) ::sched_yield();
    while (link.receive([](std::uint64_t, std::span<std::byte>) {}) == 0) {
      if (steady_clock::now() > deadline) return "no answer in round " + std::to_string(round);
      ::sched_yield();
    }
  }
  return "";
}

std::string sleep_for_all(DpdkNic& nic, Control& control) {
  return sleep_and_echo(nic, control, never_enough);
}

std::string echo_on_each(std::span<DpdkNic> nics, Control& control) {
  std::string wrong;
  for (auto& nic : nics)
    if (wrong.empty()) wrong = sleep_and_echo(nic, control, rounds);
  return wrong;
}

std::string ping_each(std::span<DpdkNic> nics, Control& control) {
  std::string wrong;
  for (auto& nic : nics)
    if (wrong.empty()) wrong = ping_slowly(nic, control);
  return wrong;
}

std::string over_veth(DpdkDriver driver) {
  asleep() = false;
  auto hosts = TwoHosts::make();
  if (!hosts) return hosts.error();
  return run_pair({on_wire(driver), ping_slowly}, {on_wire(driver), sleep_for_all}, &*hosts);
}

bool is_readable(int fd, std::chrono::milliseconds within) {
  pollfd on{fd, POLLIN, 0};
  return ::poll(&on, 1, static_cast<int>(within.count())) == 1;
}

/// The link is reported down a moment before its sleepers are let sleep.
bool falls_quiet(int fd) {
  const auto deadline = steady_clock::now() + patience();
  while (steady_clock::now() < deadline)
    if (!is_readable(fd, std::chrono::milliseconds{200})) return true;
  return false;
}

/// Host 0 is told 'd' and 'u' to pull its end of the cable and to plug it in again.
int handle_cable(const TwoHosts& hosts, Control& control) {
  hosts.enter(0);
  control.send('r');
  while (const auto told = control.receive<char>(2 * patience())) {
    const std::string how = *told == 'u' ? " up" : " down";
    if (std::system(("ip link set " + std::string{TwoHosts::interface} + how).c_str()) != 0)
      return 1;
    control.send('d');
  }
  return 0;
}

/// Frames (the kernel of host 0 announces itself) wait unread while the cable is pulled.
std::string sleep_without_carrier(const TwoHosts& hosts, DpdkDriver driver, Control& cable) {
  const auto tell = [&](char what) { return cable.send(what) && cable.receive<char>(patience()); };
  hosts.enter(1);
  auto opened = Port<DpdkNic>::open(on_wire(driver));
  if (!opened) return opened.error();
  auto nic = opened->take_queue();
  if (!nic) return nic.error();
  const auto link_becomes = [&](bool up) {
    const auto deadline = steady_clock::now() + patience();
    while (nic->link_up() != up && steady_clock::now() < deadline) ::usleep(1000);
    return nic->link_up() == up;
  };
  std::array<int, 4> fds{};
  if (nic->wait_descriptors(fds) != 1) return "no descriptor to wait on";
  if (!tell('d') || !link_becomes(false) || !tell('u') || !link_becomes(true)) return "no cable";
  if (!is_readable(fds[0], patience())) return "the kernel does not announce itself";
  if (!tell('d') || !link_becomes(false)) return "no cable";
  if (!falls_quiet(fds[0])) return "awake without a carrier";
  if (!tell('u') || !link_becomes(true)) return "the cable is not plugged in";
  if (!is_readable(fds[0], patience())) return "asleep with a carrier";
  return "";
}

std::string without_carrier(DpdkDriver driver) {
  auto hosts = TwoHosts::make();
  if (!hosts) return hosts.error();
  auto cable = ChildProcess::start([&](Control& control) { return handle_cable(*hosts, control); });
  if (!cable || !cable->control().receive<char>()) return "nobody handles the cable";
  auto sleeper = ChildProcess::start([&](Control& control) {
    std::array<char, 200> said{};
    sleep_without_carrier(*hosts, driver, cable->control()).copy(said.data(), said.size() - 1);
    control.send(said);
    return 0;
  });
  if (!sleeper) return sleeper.error();
  const auto said = sleeper->control().receive<std::array<char, 200>>(4 * patience());
  return said ? std::string{said->data()} : "the sleeper did not answer";
}

}  // namespace

TEST_CASE("frames that wait behind a lost carrier keep nobody awake", "[nic][root]") {
  CHECK(without_carrier(DpdkDriver::af_packet) == "");
  CHECK(without_carrier(DpdkDriver::af_xdp) == "");
}

TEST_CASE("a sleeping memif end is woken by every frame, whichever end it is", "[nic]") {
  const SocketPath socket{"wait"};
  const auto client = memif(MemifRole::client, socket), server = memif(MemifRole::server, socket);
  asleep() = false;
  CHECK(run_pair({client, ping_slowly}, {server, sleep_for_all}) == "");
  CHECK(run_pair({server, ping_slowly}, {client, sleep_for_all}) == "");
}

TEST_CASE("a sleeping af_packet end is woken by every frame", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_packet) == "");
}

TEST_CASE("a sleeping af_xdp end is woken by every frame", "[nic][root]") {
  CHECK(over_veth(DpdkDriver::af_xdp) == "");
}

namespace {

/// What memif opens for a connection gets numbers that were in use when its port was opened, by
/// eventfds as well, and lies beside eventfds that the program has opened since.
std::string sleep_among_others(const DpdkOptions& options, Control& control) {
  std::vector<int> before(64), since(3);
  for (int& fd : before) fd = ::eventfd(0, 0);  // without FD_CLOEXEC, as memif's
  auto port = Port<DpdkNic>::open(options);
  if (!port) return port.error();
  auto nics = take_all(*port);
  if (!nics) return nics.error();
  // DPDK makes its round for the new port: what is opened within it may be taken for the driver's.
  ::usleep(50'000);
  for (const int fd : before) ::close(fd);
  for (int& fd : since) fd = ::eventfd(0, 0);
  control.send(Verdict{});  // the client may come
  if (!soon([&] { return port->link_up(); })) return "no client";
  for (DpdkNic& nic : *nics)
    if (const auto count = wakes(nic, std::chrono::milliseconds{100}); count > wakes_at_most)
      return "woken " + std::to_string(count) + " times by nothing";
  control.send(Verdict{});  // it sleeps
  const std::string wrong = echo_on_each(*nics, control);
  control.send(Verdict{wrong});
  static_cast<void>(control.receive<char>(2 * patience()));  // the last answer is read
  return wrong;
}

}  // namespace

TEST_CASE("a memif end sleeps on its connection's eventfds whatever numbers they got", "[nic]") {
  const SocketPath socket{"numbers"};
  auto client = memif(MemifRole::client, socket), server = memif(MemifRole::server, socket);
  client.queue_pairs = server.queue_pairs = 3;
  asleep() = false;
  auto sleeper = ChildProcess::start([&](Control& control) {
    control.send(Verdict{sleep_among_others(server, control)});
    return 0;
  });
  REQUIRE(sleeper);
  REQUIRE(heard(*sleeper) == "");
  auto pinger = ChildProcess::start([&](Control& control) {
    return run_end({client, {}, ping_each}, control);
  });
  REQUIRE(pinger);
  REQUIRE(heard(*pinger) == "");
  REQUIRE(heard(*sleeper) == "");
  pinger->control().send('g');
  CHECK(heard(*sleeper) == "");
  CHECK(heard(*pinger) == "");
  sleeper->control().send('e');
  pinger->control().send('e');
}

TEST_CASE("each queue pair of a memif port wakes on its own descriptor", "[nic]") {
  const SocketPath socket{"queues"};
  auto client = memif(MemifRole::client, socket), server = memif(MemifRole::server, socket);
  client.queue_pairs = server.queue_pairs = 3;
  asleep() = false;
  const End pings_client{client, {}, ping_each}, pings_server{server, {}, ping_each};
  CHECK(run_pair(pings_client, {server, {}, echo_on_each}) == "");
  CHECK(run_pair(pings_server, {client, {}, echo_on_each}) == "");
}

namespace {

/// Echoes every frame, never asleep: nobody needs to ring for it.
std::string poll_and_echo(DpdkNic& nic, Control& control) {
  bench::RawLink link{nic};
  for (std::uint64_t echoed = 0; echoed < rounds;) echoed += link.echo();
  std::array<int, 4> fds{};
  if (nic.wait_descriptors(fds) != 1) return "no descriptor to wait on";
  const bool rung = is_readable(fds[0], std::chrono::milliseconds{0});
  const std::string wrong = rung ? "the peer rings for who polls" : "";
  control.send(Verdict{wrong});
  static_cast<void>(control.receive<char>(std::chrono::seconds{60}));  // the last answer is read
  return wrong;
}

/// Wakes up while the gates of all memif ports are closed, and only polls from then on.
std::string wake_behind_a_gate(const DpdkOptions& options, DpdkOptions other, Control& control) {
  std::atomic<bool> closed{false}, go_on{false};
  other.log = [&](std::string_view line) {  // called with the gates closed
    if (line.find("is not served") == line.npos) return;
    closed = true;
    while (!go_on) ::usleep(100);
  };
  auto first = Port<DpdkNic>::open(other);  // its gate is opened before the one that is looked at
  if (!first) return first.error();
  auto port = Port<DpdkNic>::open(options);
  if (!port) return port.error();
  auto nic = port->take_queue();
  if (!nic) return nic.error();
  control.send(Verdict{});
  if (!soon([&] { return port->link_up() && nic->arm_wait(); })) return "cannot sleep";
  control.send(Verdict{});
  const bool behind = soon([&] { return closed.load(); });
  nic->disarm_wait();
  go_on = true;
  if (!behind) return "the gate was never closed";
  control.send(Verdict{});
  return poll_and_echo(*nic, control);
}

/// Whoever had the queue pair before went while he was to be woken.
std::string poll_after_a_sleeper(const DpdkOptions& options, Control& control) {
  auto port = Port<DpdkNic>::open(options);
  if (!port) return port.error();
  {
    auto sleeps = port->take_queue();
    if (!sleeps) return sleeps.error();
    control.send(Verdict{});
    if (!soon([&] { return port->link_up() && sleeps->arm_wait(); })) return "cannot sleep";
    sleeps->disarm_wait();  // it knows of the link
    if (!soon([&] { return sleeps->arm_wait(); })) return "cannot sleep again";
  }
  auto nic = port->take_queue();
  if (!nic) return nic.error();
  control.send(Verdict{});
  return poll_and_echo(*nic, control);
}

}  // namespace

TEST_CASE("a memif end that wakes while the link changes is not rung any more", "[nic]") {
  asleep() = true;  // the other end polls: nothing to wait for
  const SocketPath socket{"gate"}, other{"gate-other"};
  auto two_pairs = memif(MemifRole::server, other);
  two_pairs.queue_pairs = 2;
  auto sleeper = ChildProcess::start([&](Control& control) {
    const auto wrong = wake_behind_a_gate(memif(MemifRole::server, socket), two_pairs, control);
    control.send(Verdict{wrong});
    return 0;
  });
  REQUIRE(sleeper);
  REQUIRE(heard(*sleeper) == "");
  auto pinger = ChildProcess::start([&](Control& control) {
    return run_end({memif(MemifRole::client, socket), ping_slowly}, control);
  });
  REQUIRE(pinger);
  REQUIRE(heard(*pinger) == "");
  REQUIRE(heard(*sleeper) == "");                            // it sleeps
  auto closes = ChildProcess::start([&](Control& control) {  // too few pairs: noticed in the gate
    const auto port = Port<DpdkNic>::open(memif(MemifRole::client, other));
    static_cast<void>(control.receive<char>(std::chrono::seconds{60}));
    return port ? 0 : 1;
  });
  REQUIRE(closes);
  REQUIRE(heard(*sleeper) == "");  // it is awake
  pinger->control().send('g');
  CHECK(heard(*pinger) == "");
  CHECK(heard(*sleeper) == "");
  for (auto* child : {&*sleeper, &*pinger, &*closes}) child->control().send('e');
}

TEST_CASE("whoever gets a memif queue pair on which somebody slept is not rung for him", "[nic]") {
  asleep() = true;  // the other end polls: nothing to wait for
  const SocketPath socket{"heir"};
  auto heir = ChildProcess::start([&](Control& control) {
    control.send(Verdict{poll_after_a_sleeper(memif(MemifRole::server, socket), control)});
    return 0;
  });
  REQUIRE(heir);
  REQUIRE(heard(*heir) == "");
  auto pinger = ChildProcess::start([&](Control& control) {
    return run_end({memif(MemifRole::client, socket), ping_slowly}, control);
  });
  REQUIRE(pinger);
  REQUIRE(heard(*pinger) == "");
  REQUIRE(heard(*heir) == "");
  pinger->control().send('g');
  CHECK(heard(*pinger) == "");
  CHECK(heard(*heir) == "");
  for (auto* child : {&*heir, &*pinger}) child->control().send('e');
}
