// Tests of engine/neighbours.hpp.
#include <catch2/catch.hpp>
#include <proa/base/prng.hpp>
#include <proa/engine/neighbours.hpp>
#include <vector>

using namespace proa;
using namespace std::chrono_literals;

namespace {

constexpr IpAddress ip(unsigned n) { return IpAddress::v4(0x0a00'0000U + n); }
constexpr MacAddress mac(unsigned n) {
  return {{2, 0, 0, 0, std::uint8_t(n >> 8), std::uint8_t(n)}};
}
constexpr Instant start{1h};

/// Lets time pass up to `until`, answering nothing; returns when each request went out.
std::vector<Instant> silence(Neighbours& table, Instant from, Instant until) {
  std::vector<Instant> asked;
  for (Instant now = from; now <= until;) {
    while (table.poll_ask(now)) asked.push_back(now);
    if (table.next_timeout() == never) break;
    REQUIRE(table.next_timeout() > now);
    now = table.next_timeout();
  }
  return asked;
}

}  // namespace

TEST_CASE("a neighbour is asked for once, answers, and is ready", "[engine][neighbours][rfc826]") {
  Neighbours table{{}};
  CHECK(table.next_timeout() == never);
  CHECK(table.resolve(ip(1), start).reach == Reach::pending);
  CHECK(table.next_timeout() <= start);
  const auto ask = table.poll_ask(start);
  REQUIRE(ask);
  CHECK(ask->address == ip(1));
  CHECK_FALSE(ask->unicast_to);
  CHECK_FALSE(table.poll_ask(start));
  CHECK(table.resolve(ip(1), start).reach == Reach::pending);
  CHECK_FALSE(table.poll_ask(start));  // resolving again asks no second time

  const auto before = table.version();
  table.heard(ip(1), mac(1), start + 1ms, false);
  CHECK(table.version() != before);
  const auto found = table.resolve(ip(1), start + 1ms);
  CHECK(found.reach == Reach::ready);
  CHECK(found.mac == mac(1));
  CHECK_FALSE(table.poll_ask(start + 10s));
  CHECK(table.next_timeout() == never);
}

TEST_CASE("silence is asked three times, then reported, then held down", "[engine][neighbours]") {
  Neighbours table{{}};
  CHECK(table.resolve(ip(1), start).reach == Reach::pending);
  const auto before = table.version();
  const auto asked = silence(table, start, start + 1min);
  CHECK(asked == std::vector<Instant>{start, start + 100ms, start + 400ms});
  CHECK(table.version() != before);
  const Instant failed = start + 400ms + 900ms;
  CHECK(table.resolve(ip(1), failed).reach == Reach::unreachable);
  CHECK(table.resolve(ip(1), failed + 999ms).reach == Reach::unreachable);
  CHECK_FALSE(table.poll_ask(failed + 999ms));
  CHECK(table.resolve(ip(1), failed + 1s).reach == Reach::pending);
  CHECK(table.poll_ask(failed + 1s));
  table.heard(ip(1), mac(1), failed + 2s, false);  // came back
  CHECK(table.resolve(ip(1), failed + 2s).reach == Reach::ready);
}

TEST_CASE("an old entry in use is polled by unicast and stays usable meanwhile",
          "[engine][neighbours][rfc1122-2.3.2.1]") {
  Neighbours table{{}};
  static_cast<void>(table.resolve(ip(1), start));
  static_cast<void>(table.poll_ask(start));
  table.heard(ip(1), mac(1), start, false);
  const auto found = table.resolve(ip(1), start);
  table.touch(found.slot, start + 30s - 1ns);
  CHECK_FALSE(table.poll_ask(start + 30s - 1ns));
  const auto version = table.version();
  table.touch(found.slot, start + 30s);
  const auto ask = table.poll_ask(start + 30s);
  REQUIRE(ask);
  CHECK(ask->unicast_to == mac(1));
  CHECK_FALSE(table.poll_ask(start + 30s));
  CHECK(table.resolve(ip(1), start + 30s).reach == Reach::ready);
  CHECK(table.version() == version);

  SECTION("answered: nothing changes for those who use it") {
    table.heard(ip(1), mac(1), start + 31s, false);
    CHECK(table.version() == version);
    CHECK_FALSE(table.poll_ask(start + 40s));
    CHECK(table.next_timeout() == never);
    CHECK(table.resolve(ip(1), start + 40s).reach == Reach::ready);
  }
  SECTION("unanswered: everybody is asked, and then it is unreachable") {
    const auto asked = silence(table, start + 30s, start + 60s);
    CHECK(asked.size() == 2 + 3);
    CHECK(table.resolve(ip(1), asked.back() + 900ms).reach == Reach::unreachable);
  }
}

TEST_CASE("an unused entry is never asked about", "[engine][neighbours]") {
  Neighbours table{{}};
  table.heard(ip(1), mac(1), start, true);
  CHECK_FALSE(table.poll_ask(start + 1h));
  CHECK(table.next_timeout() == never);
}

TEST_CASE("a changed MAC address is noticed by those who cached the old one",
          "[engine][neighbours]") {
  Neighbours table{{}};
  table.heard(ip(1), mac(1), start, true);
  const auto version = table.version();
  table.heard(ip(1), mac(1), start + 1s, false);
  CHECK(table.version() == version);
  table.heard(ip(1), mac(2), start + 1s, false);
  CHECK(table.version() != version);
  CHECK(table.resolve(ip(1), start + 1s).mac == mac(2));
}

TEST_CASE("an unasked-for reply creates nothing", "[engine][neighbours]") {
  Neighbours table{{}};
  table.heard(ip(1), mac(6), start, false);
  CHECK(table.size() == 0);
  CHECK(table.resolve(ip(1), start).reach == Reach::pending);
}

TEST_CASE("a full table forgets the neighbour unused for longest", "[engine][neighbours]") {
  NeighbourOptions options;
  options.entries_max = 4;
  Neighbours table{options};
  for (unsigned i = 0; i < 4; ++i) {
    static_cast<void>(table.resolve(ip(i), start + i * 1ms));
    table.heard(ip(i), mac(i), start + i * 1ms, false);
  }
  const auto zero = table.resolve(ip(0), start + 10ms);  // used again: now 1 is the oldest
  const auto version = table.version();
  CHECK(table.resolve(ip(9), start + 20ms).reach == Reach::pending);
  CHECK(table.version() != version);
  CHECK(table.size() == 4);
  CHECK(table.resolve(ip(0), start + 21ms, zero.slot).reach == Reach::ready);
  CHECK(table.resolve(ip(2), start + 21ms).reach == Reach::ready);
  CHECK(table.resolve(ip(1), start + 22ms).reach == Reach::pending);
}

TEST_CASE("strangers who ask for us displace strangers, never a neighbour in use",
          "[engine][neighbours]") {
  NeighbourOptions options;
  options.entries_max = 4;
  Neighbours table{options};
  for (unsigned i = 0; i < 2; ++i) {
    table.heard(ip(i), mac(i), start, true);
    static_cast<void>(table.resolve(ip(i), start));
  }
  for (unsigned i = 100; i < 1100; ++i) table.heard(ip(i), mac(i), start + 1s, true);
  CHECK(table.size() == 4);
  for (unsigned i = 0; i < 2; ++i) CHECK(table.resolve(ip(i), start + 1s).reach == Reach::ready);
  for (unsigned i = 2; i < 4; ++i) static_cast<void>(table.resolve(ip(i), start + 1s));
  table.heard(ip(50), mac(50), start + 1s, true);  // all four in use now
  CHECK(table.resolve(ip(3), start + 1s).reach == Reach::pending);
  for (unsigned i = 0; i < 2; ++i) CHECK(table.resolve(ip(i), start + 1s).reach == Reach::ready);
  CHECK(table.size() == 4);
}

TEST_CASE("a request that becomes due while others are being sent is not forgotten",
          "[engine][neighbours]") {
  Neighbours table{{}};
  static_cast<void>(table.resolve(ip(0), start));
  silence(table, start, start + 1min);  // slot 0 has failed
  const Instant now = start + 1h;
  static_cast<void>(table.resolve(ip(1), now));
  static_cast<void>(table.resolve(ip(2), now));
  CHECK(table.poll_ask(now)->address == ip(1));
  CHECK(table.resolve(ip(0), now).reach == Reach::pending);  // due, in a slot already passed
  CHECK(table.poll_ask(now)->address == ip(2));
  const auto last = table.poll_ask(now);
  REQUIRE(last);
  CHECK(last->address == ip(0));
  CHECK_FALSE(table.poll_ask(now));
}

TEST_CASE("a table without entries reaches nobody", "[engine][neighbours]") {
  NeighbourOptions options;
  options.entries_max = 0;
  Neighbours table{options};
  CHECK(table.resolve(ip(1), start).reach == Reach::unreachable);
  table.heard(ip(1), mac(1), start, true);
  CHECK_FALSE(table.poll_ask(start));
}

TEST_CASE("a hint that names another neighbour's slot is not believed", "[engine][neighbours]") {
  Neighbours table{{}};
  table.heard(ip(1), mac(1), start, true);
  table.heard(ip(2), mac(2), start, true);
  const auto one = table.resolve(ip(1), start);
  CHECK(table.resolve(ip(2), start, one.slot).mac == mac(2));
  CHECK(table.resolve(ip(2), start, 9999).mac == mac(2));
}

TEST_CASE("whatever happens, requests stay rare and every neighbour ends ready or unreachable",
          "[engine][neighbours]") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    INFO("seed " << seed);
    Prng prng{seed};
    NeighbourOptions options;
    options.entries_max = 8;
    options.hold_down = 1h;
    Neighbours table{options};
    Instant now = start;
    std::uint64_t asked = 0, resolved = 0;
    for (int step = 0; step < 2000; ++step) {
      now += Duration{static_cast<std::int64_t>(prng.below(200'000'000))};
      const auto n = static_cast<unsigned>(prng.below(12));
      switch (prng.below(4)) {
        case 0:
          static_cast<void>(table.resolve(ip(n), now));
          ++resolved;
          break;
        case 1:
          table.heard(ip(n), mac(n + 100 * static_cast<unsigned>(prng.below(2))), now,
                      prng.chance(1, 2));
          break;
        default:
          while (table.poll_ask(now)) ++asked;
          REQUIRE(table.next_timeout() > now);
      }
      REQUIRE(table.size() <= 8);
    }
    CHECK(asked <= resolved * 6);
    now += 1ns;
    for (unsigned n = 0; n < 8; ++n) static_cast<void>(table.resolve(ip(n), now));
    silence(table, now, now + 1min);
    for (unsigned n = 0; n < 8; ++n) CHECK(table.resolve(ip(n), now + 2s).reach != Reach::pending);
  }
}

