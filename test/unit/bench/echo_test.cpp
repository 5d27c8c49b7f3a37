// Tests of bench/apps/echo.hpp: a server that cannot send a reply keeps it or says that it did not.
#include "apps/echo.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

using namespace proa;
using namespace proa::bench;
using namespace std::chrono_literals;

namespace {

/// A stack that hands out what it was given and refuses what it is told to refuse.
struct ToyNet {
  struct Message {
    std::byte content{};
    [[nodiscard]] std::span<const std::byte> bytes() const { return {&content, 1}; }
  };
  struct Event {
    EventKind kind;
    FlowHandle flow;
    Message message{};
  };
  std::optional<Event> poll() {
    if (events.empty()) return std::nullopt;
    const Event event = events.front();
    events.pop_front();
    return event;
  }
  Result<MessageNumber> send(FlowHandle flow, std::span<const std::byte> bytes) {
    if (refuses != Reason::none) return tl::unexpected{Error{refuses}};
    sent.push_back({flow.value, std::to_integer<int>(bytes[0])});
    return MessageNumber{};
  }
  bool wait(std::chrono::milliseconds at_most) {
    longest_wait = at_most;
    return false;
  }
  void comes(std::uint32_t flow, int content) {
    events.push_back({EventKind::message, {flow}, {static_cast<std::byte>(content)}});
  }
  std::deque<Event> events;
  Reason refuses = Reason::none;
  std::vector<std::pair<std::uint32_t, int>> sent;
  std::chrono::milliseconds longest_wait{};
};

using Sent = std::vector<std::pair<std::uint32_t, int>>;

void look_at_all(EchoServer<ToyNet>& server) {
  while (server.look()) continue;
}

}  // namespace

TEST_CASE("an echo server keeps what it has no room or memory for, in order, and loses nothing") {
  for (const Reason why : {Reason::would_block, Reason::out_of_memory}) {
    ToyNet net;
    EchoServer<ToyNet> server{net};
    net.refuses = why;
    for (const int content : {1, 2, 3}) net.comes(7, content);
    net.comes(8, 4);
    look_at_all(server);
    CHECK(net.sent.empty());
    net.refuses = Reason::none;
    if (why == Reason::would_block)  // of memory there is no news
      for (const std::uint32_t flow : {7U, 8U}) net.events.push_back({EventKind::writable, {flow}});
    look_at_all(server);
    CAPTURE(text(why));
    std::stable_sort(net.sent.begin(), net.sent.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    CHECK(net.sent == Sent{{7, 1}, {7, 2}, {7, 3}, {8, 4}});
    CHECK(server.echoed() == 4);
    CHECK(server.unanswered() == 0);
  }
}

TEST_CASE("an echo server that waits for memory looks again soon") {
  ToyNet net;
  EchoServer<ToyNet> server{net};
  int looks = 0;
  const auto stop = [&] { return ++looks > 2; };
  server.run(true, stop);
  CHECK(net.longest_wait == 100ms);
  net.refuses = Reason::out_of_memory;
  net.comes(7, 1);
  looks = 0;
  server.run(true, stop);
  CHECK(net.longest_wait == 1ms);
}

TEST_CASE("an echo server counts the messages whose flow ended before their reply") {
  ToyNet net;
  EchoServer<ToyNet> server{net};
  net.refuses = Reason::no_such_flow;
  net.comes(7, 1);
  look_at_all(server);
  CHECK(server.unanswered() == 1);
  net.refuses = Reason::would_block;
  net.comes(8, 2);
  net.comes(8, 3);
  net.events.push_back({EventKind::closed, {8}});
  look_at_all(server);
  CHECK(server.unanswered() == 3);
  CHECK(server.echoed() == 0);
}
