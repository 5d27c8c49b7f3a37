// e2e: memif ends that do not have as many queue pairs as each other: served whole or not at all.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <mutex>

#include "nic_support.hpp"

namespace {

using namespace proa;
using namespace proa::e2e;

constexpr std::uint16_t pairs = 4;

DpdkOptions of_pairs(MemifRole role, const std::string& socket, std::uint16_t queue_pairs) {
  DpdkOptions options = memif(role, socket);
  options.queue_pairs = queue_pairs;
  return options;
}

/// What a port says about itself, line by line.
class Log {
 public:
  void operator()(std::string_view line) {
    const std::lock_guard lock{mutex_};
    lines_.emplace_back(line);
  }
  [[nodiscard]] std::ptrdiff_t times(const std::string& part) {
    const std::lock_guard lock{mutex_};
    return std::count_if(lines_.begin(), lines_.end(), [&](const std::string& line) {
      return line.find(part) != std::string::npos;
    });
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// Echoes on all of its queue pairs; says so when it has turned the first client away, and ends
/// with the second.
std::string serve_the_second(const std::string& socket, Control& control) {
  Log log;
  // The client's descriptors will get numbers that were in use when the port was opened.
  std::vector<int> taken(64);
  for (int& fd : taken) fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  DpdkOptions options = of_pairs(MemifRole::server, socket, pairs);
  options.log = [&log](std::string_view line) { log(line); };
  auto port = Port<DpdkNic>::open(options);
  if (!port) return port.error();
  auto nics = take_all(*port);
  if (!nics) return nics.error();
  for (const int fd : taken) ::close(fd);
  std::size_t echoed = 0;
  const auto echo = [&] {
    for (DpdkNic& nic : *nics) echoed += bench::RawLink{nic}.echo();
  };
  control.send(Verdict{});  // ready
  const auto turned_away = [&] {
    echo();
    return nics->front().counters().mismatches == 1;
  };
  if (!soon(turned_away)) return "not noticed: " + std::to_string(echoed) + " frames echoed";
  for (int i = 0; i < 10'000; ++i) echo();  // the client sends meanwhile
  if (echoed != 0) return "served all the same: " + std::to_string(echoed) + " frames echoed";
  for (const DpdkNic& nic : *nics)
    if (nic.link_up()) return "a link that is not served is up";
  if (port->describe().link_up) return "described as up";
  const std::string line = "the client has queue pairs for 1 of 4 here and is not served";
  if (!soon([&] { return log.times(line) != 0; }) || log.times(line) != 1) return "not said once";
  for (DpdkNic& nic : *nics) {
    // The news of the link itself may still be on their way.
    if (wakes(nic, std::chrono::milliseconds{100}) > wakes_at_most) return "a thread is kept awake";
  }
  control.send(Verdict{});  // turned away
  if (!soon([&] { return port->link_up(); })) return "the link does not come up";
  const auto counters = nics->front().counters();
  if (counters.link_downs != 0) return "a link that was never up went down";
  while (!control.ready()) echo();
  return echoed != 0 && counters.mismatches == 1 ? "" : "the second client was not served";
}

}  // namespace

TEST_CASE("a memif client with fewer queue pairs than its server is not served, the next one is",
          "[nic]") {
  const SocketPath socket{"fewer"};
  auto server = ChildProcess::start([&](Control& control) {
    control.send(Verdict{serve_the_second(socket, control)});
    return 0;
  });
  REQUIRE(server);
  REQUIRE(heard(*server) == "");
  auto small = ChildProcess::start([&](Control& control) {
    auto port = Port<DpdkNic>::open(of_pairs(MemifRole::client, socket, 1));
    if (!port) return 1;
    auto nic = port->take_queue();
    if (!nic) return 1;
    bench::RawLink link{*nic};
    while (!control.ready()) link.send(8, 100);
    return 0;
  });
  REQUIRE(small);
  REQUIRE(heard(*server) == "");  // it has turned that one away
  CHECK(small->stop(patience()) == 0);
  auto equal = ChildProcess::start([&](Control& control) {
    const auto verdict = [&]() -> std::string {
      auto port = Port<DpdkNic>::open(of_pairs(MemifRole::client, socket, pairs));
      if (!port) return port.error();
      auto nics = take_all(*port);
      if (!nics) return nics.error();
      for (DpdkNic& nic : *nics)
        if (auto wrong = send_and_verify(nic, {60, 1514}, 20); !wrong.empty()) return wrong;
      return "";
    };
    control.send(Verdict{verdict()});
    return control.receive<char>(2 * patience()) ? 0 : 1;
  });
  REQUIRE(equal);
  CHECK(heard(*equal) == "");
  server->control().send('s');
  CHECK(heard(*server) == "");
  equal->control().send('e');
}

namespace {

/// A server whose neighbour in the same process has its client already.
std::string notice_beside_another(const std::string& first, const std::string& second,
                                  Control& control) {
  auto served = Port<DpdkNic>::open(of_pairs(MemifRole::server, first, pairs));
  if (!served) return served.error();
  auto port = Port<DpdkNic>::open(of_pairs(MemifRole::server, second, pairs));
  if (!port) return port.error();
  control.send(Verdict{});  // ready
  if (!soon([&] { return served->link_up(); })) return "the first client is not served";
  control.send(Verdict{});  // the next one may come
  auto nic = port->take_queue();
  if (!nic) return nic.error();
  if (!soon([&] { return nic->counters().mismatches == 1; })) return "not noticed";
  if (port->link_up() || !served->link_up()) return "the wrong link is up";
  control.send(Verdict{});  // noticed
  // Its client may not have heard yet that it is connected.
  return control.receive<char>(2 * patience()) ? "" : "nobody says when to end";
}

/// A client that is there until told to leave.
tl::expected<ChildProcess, std::string> bystander(const std::string& socket, std::uint16_t with) {
  return ChildProcess::start([&socket, with](Control& control) {
    auto port = Port<DpdkNic>::open(of_pairs(MemifRole::client, socket, with));
    control.send(Verdict{port ? "" : port.error()});
    return control.receive<char>(2 * patience()) ? 0 : 1;
  });
}

}  // namespace

TEST_CASE("what one memif port of a process has opened is not taken for another's", "[nic]") {
  const SocketPath first{"first"}, second{"second"};
  auto server = ChildProcess::start([&](Control& control) {
    control.send(Verdict{notice_beside_another(first, second, control)});
    return 0;
  });
  REQUIRE(server);
  REQUIRE(heard(*server) == "");
  auto equal = bystander(first, pairs);
  REQUIRE(equal);
  REQUIRE(heard(*equal) == "");
  REQUIRE(heard(*server) == "");
  auto small = bystander(second, 1);
  REQUIRE(small);
  CHECK(heard(*small) == "");
  REQUIRE(heard(*server) == "");
  server->control().send('e');
  CHECK(heard(*server) == "");
  equal->control().send('e');
  small->control().send('e');
}

namespace {

/// A server to which nobody listens when its first client comes and goes, and the next one has
/// fewer queue pairs.
std::string sleep_beside_the_unserved(const std::string& socket, Control& control) {
  auto port = Port<DpdkNic>::open(of_pairs(MemifRole::server, socket, pairs));
  if (!port) return port.error();
  auto nics = take_all(*port);
  if (!nics) return nics.error();
  control.send(Verdict{});  // ready
  if (!soon([&] { return port->link_up(); })) return "the first client is not served";
  control.send(Verdict{});  // the next one may come
  if (!soon([&] { return nics->front().counters().mismatches == 1; })) return "not noticed";
  for (DpdkNic& nic : *nics)
    if (const auto count = wakes(nic, std::chrono::milliseconds{100}); count > wakes_at_most)
      return "a thread is woken " + std::to_string(count) + " times";
  return "";
}

}  // namespace

TEST_CASE("a memif client that is not served keeps no sleeper of its server awake", "[nic]") {
  const SocketPath socket{"unserved"};
  auto server = ChildProcess::start([&](Control& control) {
    control.send(Verdict{sleep_beside_the_unserved(socket, control)});
    return 0;
  });
  REQUIRE(server);
  REQUIRE(heard(*server) == "");
  auto equal = bystander(socket, pairs);
  REQUIRE(equal);
  REQUIRE(heard(*equal) == "");
  REQUIRE(heard(*server) == "");
  equal->control().send('e');
  CHECK(equal->stop(patience()) == 0);
  auto small = bystander(socket, 1);
  REQUIRE(small);
  CHECK(heard(*server) == "");
  small->control().send('e');
}

TEST_CASE("a memif client with more queue pairs than its server is told what may be the reason",
          "[nic]") {
  const SocketPath socket{"more"};
  auto server = ChildProcess::start([&](Control& control) {
    auto port = Port<DpdkNic>::open(of_pairs(MemifRole::server, socket, 1));
    control.send(Verdict{port ? "" : port.error()});
    return control.receive<char>(2 * patience()) ? 0 : 1;
  });
  REQUIRE(server);
  REQUIRE(heard(*server) == "");
  auto client = ChildProcess::start([&](Control& control) {
    DpdkOptions options = of_pairs(MemifRole::client, socket, pairs);
    options.memif.connect_for = std::chrono::seconds(2);
    auto port = Port<DpdkNic>::open(options);
    control.send(Verdict{port ? "it is taken" : port.error()});
    return 0;
  });
  REQUIRE(client);
  const std::string said = heard(*client);
  CHECK(said.find("fewer queue pairs") != std::string::npos);
  CAPTURE(said);
  server->control().send('e');
}