// --- IPv6: RFC 4861 ------------------------------------------------------------------------------

namespace {

/// A table in which neighbour 1 is asked for, and then answered as told.
struct Asked {
  Neighbours table{{}};
  Asked() {
    static_cast<void>(table.resolve(ip(1), start));
    static_cast<void>(table.poll_ask(start));
  }
  [[nodiscard]] Neighbours::Found found(Instant now = start) { return table.resolve(ip(1), now); }
  /// Whether using it makes the table ask by unicast.
  [[nodiscard]] bool doubted(Instant now = start) {
    static_cast<void>(found(now));
    const auto ask = table.poll_ask(now);
    return ask && ask->unicast_to;
  }
};

}  // namespace

TEST_CASE("an unanswered neighbour believes any advertisement that names a MAC address",
          "[engine][neighbours][rfc4861-7.2.5]") {
  for (const bool overrides : {false, true}) {
    Asked solicited;
    solicited.table.advertised(ip(1), mac(1), true, overrides, start);
    CHECK(solicited.found().mac == mac(1));
    CHECK_FALSE(solicited.doubted());
    Asked unsolicited;
    unsolicited.table.advertised(ip(1), mac(1), false, overrides, start);
    CHECK(unsolicited.found().mac == mac(1));
    CHECK(unsolicited.doubted());
  }
  Asked nameless;
  nameless.table.advertised(ip(1), std::nullopt, true, true, start);
  CHECK(nameless.found().reach == Reach::pending);
}

