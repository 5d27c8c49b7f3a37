// engine: what engines of one port share: inboxes, bells, listeners.
#include <catch2/catch.hpp>

#include <poll.h>

#include <array>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <proa/engine/engine_group.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

UdpArrival datagram_of(ByteView payload) {
  UdpArrival out;
  out.source = IpAddress::v4(10, 0, 0, 2);
  out.destination = IpAddress::v4(10, 0, 0, 1);
  out.ports = {50'000, 50'001};
  out.payload = payload;
  return out;
}

struct Numbered {
  std::uint32_t writer = 0, number = 0;
  std::array<std::uint32_t, 30> filling{};
};

}  // namespace

TEST_CASE("A handed-over datagram arrives as it was, from whom it came, in order") {
  Inbox inbox{8, 200};
  std::array<std::byte, 130> bytes{};
  for (std::uint32_t i = 0; i < 5; ++i) {
    bytes.fill(static_cast<std::byte>(i));
    REQUIRE(inbox.put(datagram_of(ByteView{bytes}.first(10 * i)), Via::engine, i));
  }
  bytes.fill(std::byte{0xff});  // it was copied
  REQUIRE(inbox.put(NeighbourNews{IpAddress::v4(10, 0, 0, 9), MacAddress{{2, 0, 0, 0, 0, 9}}}));
  std::uint32_t next = 0, news = 0;
  const auto drained = inbox.drain(
      100,
      [&](const UdpArrival& from, Via via, std::uint32_t engine) {
        CHECK(engine == next);
        CHECK(via == Via::engine);
        CHECK(from.source == IpAddress::v4(10, 0, 0, 2));
        CHECK(from.ports == UdpPorts{50'000, 50'001});
        REQUIRE(from.payload.size() == 10 * next);
        for (const std::byte b : from.payload) CHECK(b == static_cast<std::byte>(next));
        ++next;
      },
      [&](const NeighbourNews& heard) {
        news += heard.address == IpAddress::v4(10, 0, 0, 9) ? 1U : 0U;
      });
  CHECK(drained == 6);
  CHECK(next == 5);
  CHECK(news == 1);
  CHECK(inbox.empty());
}

TEST_CASE("A full inbox and a datagram beyond every MTU are refused") {
  Inbox inbox{4, 64};
  std::array<std::byte, 65> bytes{};
  CHECK_FALSE(inbox.put(datagram_of(bytes), Via::engine, 0));
  const auto small = datagram_of(ByteView{bytes}.first(64));
  for (int lap = 0; lap < 3; ++lap) {
    for (int i = 0; i < 4; ++i) REQUIRE(inbox.put(small, Via::engine, 0));
    CHECK_FALSE(inbox.put(small, Via::engine, 0));
    const auto ignore = [](auto&&...) {};
    CHECK(inbox.drain(3, ignore, ignore) == 3);
    CHECK(inbox.drain(3, ignore, ignore) == 1);
  }
}

TEST_CASE(
    "Several engines hand over to one that sleeps: every datagram whole, in each one's order") {
  constexpr std::uint32_t writers = 3, each = 20'000;
  EngineGroup group{{.engines = writers + 1, .handover_slots = 64, .payload_bytes_max = 256}};
  const int bell = group.bell(writers);
  REQUIRE(bell >= 0);
  std::atomic<std::uint64_t> refused{0};
  std::atomic<bool> slept{false};  // they wait for that: else it might never find its inbox empty
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < writers; ++w)
    threads.emplace_back([&, w] {
      while (!slept.load()) std::this_thread::yield();
      for (std::uint32_t n = 0; n < each;) {
        Numbered packet{w, n, {}};
        packet.filling.fill(w * each + n);
        std::array<std::byte, sizeof packet> bytes;
        std::memcpy(bytes.data(), &packet, sizeof packet);
        if (group.inbox(writers).put(datagram_of(bytes), Via::engine, w)) {
          ++n;
          group.ring(writers);
        } else {
          ++refused;
          std::this_thread::yield();
        }
      }
    });
  std::array<std::uint32_t, writers> expected{};
  std::uint32_t total = 0, sleeps = 0;
  bool torn = false, disordered = false, forgotten = false;
  while (total < writers * each && !forgotten) {
    Inbox& inbox = group.inbox(writers);
    if (inbox.declare_asleep()) {
      pollfd on{bell, POLLIN, 0};
      slept.store(true);
      forgotten = ::poll(&on, 1, 60'000) == 0;
      ++sleeps;
    }
    inbox.declare_awake();
    group.hush(writers);
    total += inbox.drain(
        16,
        [&](const UdpArrival& from, Via, std::uint32_t engine) {
          Numbered packet;
          std::memcpy(&packet, from.payload.data(), sizeof packet);
          disordered = disordered || packet.writer != engine || packet.number != expected[engine]++;
          for (const auto word : packet.filling)
            torn = torn || word != packet.writer * each + packet.number;
        },
        [](const NeighbourNews&) {});
  }
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(forgotten);  // it slept although something had been put in
  CHECK_FALSE(torn);
  CHECK_FALSE(disordered);
  CHECK(total == writers * each);
  CHECK(sleeps > 0);
}

TEST_CASE("One listens alone, or all who share with the same key") {
  ListenerTable table;
  CHECK(table.add(7000, {0, 1}, {}) == Reason::none);
  CHECK(table.add(7000, {1, 1}, {}) == Reason::port_in_use);
  CHECK(table.add(7000, {1, 1}, {true, 0}) == Reason::port_in_use);
  CHECK_FALSE(table.remove(7000, {1, 1}));
  CHECK(table.remove(7000, {0, 1}));
  CHECK(table.add(7000, {1, 1}, {true, 1000}) == Reason::none);
  CHECK(table.add(7000, {1, 1}, {true, 1000}) == Reason::port_in_use);
  CHECK(table.add(7000, {1, 2}, {true, 1000}) == Reason::none);  // the same engine
  CHECK(table.add(7000, {2, 0}, {true, 1001}) == Reason::port_in_use);
  CHECK(table.add(7000, {2, 0}, {}) == Reason::port_in_use);
  CHECK(table.add(7001, {1, 1}, {}) == Reason::none);
  table.remove_all({1, 1});
  CHECK_FALSE(table.choose(7001, IpAddress::v4(1, 2, 3, 4), 5));
  CHECK(table.choose(7000, IpAddress::v4(1, 2, 3, 4), 5) == Listener{1, 2});
  for (std::uint32_t i = 1; i < ListenerTable::listeners_max; ++i)
    CHECK(table.add(7000, {3, i}, {true, 1000}) == Reason::none);
  CHECK(table.add(7000, {4, 0}, {true, 1000}) == Reason::port_in_use);
}

TEST_CASE("A client's flow keeps its listener when another comes or goes") {
  ListenerTable table;
  for (std::uint32_t engine = 0; engine < 4; ++engine)
    REQUIRE(table.add(80, {engine, 0}, {true, 0}) == Reason::none);
  const auto chosen = [&](std::uint32_t flow) {
    return table.choose(80, IpAddress::v4(10, 0, 0, 7), flow)->engine;
  };
  std::array<std::uint32_t, 4> count{};
  std::vector<std::uint32_t> before;
  for (std::uint32_t flow = 0; flow < 4000; ++flow) {
    before.push_back(chosen(flow));
    ++count[before.back()];
  }
  for (const auto n : count) CHECK((n > 850 && n < 1150));
  REQUIRE(table.remove(80, {2, 0}));
  for (std::uint32_t flow = 0; flow < 4000; ++flow)
    if (before[flow] != 2) REQUIRE(chosen(flow) == before[flow]);
}
