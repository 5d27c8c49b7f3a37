// Path MTU discovery: the arithmetic, and what an engine remembers.
#include <catch2/catch.hpp>

#include <proa/transport/path_mtu.hpp>
#include <proa/transport/path_sizes.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

/// Lets a search run on a path that carries `carries` bytes; returns the probes it took.
int search(PathMtu& mtu, std::uint32_t carries, Instant now) {
  int probes = 0;
  while (mtu.wants_probe(now)) {
    const std::uint32_t bytes = mtu.begin_probe(9000);
    REQUIRE(bytes > mtu.packet_bytes());
    REQUIRE_FALSE(mtu.wants_probe(now));  // one at a time
    if (bytes <= carries)
      mtu.on_probe_acked(bytes, now);
    else
      mtu.on_probe_lost(bytes, now);
    REQUIRE(++probes < 50);
  }
  return probes;
}

}  // namespace

TEST_CASE("A path starts at 1280 bytes and reaches the interface's size with one probe",
          "[rfc8899-5.1.2]") {
  PathMtu mtu{0, 8972};
  CHECK(mtu.packet_bytes() == 1232);
  CHECK(mtu.was_too_small(1232));
  CHECK_FALSE(mtu.was_too_small(500));  // small messages never probe
  CHECK(search(mtu, 8972, Instant{}) == 1);
  CHECK(mtu.packet_bytes() == 8972);
  CHECK_FALSE(mtu.was_too_small(8972));
}

TEST_CASE("Every size that networks have is found below the interface's, in at most sixteen probes",
          "[rfc8899-5.3]") {
  for (const std::uint32_t carries :
       {1232U, 1392U, 1412U, 1432U, 1452U, 1472U, 3952U, 3972U, 8848U, 8868U, 8952U}) {
    PathMtu mtu{0, 8972};
    CHECK(search(mtu, carries, Instant{}) <= 16);
    CHECK(mtu.packet_bytes() == carries);
  }
}

TEST_CASE("Only three lost probes in a row say that a size does not pass", "[rfc8899-5.1.2]") {
  PathMtu mtu{0, 1472};
  for (int lost = 0; lost < 2; ++lost) {
    REQUIRE(mtu.begin_probe(9000) == 1472);
    mtu.on_probe_lost(1472, Instant{});
    REQUIRE(mtu.wants_probe(Instant{}));
  }
  REQUIRE(mtu.begin_probe(9000) == 1472);
  CHECK(mtu.on_probe_acked(1472, Instant{}));
  CHECK(mtu.packet_bytes() == 1472);
}

TEST_CASE("A search that ended below the largest size begins anew later, ever more rarely",
          "[rfc8899-5.2][rfc8899-5.1.1]") {
  PathMtu mtu{0, 8972};
  Instant now{1s};
  search(mtu, 1472, now);
  Duration wait = 1s;
  for (int i = 0; i < 12; ++i) {
    CHECK_FALSE(mtu.wants_probe(now + wait - 1ms));
    now += wait;
    CHECK(search(mtu, 1472, now) >= 3);
    wait = std::min<Duration>(2 * wait, 600s);
  }
  CHECK(wait == 600s);
  now += wait;
  search(mtu, 8972, now);
  CHECK(mtu.packet_bytes() == 8972);
}

TEST_CASE("A black hole falls back to 1280 at once and is searched below", "[rfc8899-4.3]") {
  PathMtu mtu{8972, 8972};
  CHECK(mtu.packet_bytes() == 8972);  // remembered
  CHECK(mtu.on_black_hole());
  CHECK(mtu.packet_bytes() == 1232);
  REQUIRE(mtu.begin_probe(9000) == 8972);  // once: it may have been bad luck
  mtu.on_probe_lost(8972, Instant{});
  const std::uint32_t below = mtu.begin_probe(9000);
  CHECK(below < 8972);
  mtu.on_probe_lost(below, Instant{});
  search(mtu, 1472, Instant{});
  CHECK(mtu.packet_bytes() == 1472);
  CHECK_FALSE(PathMtu(0, 1472).on_black_hole());  // already there
}

