// sidecar: the whole sidecar but for a NIC, in this process: control thread, engine, applications.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include <proa/base/prng.hpp>
#include <proa/sidecar.hpp>

#include "../../boat_without_nic.hpp"

using namespace proa;
using namespace proa::sidecar;
using namespace std::chrono_literals;

namespace {

using Net = Stack<Sidecar>;
using Boat = proa::test::BoatWithoutNic;

constexpr auto patience = 60s;  // of what only a bug keeps from coming

Endpoint here(std::uint16_t port) { return {IpAddress::v4(10, 0, 0, 1), port}; }

std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
  Prng random{seed};
  std::vector<std::byte> out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(random.next32());
  return out;
}

std::optional<Net::Event> next(Net& net, EventKind kind) {
  const Instant until = net.now() + patience;
  while (net.now() < until) {
    while (auto event = net.poll())
      if (event->kind == kind) return event;
    static_cast<void>(net.wait(until));
  }
  return std::nullopt;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The status once it says that: an engine without a processor does not answer at once, and what it
/// knows is missing then. The last one when it never does.
std::string status_with(const Boat& boat, const std::string& query, std::string_view part) {
  const Instant until = monotonic_now() + patience;
  std::string said;
  while (!contains(said = boat.status(query), part) && monotonic_now() < until)
    std::this_thread::sleep_for(10ms);
  return said;
}

struct Pair {
  explicit Pair(const Boat& boat) : a(boat.board("anna")), b(boat.board("ben")) {
    REQUIRE(b.listen({7000}));
    const auto flow = a.connect(here(7000), patience);
    REQUIRE(flow);
    at_a = *flow;
    const auto accepted = next(b, EventKind::accepted);
    REQUIRE(accepted);
    at_b = accepted->flow;
  }
  Net a, b;
  FlowHandle at_a, at_b;
};

/// An engine that has said all it has to say.
class SpokenEngine final : public EngineHost {
 public:
  explicit SpokenEngine(std::initializer_list<EngineAnswer> answers) {
    for (const EngineAnswer& answer : answers) link_.answer(answer);
  }
  void start() override {}
  void join() override {}
  [[nodiscard]] EngineLink& link() noexcept override { return link_; }
  [[nodiscard]] std::string nic_text() const override { return "none"; }

 private:
  EngineLink link_;
};

/// What a daemon over these engines, of one interface, writes to standard error in its one turn.
std::string said_by_daemon(std::vector<std::unique_ptr<EngineHost>> engines) {
  const std::string path = "/tmp/proa-daemon-said-" + std::to_string(::getpid());
  const auto config = parse_config("log_level = 'info'\n[control]\nsocket = '" + path +
                                       ".sock'\n[[interface]]\nname = 'red'\nnic = 'none'\n"
                                       "addresses = '10.0.0.1/24'\n",
                                   "test.toml");
  auto access = Access::make(*config, ::getuid());
  std::vector<NamedInterface> interfaces(1);
  interfaces[0].name = "red";
  interfaces[0].host.engines = std::move(engines);
  const OwnedFd stop{::eventfd(1, EFD_CLOEXEC)}, before{::dup(STDERR_FILENO)};
  {
    const OwnedFd said{::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600)};
    ::dup2(said.get(), STDERR_FILENO);
    Daemon daemon{*config, std::move(*access), std::move(interfaces), Log{config->log_level}};
    if (daemon.open()) daemon.run(stop.get(), "me");
    ::dup2(before.get(), STDERR_FILENO);
  }
  std::ifstream in{path};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  std::filesystem::remove(path);
  return text;
}

