// lib tests: the control dialogue between an honest application and a sidecar.
#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "control_pair.hpp"

namespace proa {
namespace {

using namespace proa::test;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // of what only a bug keeps from coming

ControlServerOptions options_for(const char* what) {
  ControlServerOptions options;
  options.path = socket_path(what);
  options.mode = 0600;
  return options;
}
AttachOptions attach_to(const ControlServerOptions& options, const char* name = "test") {
  AttachOptions attach;
  attach.path = options.path;
  attach.name = name;
  attach.timeout = patience;
  return attach;
}
template <class Condition>
bool comes_true(Condition&& condition) {
  const Instant end = monotonic_now() + patience;
  while (!condition()) {
    if (monotonic_now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace

TEST_CASE("an application attaches, uses its channel, listens, and its exit is noticed",
          "[ipc][control]") {
  const auto options = options_for("attach");
  ControlThread thread{options};
  {
    auto attached = ControlClient::attach(attach_to(options));
    REQUIRE(attached);
    CHECK(attached->control.listen(7000, patience));
    CHECK(attached->control.listen(7000, patience).error() == Reason::port_in_use);
    CHECK(attached->control.unlisten(7000, patience));
    CHECK(attached->control.unlisten(7000, patience).error() == Reason::invalid_argument);
    CHECK(attached->control.listen(0, patience).error() == Reason::invalid_argument);
    CHECK(attached->control.listen(99, patience).error() == Reason::not_permitted);
    CHECK(attached->control.status("", patience) == "channels: 1");
    CHECK(attached->control.status("long", patience)->size() == 6'000'000);

    AttachedChannel& c = attached->channel;
    ClientMemory memory{c.geometry, std::move(c.send), std::move(c.receive)};
    ChannelClient client{memory, std::move(c.bell)};
    const auto flow = client.connect({IpAddress::v4(1), 7}, never);
    REQUIRE(flow);
    client.flush();
    thread.join();  // from here on this thread is the engine
    REQUIRE(thread.sidecar.channels.size() == 1);
    CHECK(thread.sidecar.peer.pid == ::getpid());
    EchoEngine engine{*thread.sidecar.channels.begin()->second.server};
    engine.turn();
    ChannelEvent event;
    REQUIRE(client.poll(event));
    CHECK(event.kind == ChannelEventKind::connected);
  }
  CHECK(comes_true([&] {
    thread.server->serve(10ms);
    return thread.sidecar.gone_count != 0;
  }));
  CHECK(thread.sidecar.gone_count == 1);
  CHECK(thread.sidecar.channels.empty());
  CHECK(thread.server->sessions() == 0);
}

TEST_CASE("who waits long for its channel's memory is told to be patient and gets it",
          "[ipc][control]") {
  const auto options = options_for("late");
  ControlThread thread{options};
  AttachOptions hasty = attach_to(options, "late");
  hasty.timeout = 3s;  // less than either answer takes, three times from one sign to the next
  const Instant before = monotonic_now();
  auto attached = ControlClient::attach(hasty);
  REQUIRE(attached);
  CHECK(monotonic_now() - before >= 2 * TestSidecar::late_by);
  CHECK(attached->control.listen(7000, patience));
}

TEST_CASE("the client notices that the sidecar has gone", "[ipc][control]") {
  const auto options = options_for("lost");
  auto thread = std::make_unique<ControlThread>(options);
  auto attached = ControlClient::attach(attach_to(options));
  REQUIRE(attached);
  AttachedChannel& c = attached->channel;
  ClientMemory memory{c.geometry, std::move(c.send), std::move(c.receive)};
  ChannelClient client{memory, std::move(c.bell)};
  const auto flow = client.connect({IpAddress::v4(1), 7}, never);
  REQUIRE(flow);
  thread.reset();
  client.wait(patience);
  ChannelEvent event;
  REQUIRE(client.poll(event));
  CHECK(event.kind == ChannelEventKind::closed);
  CHECK(event.reason == Reason::stack_closed);
  CHECK(event.flow == *flow);
  CHECK_FALSE(client.poll(event));
  CHECK(client.lost());
  CHECK(client.connect({IpAddress::v4(1), 7}, never).error() == Reason::stack_closed);
  CHECK(attached->control.listen(1, patience).error() == Reason::stack_closed);
}

TEST_CASE("refusals and failures are sentences", "[ipc][control]") {
  const auto options = options_for("refuse");
  CHECK(ControlClient::attach(attach_to(options)).error().find("is proad running") !=
        std::string::npos);
  ControlThread thread{options};
  CHECK(ControlClient::attach(attach_to(options, "unwanted")).error() ==
        "the sidecar refused: not on this boat");
  TestSidecar other;
  const auto second = ControlServer::open(options, other);
  REQUIRE_FALSE(second);
  CHECK(second.error().find("a sidecar already answers") != std::string::npos);
}

TEST_CASE("a socket file left behind by a dead sidecar is replaced", "[ipc][control]") {
  const auto options = options_for("stale");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    TestSidecar sidecar;
    const auto server = ControlServer::open(options, sidecar);
    ::_exit(server ? 0 : 1);  // without its destructor
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  REQUIRE(status == 0);
  REQUIRE(::access(options.path.c_str(), F_OK) == 0);
  {
    ControlThread thread{options};
    CHECK(ControlClient::attach(attach_to(options)));
  }
  CHECK(::access(options.path.c_str(), F_OK) != 0);
}

TEST_CASE("a killed application is gone even while its child holds the socket", "[ipc][control]") {
  const auto options = options_for("killed");
  ControlThread thread{options};
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    auto attached = ControlClient::attach(attach_to(options));
    const pid_t child = attached ? ::fork() : -1;
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    static_cast<void>(!::write(ready[1], &child, sizeof child));
    ::pause();
    ::_exit(0);
  }
  pid_t grandchild = -1;
  REQUIRE(::read(ready[0], &grandchild, sizeof grandchild) == sizeof grandchild);
  REQUIRE(grandchild > 0);
  CHECK(thread.sidecar.gone_count == 0);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  CHECK(comes_true([&] { return thread.sidecar.gone_count == 1; }));
  ::kill(grandchild, SIGKILL);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace proa