TEST_CASE("A black hole that was bad luck costs one probe") {
  PathMtu mtu{1472, 8972};
  search(mtu, 1472, Instant{});  // nothing above
  CHECK(mtu.on_black_hole());
  CHECK(mtu.wants_probe(Instant{} + 1ms));
  CHECK(mtu.begin_probe(9000) == 1472);
  CHECK(mtu.on_probe_acked(1472, Instant{} + 1ms));
  CHECK(mtu.packet_bytes() == 1472);
  CHECK_FALSE(mtu.wants_probe(Instant{} + 2ms));  // what is above was tried
}

TEST_CASE("A larger probe that is lost when packets become smaller is no judgement of their size") {
  PathMtu mtu{1472, 8972};
  REQUIRE(mtu.begin_probe(9000) == 8972);
  REQUIRE(mtu.on_black_hole());
  for (int i = 0; i < 3; ++i) mtu.on_probe_lost(8972, Instant{});
  CHECK(mtu.begin_probe(9000) == 1472);
}

TEST_CASE("A probe that was given up and arrives all the same still counts") {
  PathMtu mtu{0, 8972};
  const std::uint32_t bytes = mtu.begin_probe(9000);
  for (int i = 0; i < 3; ++i) {
    mtu.on_probe_lost(bytes, Instant{});
    if (i < 2) REQUIRE(mtu.begin_probe(9000) == bytes);
  }
  CHECK(mtu.on_probe_acked(bytes, Instant{}));
  CHECK(mtu.packet_bytes() == bytes);
}

TEST_CASE("A late answer to a smaller probe makes nothing smaller") {
  PathMtu mtu{0, 8972};
  CHECK(mtu.on_probe_acked(mtu.begin_probe(9000), Instant{}));
  CHECK_FALSE(mtu.on_probe_acked(1472, Instant{}));
  CHECK(mtu.packet_bytes() == 8972);
}

TEST_CASE("A caller whose packets have less room bounds the search") {
  PathMtu mtu{0, 8972};
  CHECK(mtu.begin_probe(8952) == 8952);
  mtu.on_probe_acked(8952, Instant{});
  CHECK_FALSE(mtu.was_too_small(8952));
  CHECK(PathMtu(0, 548).packet_bytes() == 548);  // an interface of 576 bytes
}

TEST_CASE("An engine remembers the sizes of a bounded number of peers for ten minutes") {
  PathSizes sizes;
  const auto peer = [](std::uint32_t i) { return IpAddress::v4(0x0a00'0000U + i); };
  CHECK(sizes.find(peer(1), Instant{}) == 0);
  sizes.note(peer(1), 8972, Instant{});
  CHECK(sizes.find(peer(1), Instant{10min}) == 8972);
  CHECK(sizes.find(peer(1), Instant{10min + 1ns}) == 0);
  sizes.note(peer(1), 1232, Instant{1s});
  CHECK(sizes.find(peer(1), Instant{1s}) == 1232);
  // A crowd of other peers: the oldest give way, the newest are known, nothing is mixed up.
  for (std::uint32_t i = 0; i < 100'000; ++i) sizes.note(peer(i), i, Instant{2s} + Duration{i});
  CHECK(sizes.find(peer(99'999), Instant{3s}) == 99'999);
  std::uint32_t known = 0, mixed_up = 0;
  for (std::uint32_t i = 1; i < 100'000; ++i) {
    const std::uint32_t bytes = sizes.find(peer(i), Instant{3s});
    known += bytes != 0 ? 1 : 0;
    mixed_up += bytes != 0 && bytes != i ? 1 : 0;
  }
  CHECK(mixed_up == 0);
  CHECK(known <= PathSizes::entries_max);
  CHECK(known >= PathSizes::entries_max * 9 / 10);
}