TEST_CASE("a known neighbour changes as RFC 4861 has it", "[engine][neighbours][rfc4861-7.2.5]") {
  Asked x;
  x.table.advertised(ip(1), mac(1), true, true, start);
  const auto version = x.table.version();
  SECTION("the same address, solicited: confirmed, and nobody needs to look again") {
    x.table.advertised(ip(1), mac(1), true, false, start + 29s);
    CHECK(x.table.version() == version);
    CHECK_FALSE(x.doubted(start + 31s));
  }
  SECTION("no address, solicited: confirmed") {
    x.table.advertised(ip(1), std::nullopt, true, false, start + 29s);
    CHECK_FALSE(x.doubted(start + 31s));
    CHECK(x.found(start + 31s).mac == mac(1));
  }
  SECTION("the same address, unsolicited: nothing new") {
    x.table.advertised(ip(1), mac(1), false, true, start + 29s);
    CHECK(x.doubted(start + 31s));
  }
  SECTION("another address without override: the old one stays and is in doubt") {
    x.table.advertised(ip(1), mac(2), true, false, start + 1s);
    CHECK(x.table.version() == version);
    CHECK(x.doubted(start + 1s));
    CHECK(x.found(start + 1s).mac == mac(1));
  }
  SECTION("another address with override, solicited: taken and confirmed") {
    x.table.advertised(ip(1), mac(2), true, true, start + 1s);
    CHECK(x.table.version() != version);
    CHECK(x.found(start + 1s).mac == mac(2));
    CHECK_FALSE(x.doubted(start + 1s));
  }
  SECTION("another address with override, unsolicited: taken and in doubt") {
    x.table.advertised(ip(1), mac(2), false, true, start + 1s);
    CHECK(x.found(start + 1s).mac == mac(2));
    CHECK(x.doubted(start + 1s));
  }
}

