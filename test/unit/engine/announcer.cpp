// Tests of engine/announcer.hpp.
#include <catch2/catch.hpp>
#include <proa/engine/announcer.hpp>
#include <string>
#include <vector>

using namespace proa;
using namespace std::chrono_literals;

namespace {

const std::vector<IpPrefix> both{*parse_prefix("10.0.0.1/24"), *parse_prefix("fd00::1/64"),
                                 *parse_prefix("fe80::1/64")};

/// What is said now: "p1" probes address 1, "m" reports groups, "a0" announces address 0.
std::string said(Announcer& announcer, Instant now) {
  std::string out;
  while (const auto item = announcer.poll(now)) {
    const char* const words[] = {"p", "m", "a"};
    out += words[static_cast<std::size_t>(item->word)];
    if (item->word != Announcer::Word::membership) out += std::to_string(item->address);
    out += ' ';
  }
  return out;
}

constexpr Instant start{1h};

}  // namespace

TEST_CASE("at start IPv6 addresses are probed, groups joined and all addresses announced twice",
          "[engine][announcer][rfc4862-5.4][rfc4861-7.2.6][rfc5227-2.3]") {
  Announcer announcer{both, true};
  CHECK(announcer.next_timeout() == never);
  CHECK(said(announcer, start).empty());
  announcer.start(Instant::min());
  CHECK(announcer.next_timeout() <= start);
  CHECK(announcer.tentative(start));
  CHECK(said(announcer, start) == "p1 p2 m a0 a1 a2 ");
  CHECK(announcer.tentative(start + 999ms));
  CHECK_FALSE(announcer.tentative(start + 1s));
  CHECK(announcer.next_timeout() == start + 2s);
  CHECK(said(announcer, start + 1999ms).empty());
  CHECK(said(announcer, start + 2s) == "m a0 a1 a2 ");
  CHECK(announcer.next_timeout() == never);
  CHECK(said(announcer, start + 1h).empty());
}

TEST_CASE("without duplicate detection nothing is tentative", "[engine][announcer]") {
  Announcer announcer{both, false};
  announcer.start(start);
  CHECK_FALSE(announcer.tentative(start));
  CHECK(said(announcer, start) == "m a0 a1 a2 ");
}

TEST_CASE("an interface with IPv4 only speaks of nothing else", "[engine][announcer]") {
  const std::vector<IpPrefix> four{both[0]};
  Announcer announcer{four, true};
  announcer.report_membership();
  CHECK(announcer.next_timeout() == never);
  announcer.start(start);
  CHECK_FALSE(announcer.tentative(start));
  CHECK(said(announcer, start) == "a0 ");
}

TEST_CASE("a claimed address is announced once more, a router's question answered once",
          "[engine][announcer][rfc5227-2.4][rfc3810-5.1]") {
  Announcer announcer{both, true};
  announcer.repeat(start);
  announcer.repeat(start);
  CHECK(said(announcer, start) == "m a0 a1 a2 ");
  CHECK(announcer.next_timeout() == never);
  announcer.report_membership();
  announcer.report_membership();
  CHECK(announcer.next_timeout() <= start);
  CHECK(said(announcer, start) == "m ");
  CHECK(announcer.next_timeout() == never);
}

TEST_CASE("a link that comes up again says everything again", "[engine][announcer]") {
  Announcer announcer{both, true};
  announcer.start(start);
  CHECK(said(announcer, start) == "p1 p2 m a0 a1 a2 ");
  announcer.start(start + 1s);
  CHECK(announcer.tentative(start + 1s));
  CHECK(said(announcer, start + 1s) == "p1 p2 m a0 a1 a2 ");
  CHECK(said(announcer, start + 3s) == "m a0 a1 a2 ");
  CHECK(announcer.next_timeout() == never);
}