std::size_t times(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("what all engines of an interface notice is said once, with the interface's name") {
  using Kind = EngineAnswer::Kind;
  EngineAnswer down{Kind::noticed};
  down.notice.what = NicTrouble::link_down;
  std::vector<std::unique_ptr<EngineHost>> engines;
  for (int i = 0; i < 4; ++i)
    engines.push_back(std::unique_ptr<EngineHost>{
        new SpokenEngine{down, EngineAnswer{Kind::conflict}, EngineAnswer{Kind::stopped}}});
  const std::string said = said_by_daemon(std::move(engines));
  CAPTURE(said);
  CHECK(times(said, "interface red: the link is down\n") == 1);
  CHECK(times(said, "interface red: another station uses an address of ours") == 1);
  CHECK(times(said, "engine 0") == 0);
}

TEST_CASE("channels spread evenly over the engines of an interface") {
  const Boat boat{"[quotas]\nchannels_per_user = 8", "engines = 4\n"};
  std::vector<Net> nets;
  for (int i = 0; i < 8; ++i) nets.push_back(boat.board("app" + std::to_string(i)));
  const std::string json = boat.status("json");
  for (int engine = 0; engine < 4; ++engine) {
    CAPTURE(engine, json);
    CHECK(times(json, "\"engine\":" + std::to_string(engine) + ",\"state\"") == 2);
  }
}

TEST_CASE("a busy engine gets no more channels while others have less to do") {
  const Boat boat{"", "engines = 2\n"};
  std::atomic<bool> done{false};
  std::thread worker{[&] {  // alone at the first engine, which serves both ends of its flow
    Net net = boat.board("busy");
    static_cast<void>(net.listen({7000}));
    const auto flow = net.connect(here(7000), patience);
    while (flow && !done) {  // who only allocates has next to nothing to do for a large message
      while (auto buffer = net.allocate(500'000, *flow))
        if (!net.send(*flow, std::move(buffer))) break;
      while (net.poll()) {
      }
      static_cast<void>(net.wait(1ms));
    }
  }};
  const auto busy_percent = [&] {  // of the first engine
    const std::string json = boat.status("json");
    const std::string key = "\"busy_percent\":";
    const std::size_t at = json.find(key);
    return at == std::string::npos ? -1 : std::stoi(json.substr(at + key.size()));
  };
  const auto until = monotonic_now() + patience;
  const auto is_busy = [&] { return busy_percent() >= 50; };
  std::string json;
  bool all_the_time = false;  // the worker may lose its processor, then its engine has a rest
  while (!all_the_time && monotonic_now() < until) {
    std::this_thread::sleep_for(50ms);
    // Alone: whoever came before has left his seat.
    if (times(boat.status("json"), "\"application\"") != 1 || !is_busy()) continue;
    const Net b = boat.board("b"), c = boat.board("c");
    json = boat.status("json");
    all_the_time = is_busy();
  }
  done = true;
  worker.join();
  CAPTURE(json);
  CHECK(all_the_time);
  CHECK(times(json, "\"engine\":0,\"state\"") == 1);
  CHECK(times(json, "\"engine\":1,\"state\"") == 2);
}

TEST_CASE("two applications of one sidecar exchange messages of every size") {
  const Boat boat;
  Pair pair{boat};
  for (const std::size_t size : {0U, 1U, 52U, 53U, 112U, 113U, 9000U, 65'536U, 1U << 20U}) {
    CAPTURE(size);
    const auto sent = pattern(size, size);
    REQUIRE(pair.a.send(pair.at_a, sent));
    auto there = next(pair.b, EventKind::message);
    REQUIRE(there);
    REQUIRE(std::ranges::equal(there->message.bytes(), sent));
    REQUIRE(pair.b.send(pair.at_b, there->message.bytes()));
    there->message = {};
    const auto back = next(pair.a, EventKind::message);
    REQUIRE(back);
    REQUIRE(std::ranges::equal(back->message.bytes(), sent));
  }
  const auto closed = pair.a.close(pair.at_a);
  REQUIRE(closed);
  CHECK(next(pair.a, EventKind::closed)->reason == Reason::closed_by_application);
  CHECK(next(pair.b, EventKind::closed)->reason == Reason::closed_by_peer);
}

TEST_CASE("an application that leaves frees its port, its channel and its quota, peers are told") {
  const Boat boat{"[quotas]\nchannels_per_user = 2"};
  for (int round = 0; round < 20; ++round) {
    auto pair = std::make_unique<Pair>(boat);
    REQUIRE(pair->a.send(pair->at_a, pattern(100'000, 1)));
    pair->a.flush();
    const auto third = Net::open(*Sidecar::Options::parse("socket=" + boat.path()));
    REQUIRE_FALSE(third);
    CHECK(contains(third.error(), "channels_per_user"));
    { const Net gone = std::move(pair->a); }
    const auto closed = next(pair->b, EventKind::closed);
    REQUIRE(closed);
    CHECK(closed->reason == Reason::application_gone);
    pair.reset();
    // Its seat is free when the engine holds nothing of it any more.
    const auto until = monotonic_now() + patience;
    while (contains(boat.status("json"), "\"application\"") && monotonic_now() < until) {
    }
  }
  CHECK(contains(boat.status("json"), "\"channels\":[]"));
}

TEST_CASE("applications on four engines talk to each other") {
  const Boat boat{"", "engines = 4\n"};
  std::vector<Net> nets;
  for (int i = 0; i < 5; ++i) nets.push_back(boat.board("app" + std::to_string(i)));
  for (std::size_t i = 0; i < nets.size(); ++i)
    REQUIRE(nets[i].listen({static_cast<std::uint16_t>(7000 + i)}));
  for (std::size_t from = 0; from < nets.size(); ++from)
    for (std::size_t to = 0; to < nets.size(); ++to) {
      if (from == to) continue;
      CAPTURE(from, to);
      const auto flow = nets[from].connect(here(static_cast<std::uint16_t>(7000 + to)), patience);
      REQUIRE(flow);
      const auto sent = pattern(300'000, from * 10 + to);
      REQUIRE(nets[from].send(*flow, sent));
      nets[from].flush();
      const auto there = next(nets[to], EventKind::message);
      REQUIRE(there);
      REQUIRE(std::ranges::equal(there->message.bytes(), sent));
      REQUIRE(nets[from].close(*flow));
      REQUIRE(next(nets[from], EventKind::closed));
      REQUIRE(next(nets[to], EventKind::closed));
    }
  const std::string json = status_with(boat, "json", "\"engine\":3,\"answered\":true");
  CHECK(contains(json, "\"engine\":3,\"answered\":true"));
  CHECK_FALSE(contains(json, "\"handover_full\":1"));
}

TEST_CASE("channels of one user share a listener and new flows spread over their engines") {
  const Boat boat{"", "engines = 4\n"};
  std::vector<Net> servers;
  for (int i = 0; i < 3; ++i) {
    servers.push_back(boat.board("server"));
    REQUIRE(servers.back().listen({.port = 7000, .shared = true}));
  }
  Net client = boat.board("client");
  CHECK(client.listen({7000}).error().reason() == Reason::port_in_use);
  std::vector<std::uint32_t> accepted(servers.size());
  for (int i = 0; i < 60; ++i) REQUIRE(client.connect(here(7000), patience));
  const auto all = [&] { return accepted[0] + accepted[1] + accepted[2]; };
  for (const Instant until = monotonic_now() + patience; all() < 60 && monotonic_now() < until;)
    for (std::size_t i = 0; i < servers.size(); ++i)
      while (const auto event = servers[i].poll())
        accepted[i] += event->kind == EventKind::accepted ? 1U : 0U;
  CHECK(all() == 60);
  for (const auto n : accepted) CHECK(n >= 5);
}

TEST_CASE("an application names the interface it wants") {
  const Boat boat;
  const auto with = [&](const std::string& interface) {
    return Net::open(*Sidecar::Options::parse("socket=" + boat.path() + ";interface=" + interface));
  };
  CHECK(with("proa0"));
  CHECK(with("10.0.0.1"));
  CHECK(with("10.0.0.77"));  // it has a route there
  const auto none = with("10.1.0.1");
  REQUIRE_FALSE(none);
  CHECK(contains(none.error(), "no interface"));
}

TEST_CASE("an application reaches all interfaces of its sidecar, each by its own channel") {
  const Boat boat{"", "[[interface]]\nnic = 'none'\naddresses = '10.1.0.1/24'\nengines = 2\n"};
  Net server{Sidecar::Options::parse("socket=" + boat.path() + ";interface=10.1.0.1")};
  REQUIRE(server.listen({7000}));
  Net near{Sidecar::Options::parse("socket=" + boat.path() + ";interface=proa0")};
  REQUIRE(near.listen({7000}));
  const Endpoint far{IpAddress::v4(10, 1, 0, 1), 7000};
  for (int round = 0; round < 5; ++round) {
    Net net = boat.board("traveller");
    REQUIRE(net.interfaces().size() == 2);
    CHECK(net.interfaces()[0].name == "proa0");
    CHECK(net.interfaces()[1].addresses.front() == IpPrefix{far.address, 24});
    const auto nowhere = net.connect({IpAddress::v4(10, 2, 0, 1), 7000}, patience);
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error().reason() == Reason::no_route);
    const auto flow = net.connect(far, patience);
    const auto back = net.connect(here(7000), patience);
    REQUIRE((flow && back));
    REQUIRE(net.send(*flow, pattern(50'000, 3)));
    REQUIRE(net.send(*back, pattern(50'000, 3)));
    net.flush();
    CHECK(next(server, EventKind::message));
    CHECK(next(near, EventKind::message));
  }
  // Who named an interface is not moved to another one.
  const auto refused = near.connect(far, patience);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason() == Reason::no_route);
  Net named{Sidecar::Options::parse("socket=" + boat.path() + ";interface=proa0")};
  const auto not_there = named.connect(far, patience);
  REQUIRE_FALSE(not_there);
  CHECK(not_there.error().reason() == Reason::no_route);
}

TEST_CASE("a sidecar that stops tells its applications and removes its socket") {
  Boat boat;
  Pair pair{boat};
  boat.sink();
  CHECK(next(pair.a, EventKind::closed)->reason == Reason::stack_shutdown);
  CHECK(next(pair.b, EventKind::closed)->reason == Reason::stack_shutdown);
  CHECK_FALSE(std::filesystem::exists(boat.path()));
  CHECK_FALSE(Net::open(*Sidecar::Options::parse("socket=" + boat.path())));
}

TEST_CASE("a listener's port belongs to one application") {
  const Boat boat;
  Net a = boat.board("a"), b = boat.board("b");
  REQUIRE(a.listen({7000}));
  const auto taken = b.listen({7000});
  REQUIRE_FALSE(taken);
  CHECK(taken.error().reason() == Reason::port_in_use);
  CHECK_FALSE(b.unlisten({7000}));
  CHECK(a.unlisten({7000}));
  CHECK(b.listen({7000}));
}

TEST_CASE("a user's flows are limited at both ends") {
  const Boat boat{"[quotas]\nflows_per_user = 2"};
  Pair pair{boat};  // its two ends
  const auto more = pair.a.connect(here(7000), patience);
  REQUIRE_FALSE(more);
  CHECK(more.error().reason() == Reason::not_permitted);
}

TEST_CASE("status shows what there is, in both forms, and nothing a terminal would obey") {
  const Boat boat;
  Net net = boat.board("\x1b[31mred\"\\");
  const std::string text = boat.status("");
  CHECK(contains(text, "10.0.0.1/24"));
  CHECK(contains(text, "?[31mred\"\\"));
  CHECK_FALSE(contains(text, "\x1b"));
  CHECK_FALSE(contains(text, "bad_checksum"));
  CHECK(contains(boat.status("all"), "bad_checksum=0"));
  const std::string json = boat.status("json");
  CHECK(contains(json, R"("application":"\u001b[31mred\"\\")"));
  CHECK(contains(json, "\"bad_checksum\":0"));
}

TEST_CASE("status is whole with thousands of flows, and says how many it leaves out") {
  const Boat boat;
  Pair pair{boat};
  std::uint32_t connected = 0;
  const auto hear = [&] {
    if (const auto event = pair.a.poll(); event && event->kind == EventKind::connected) ++connected;
    static_cast<void>(pair.b.poll());  // else its ring is full and no more are accepted
  };
  for (int asked = 1; asked < 2100; ++asked)  // with Pair's: 2,100 flows with two ends each
    while (!pair.a.connect(here(7000))) hear();
  for (const Instant until = monotonic_now() + patience;
       connected < 2099 && monotonic_now() < until;)
    hear();
  REQUIRE(connected == 2099);
  const std::string json = status_with(boat, "json", "\"flows_left_out\":104,");
  CHECK(contains(json, "\"flows_left_out\":104,"));
  CHECK(json.ends_with("}]}\n"));
  const std::string_view more = "and 104 more flows, not shown\n";
  CHECK(contains(status_with(boat, "", more), more));
}
