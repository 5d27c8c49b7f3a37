// e2e: cables that are pulled, interfaces that go away and come back, drivers that want a reset:
// flows over IPv4 and IPv6 live through all of it, and each is counted once.
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <proa/in_process.hpp>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;
using namespace std::chrono_literals;
using Net = Stack<InProcess<DpdkNic>>;

constexpr std::uint16_t port = 7000;
constexpr std::size_t families = 2;  // IPv4, IPv6

IpAddress address_of(std::size_t host, std::size_t family) {
  IpAddress out{{0xfd, 0, 0x01, 0x17}};
  out.octets[15] = static_cast<std::uint8_t>(11 + host);
  return family == 1 ? out : IpAddress::v4(10, 117, 0, out.octets[15]);
}

Net::Options options_of(DpdkDriver driver, std::size_t host) {
  Net::Options options;
  options.nic = on_wire(driver);
  options.interface.addresses = {{address_of(host, 0), 24}, {address_of(host, 1), 64}};
  return options;
}

/// What an end says when it is asked.
struct State {
  char error[240] = {};
  std::array<std::uint64_t, families> echoes{};
  bool link_up = false;
  NicCounters nic;
};

State state_of(Net& net, const std::array<std::uint64_t, families>& echoes) {
  State state;
  state.echoes = echoes;
  state.link_up = net.placement().nic().link_up();
  state.nic = net.counters().nic;
  return state;
}

State failed_state(const std::string& why) {
  State state;
  why.copy(state.error, sizeof state.error - 1);
  return state;
}

/// Echoes, or has echoed, one small message of each family at a time; answers questions until the
/// other end of the control socket goes.
int run_host(const TwoHosts& hosts, DpdkDriver driver, std::size_t host, Control& control) {
  hosts.enter(host);
  auto net = Net::open(options_of(driver, host));
  if (!net) return control.send(failed_state(net.error())), 1;
  if (!net->listen({port})) return control.send(failed_state("cannot listen")), 1;
  std::array<std::uint64_t, families> echoes{};
  control.send(state_of(*net, echoes));
  if (!control.receive<char>(patience())) return 1;
  const std::byte ping[64] = {};
  for (std::size_t family = 0; host == 0 && family < families; ++family) {
    const auto flow = net->connect({address_of(1, family), port}, patience());
    if (!flow) return control.send(failed_state("cannot connect")), 1;
    if (!net->send(*flow, ping)) return control.send(failed_state("cannot send")), 1;
  }
  for (;;) {
    static_cast<void>(net->wait(5ms));
    while (auto event = net->poll()) {
      if (event->kind == EventKind::closed)
        return control.send(failed_state("the flow ended: " + std::string{text(event->reason)})), 1;
      if (event->kind != EventKind::message) continue;
      ++echoes[net->flow_info(event->flow)->local.address.is_v4() ? 0 : 1];
      if (!net->send(event->flow, ping)) return control.send(failed_state("cannot echo")), 1;
    }
    if (!control.ready()) continue;
    if (!control.receive<char>()) return 0;
    control.send(state_of(*net, echoes));
  }
}

State ask(ChildProcess& host) {
  host.control().send('?');
  const auto state = host.control().receive<State>(patience());
  return state ? *state : failed_state("no answer");
}

/// Asks until it is so; the last state otherwise, with what was expected.
template <class Wanted>
State until(ChildProcess& host, const std::string& what, Wanted&& wanted) {
  const auto deadline = steady_clock::now() + patience();
  State state;
  do {
    state = ask(host);
    if (state.error[0] != '\0' || wanted(state)) return state;
  } while (steady_clock::now() < deadline);
  return failed_state("it never happened that " + what);
}

/// Two hosts with a flow of each family between them, and neither ever stops echoing.
struct Wired {
  explicit Wired(DpdkDriver driver) {
    auto made = TwoHosts::make();
    if (!made) throw std::runtime_error{made.error()};
    hosts.emplace(std::move(*made));
    for (std::size_t i = 0; i < 2; ++i) {
      auto child = ChildProcess::start(
          [&, i](Control& control) { return run_host(*hosts, driver, i, control); });
      if (!child) throw std::runtime_error{child.error()};
      ends.push_back(std::move(*child));
    }
    for (std::size_t i = 2; i-- > 0;) {
      const auto ready = ends[i].control().receive<State>(patience());
      if (!ready || ready->error[0] != '\0')
        throw std::runtime_error{ready ? ready->error : "an end does not start"};
    }
    ends[1].control().send('g');
    ends[0].control().send('g');
  }
  /// A shell command in the network namespace of a host.
  void run(std::size_t host, const std::string& command) {
    auto child = ChildProcess::start([&](Control&) {
      hosts->enter(host);
      return std::system(command.c_str()) == 0 ? 0 : 1;
    });
    REQUIRE(child);
    INFO(command);
    CHECK(child->stop(patience()) == 0);
  }
  void echoes(const std::string& when) {
    const auto before = ask(ends[0]);
    CHECK(std::string{before.error} == "");
    const auto after = until(ends[0], "messages come back " + when, [&](const State& state) {
      return state.echoes[0] > before.echoes[0] + 20 && state.echoes[1] > before.echoes[1] + 20;
    });
    CHECK(std::string{after.error} == "");
  }
  State expect(std::size_t host, const std::string& what, bool (*wanted)(const State&)) {
    const auto state = until(ends[host], what, wanted);
    CHECK(std::string{state.error} == "");
    return state;
  }

