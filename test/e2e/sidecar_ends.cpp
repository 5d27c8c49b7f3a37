// e2e: applications and sidecars end, by request and by SIGKILL; who stays is told and unharmed.
#include <catch2/catch.hpp>

#include <filesystem>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

/// Small channels, so that a hundred of them cost seconds: their memory is touched when made.
const Arguments small_channels{"--message-max",    "1 MiB", "--send-memory", "4 MiB",
                               "--receive-memory", "4 MiB"};

/// Attaches, connects and sends without end; the parent hears of the first echo.
int send_for_ever(const std::string& socket, const Endpoint& to, std::uint64_t seed,
                  Control& parent) {
  Net net = attach(socket, "victim");
  const auto flow = net.connect(to, patience);
  if (!flow || !echoes(net, *flow, 10, seed)) return 2;
  parent.send(char{'e'});
  for (std::uint64_t i = 0;; ++i) {
    const auto bytes = pattern(i * 977 % 70'000, seed);
    if (!net.send(*flow, bytes)) static_cast<void>(net.wait(1ms));
    for (int n = 0; n < 8; ++n) static_cast<void>(net.poll());
  }
}

std::size_t descriptors_of(pid_t pid) {
  std::size_t n = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"}) {
    static_cast<void>(entry);
    ++n;
  }
  return n;
}

}  // namespace

TEST_CASE("A proad that was asked to die with its parent does, whatever user it has become") {
  struct Started {
    pid_t a, b;
    char directory[32];  // the killed one cannot remove it
  };
  ChildProcess parent = start_child([](Control& control) {
    const Hosts hosts{small_channels};
    Started out{hosts.a.pid(), hosts.b.pid(), {}};
    (hosts.scratch / "").copy(out.directory, sizeof out.directory - 1);
    control.send(out);
    while (!control.ready()) ::usleep(1'000);
    return 0;
  });
  const auto started = parent.control().receive<Started>(patience);
  REQUIRE(started);
  ::kill(parent.pid(), SIGKILL);
  // Of a process that nobody has waited for yet the command line is empty.
  const auto gone = [](pid_t pid) {
    return read_file("/proc/" + std::to_string(pid) + "/cmdline").empty();
  };
  const bool both_gone = eventually([&] { return gone(started->a) && gone(started->b); });
  std::filesystem::remove_all(started->directory);
  CHECK(both_gone);
  if (both_gone) return;
  ::kill(started->a, SIGTERM);
  ::kill(started->b, SIGTERM);
}

TEST_CASE("A killed application's peer is told application_gone, others go on") {
  const Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  auto victim = std::make_unique<ChildProcess>(echo_server(hosts.socket(1), 7001));
  Net net = attach(hosts.socket(0), "client");
  const auto doomed = net.connect(Hosts::at(1, 7001), patience);
  const auto lasting = net.connect(Hosts::at(1, 7000), patience);
  REQUIRE(doomed);
  REQUIRE(lasting);
  REQUIRE(echoes(net, *doomed, 5000, 1));
  for (int i = 0; i < 50; ++i) REQUIRE(net.send(*doomed, pattern(20'000, 2)));
  net.flush();
  victim.reset();  // SIGKILL
  auto closed = next(net, EventKind::closed);
  REQUIRE(closed);
  CHECK(closed->flow == *doomed);
  CHECK(closed->reason == Reason::application_gone);
  for (std::uint64_t i = 0; i < 200; ++i) REQUIRE(echoes(net, *lasting, i * 31, i));
}

TEST_CASE("A hundred applications are killed mid-traffic and nobody else notices") {
  const Hosts hosts{small_channels};
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "witness");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  REQUIRE(flow);
  REQUIRE(echoes(net, *flow, 100, 1));
  const std::size_t before_a = descriptors_of(hosts.a.pid());
  const std::size_t before_b = descriptors_of(hosts.b.pid());
  for (std::uint64_t round = 0; round < 100; ++round) {
    const std::size_t host = round % 2;
    ChildProcess victim = start_child([&](Control& parent) {
      return send_for_ever(hosts.socket(host), Hosts::at(1, 7000), round, parent);
    });
    CAPTURE(round);
    REQUIRE(victim.control().receive<char>(patience));
    REQUIRE(echoes(net, *flow, round * 100, round));  // meanwhile the victim is busy
  }                                                   // and killed here
  REQUIRE(hosts.a.running());
  REQUIRE(hosts.b.running());
  for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(echoes(net, *flow, i * 500, i));
  CHECK(eventually([&] { return times(hosts.status(0), "\"application\"") == 1; }));
  CHECK(eventually([&] { return times(hosts.status(1), "\"application\"") == 1; }));
  CHECK(eventually([&] { return times(hosts.status(1), "\"state\":\"open\"") == 1; }));
  CHECK(eventually([&] { return descriptors_of(hosts.a.pid()) <= before_a; }));
  CHECK(eventually([&] { return descriptors_of(hosts.b.pid()) <= before_b; }));
}

TEST_CASE("A stopped sidecar tells both ends, ends with 0 and leaves no socket behind") {
  Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  REQUIRE(flow);
  SECTION("its own application") {
    ::kill(hosts.a.pid(), SIGTERM);
    CHECK(hosts.a.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(hosts.socket(0)));
    const auto closed = next(net, EventKind::closed);
    REQUIRE(closed);
    CHECK(closed->reason == Reason::stack_shutdown);
    CHECK_FALSE(net.connect(Hosts::at(1, 7000), 1s));
  }
  SECTION("the other host's application") {
    ::kill(hosts.b.pid(), SIGINT);
    CHECK(hosts.b.wait() == 0);
    CHECK_FALSE(std::filesystem::exists(hosts.socket(1)));
    const auto closed = next(net, EventKind::closed);
    REQUIRE(closed);
    CHECK(closed->reason == Reason::stack_shutdown);
  }
}

TEST_CASE("A killed sidecar's application hears stack_closed") {
  Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  REQUIRE(flow);
  ::kill(hosts.a.pid(), SIGKILL);
  const auto closed = next(net, EventKind::closed);
  REQUIRE(closed);
  CHECK(closed->reason == Reason::stack_closed);
}

namespace {

/// An application sends that much, closes and leaves at once.
void leave_last_message(const Hosts& hosts, std::size_t bytes) {
  Net net = attach(hosts.socket(1), "receiver");
  REQUIRE(net.listen({7000}));
  ChildProcess sender = start_child([&](Control& parent) {
    Net own = attach(hosts.socket(0), "sender");
    const auto flow = own.connect(Hosts::at(1, 7000), patience);
    if (!flow || !send_patiently(own, *flow, pattern(bytes, 7)) || !own.close(*flow)) return 2;
    own.flush();
    parent.send(char{'c'});
    return 0;  // at once: the sidecar drains
  });
  REQUIRE(sender.control().receive<char>(patience));
  const auto message = next(net, EventKind::message);
  if (!message) FAIL(hosts.status(0) << hosts.status(1));
  const auto expected = pattern(bytes, 7);
  CHECK(std::equal(expected.begin(), expected.end(), message->message.bytes().begin(),
                   message->message.bytes().end()));
  const auto closed = next(net, EventKind::closed);
  REQUIRE(closed);
  CHECK(closed->reason == Reason::closed_by_peer);
}

}  // namespace

TEST_CASE("An application that closes and leaves has its last messages delivered") {
  // The default of a second is enough for little, three megabytes may take longer where it is busy.
  leave_last_message(Hosts{}, 100);
  leave_last_message(Hosts{{"--linger", "60s"}}, 3'000'000);
}