TEST_CASE("who asks for us is entered and re-checked at first use",
          "[engine][neighbours][rfc4861-7.2.3]") {
  Asked x;
  x.table.solicited_by(ip(1), mac(1), start, true);
  CHECK(x.found().mac == mac(1));
  CHECK(x.doubted());
  x.table.advertised(ip(1), mac(1), true, true, start);
  x.table.solicited_by(ip(1), mac(1), start + 1s, true);  // nothing new
  CHECK_FALSE(x.doubted(start + 1s));
  x.table.solicited_by(ip(1), mac(2), start + 1s, true);
  CHECK(x.found(start + 1s).mac == mac(2));
  CHECK(x.doubted(start + 1s));
  x.table.solicited_by(ip(2), mac(2), start, false);  // not of our link
  CHECK(x.table.size() == 1);
  x.table.solicited_by(ip(2), mac(2), start, true);
  CHECK(x.table.size() == 2);
}

TEST_CASE("after a link event neighbours in use are re-checked and failed ones asked again",
          "[engine][neighbours]") {
  Neighbours table{{}};
  table.heard(ip(1), mac(1), start, true);
  static_cast<void>(table.resolve(ip(2), start));
  silence(table, start, start + 2s);
  const Instant now = start + 2s;
  REQUIRE(table.resolve(ip(2), now).reach == Reach::unreachable);
  const auto version = table.version();
  table.doubt_all(now);
  CHECK(table.version() != version);
  CHECK(table.resolve(ip(1), now).reach == Reach::ready);
  CHECK(table.resolve(ip(2), now).reach == Reach::pending);
  CHECK(table.poll_ask(now)->unicast_to == mac(1));
  CHECK(table.poll_ask(now)->address == ip(2));
}

TEST_CASE("a neighbour whose traffic remains unanswered is re-checked, once a second at most",
          "[engine][neighbours][rfc1122-2.3.2.1]") {
  Asked x;
  x.table.advertised(ip(1), mac(1), true, true, start);
  const auto slot = x.found().slot;
  x.table.doubt(slot, start + 999ms);
  CHECK_FALSE(x.doubted(start + 999ms));
  x.table.doubt(slot, start + 1s);
  CHECK(x.doubted(start + 1s));
  CHECK(x.found(start + 1s).mac == mac(1));  // in use meanwhile
  x.table.doubt(slot, start + 1s);           // it is being asked already
  CHECK_FALSE(x.table.poll_ask(start + 1s));
}