  std::optional<TwoHosts> hosts;
  std::vector<ChildProcess> ends;
};

void cable_is_pulled(DpdkDriver driver) {
  Wired wire{driver};
  wire.echoes("at first");
  for (std::uint64_t round = 1; round <= 2; ++round) {
    wire.run(1, "ip link set wire0 down");
    // Its own interface is down there, the cable is lost here.
    for (std::size_t host = 0; host < 2; ++host)
      wire.expect(host, "the link is down", [](const State& s) { return !s.link_up; });
    wire.run(1, "ip link set wire0 up");
    const State state = wire.expect(0, "the link is up", [](const State& s) { return s.link_up; });
    CHECK(state.nic.link_downs == round);
    wire.echoes("with the cable back");
  }
  CHECK(ask(wire.ends[0]).nic.removals == 0);
}

void interface_is_made_anew(DpdkDriver driver) {
  Wired wire{driver};
  wire.echoes("at first");
  wire.run(0, "ip link del wire0");
  for (std::size_t host = 0; host < 2; ++host)
    wire.expect(host, "the device is gone", [](const State& s) { return s.nic.removals == 1; });
  wire.run(0, fmt::format("ip link add wire0 type veth peer name wire0 netns {} && "
                          "ip link set wire0 up",
                          wire.ends[1].pid()));
  wire.run(1, "ip link set wire0 up");
  for (std::size_t host = 0; host < 2; ++host)
    wire.expect(host, "the device is open again",
                [](const State& s) { return s.nic.reopened == 1 && s.link_up; });
  wire.echoes("over the new interface");
}

/// Raises an event as the driver of port 0 would; false: this DPDK hides how.
bool raise_event(int event) {
  using Process = int (*)(void*, int, void*);
  void* const process = ::dlsym(RTLD_DEFAULT, "rte_eth_dev_callback_process");
  void* const devices = ::dlsym(RTLD_DEFAULT, "rte_eth_devices");
  if (process == nullptr || devices == nullptr) return false;
  reinterpret_cast<Process>(process)(devices, event, nullptr);
  return true;
}

/// DPDK starts once per process, so it is a process of its own.
std::string events_of_a_driver() {
  constexpr int intr_reset = 3, intr_rmv = 6;  // rte_eth_event_type
  std::vector<std::string> said;
  std::mutex mutex;
  DpdkOptions options;
  options.driver = DpdkDriver::vdev;
  options.vdev = "net_null0";
  options.log = [&](std::string_view line) {
    const std::lock_guard lock{mutex};
    said.emplace_back(line);
  };
  auto port_of_null = Port<DpdkNic>::open(options);
  if (!port_of_null) return port_of_null.error();
  auto nic = port_of_null->take_queue();
  if (!nic) return nic.error();
  std::array<Packet, 32> packets;
  const auto receives = [&] {
    const auto count = nic->rx_burst({}, packets);
    nic->release(std::span{packets}.first(count));
    return count != 0;
  };
  if (!soon(receives)) return "nothing is received";
  std::array<Packet, 4> held;  // from before, given back after
  if (nic->allocate(held) != held.size()) return "no packets";
  if (!raise_event(intr_reset)) return "";
  if (!soon([&] { return nic->counters().reopened == 1; })) return "no reset";
  if (!soon(receives)) return "nothing is received after a reset";
  raise_event(intr_rmv);
  if (!soon([&] { return nic->counters().reopened == 2; })) return "it does not come back";
  if (!soon(receives)) return "nothing is received after a removal";
  nic->release(held);
  const auto counters = nic->counters();
  if (counters.resets != 1 || counters.removals != 1)
    return fmt::format("{} resets, {} removals", counters.resets, counters.removals);
  const std::lock_guard lock{mutex};
  const auto times = [&](const std::string& part) {
    return std::count_if(said.begin(), said.end(),
                         [&](const std::string& line) { return line.find(part) != line.npos; });
  };
  if (times("asks for a reset") != 1 || times("device is gone") != 1) return "not said once";
  return "";
}

}  // namespace

TEST_CASE("flows of both families live through a pulled cable over af_packet", "[nic][root]") {
  cable_is_pulled(DpdkDriver::af_packet);
}

TEST_CASE("flows of both families live through a pulled cable over af_xdp", "[nic][root]") {
  cable_is_pulled(DpdkDriver::af_xdp);
}

TEST_CASE("flows of both families live through an interface that is made anew, over af_packet",
          "[nic][root]") {
  interface_is_made_anew(DpdkDriver::af_packet);
}

TEST_CASE("flows of both families live through an interface that is made anew, over af_xdp",
          "[nic][root]") {
  interface_is_made_anew(DpdkDriver::af_xdp);
}

TEST_CASE("frames the kernel had no room for are counted, and what follows arrives",
          "[nic][root]") {
  auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  constexpr std::size_t more_than_fits = 4000;
  const auto flood = [](DpdkNic& nic, Control&) -> std::string {
    bench::RawLink link{nic};
    while (link.sent() < more_than_fits) link.send(32, 100);
    // From now on one at a time until one comes back: the other end has begun to look.
    std::size_t back = 0;
    const bool answered = soon([&] {
      link.send(1, 100);
      back += link.receive([](std::uint64_t, std::span<std::byte>) {});
      ::usleep(1000);
      return back != 0;
    });
    return answered ? "" : "nothing comes back";
  };
  const auto look_late = [](DpdkNic& nic, Control& control) -> std::string {
    if (!soon([&] { return nic.counters().rx_missed > 100; })) return "nothing is missed";
    return echo_until_told(nic, control);
  };
  CHECK(run_pair({on_wire(DpdkDriver::af_packet), flood},
                 {on_wire(DpdkDriver::af_packet), look_late}, &*hosts) == "");
}

TEST_CASE("a queue pair taken again while the cable is out is empty and counts from zero",
          "[nic][root]") {
  auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  constexpr std::size_t more_than_fits = 4000;
  auto sender = ChildProcess::start([&](Control& control) {
    hosts->enter(0);
    auto opened = Port<DpdkNic>::open(on_wire(DpdkDriver::af_packet));
    auto nic = opened ? opened->take_queue() : tl::unexpected{opened.error()};
    control.send(Verdict{nic ? "" : nic.error()});
    if (!nic || !control.receive<char>(patience())) return 1;
    bench::RawLink link{*nic};
    while (link.sent() < more_than_fits) link.send(32, 100);
    control.send(Verdict{});
    if (!control.receive<char>(2 * patience())) return 1;
    while (!control.ready()) {
      link.send(1, 100);
      ::usleep(10'000);  // the new owner, once it looks, has two seconds before its ring is full
    }
    return 0;
  });
  auto owner = ChildProcess::start([&](Control& control) {
    hosts->enter(1);
    const auto turn = [&](const std::string& said) {
      control.send(Verdict{said});
      return said.empty() && control.receive<char>(2 * patience());
    };
    auto opened = Port<DpdkNic>::open(on_wire(DpdkDriver::af_packet));
    auto nic = opened ? opened->take_queue() : tl::unexpected{opened.error()};
    if (!turn(nic ? "" : nic.error())) return 1;
    const bool missed = soon([&] { return nic->counters().rx_missed > 100; });
    { const DpdkNic gone = std::move(*nic); }
    if (!turn(missed ? "" : "nothing is missed")) return 1;
    if (!turn(soon([&] { return !opened->link_up(); }) ? "" : "the cable is not out")) return 1;
    nic = opened->take_queue();
    if (!turn(nic ? "" : nic.error())) return 1;
    bench::RawLink link{*nic};
    std::uint64_t first = 0;
    const auto note = [&](std::uint64_t number, std::span<const std::byte>) {
      if (first == 0) first = number + 1;
    };
    const bool received = soon([&] { return link.receive(note) != 0; });
    const auto counted = nic->counters().rx_missed;
    std::string wrong = received ? "" : "nothing arrives";
    if (counted != 0) wrong += "it counts " + std::to_string(counted) + " for the former owner ";
    if (received && first < more_than_fits) wrong += "frames for the former owner";
    turn(wrong);
    return 0;
  });
  REQUIRE((sender && owner));
  const auto cable = [&](const char* way) {
    auto child = ChildProcess::start([&](Control&) {
      hosts->enter(0);
      return std::system((std::string{"ip link set wire0 "} + way).c_str()) == 0 ? 0 : 1;
    });
    REQUIRE(child);
    REQUIRE(child->stop(patience()) == 0);
  };
  CHECK(heard(*sender) == "");
  CHECK(heard(*owner) == "");
  sender->control().send('f');
  CHECK(heard(*sender) == "");
  owner->control().send('m');  // what was flooded is missed
  CHECK(heard(*owner) == "");
  cable("down");
  owner->control().send('o');
  CHECK(heard(*owner) == "");
  owner->control().send('t');
  CHECK(heard(*owner) == "");
  cable("up");
  sender->control().send('s');
  owner->control().send('r');
  CHECK(heard(*owner) == "");
  sender->control().send('e');
  owner->control().send('e');
  CHECK(sender->stop(patience()) == 0);
  CHECK(owner->stop(patience()) == 0);
}

TEST_CASE("a driver that asks for a reset or loses its device is set up anew", "[nic]") {
  auto child = ChildProcess::start([](Control& control) {
    control.send(Verdict{events_of_a_driver()});
    return 0;
  });
  REQUIRE(child);
  CHECK(heard(*child) == "");
}
