// TEST-MATRIX A1 on whole engines: what a connect gets whose peer's address has to be found first,
// when questions and answers are lost as well.
#include <proa/base/prng.hpp>

#include "hosts.hpp"
#include "seeds.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

struct Outcome {
  Reason ended = Reason::none;  // none: established
  Duration took{};
};

/// Two hosts that have never met; each frame is lost with that probability.
struct Strangers {
  Strangers(std::uint64_t seed, std::uint32_t loss_ppm, bool ipv6)
      : random(seed), hosts({.ipv6 = ipv6}) {
    for (std::uint32_t i = 0; i < 2; ++i)
      hosts[i].watch = [this, loss_ppm](Instant, std::span<const std::byte>) {
        return random.chance(loss_ppm, 1'000'000);
      };
  }
  Outcome connect(const IpAddress& to, Duration limit) {
    const Instant began = hosts.now();
    const auto key =
        hosts[0].engine.connect(began, {0, 0}, Endpoint{to, listen_port}, began + limit);
    REQUIRE(key);
    HostApp& app = hosts.app(0);
    const auto decided = [&] {
      return app.established.count(key->value) + app.ended.count(key->value) != 0;
    };
    // Flows' timers may come a 256th later, engine/timing_wheel.hpp.
    REQUIRE(hosts.run_until(decided, began + limit + limit / 256 + 1ms));
    const auto ended = app.ended.find(key->value);
    return {ended == app.ended.end() ? Reason::none : ended->second, hosts.now() - began};
  }
  /// Questions for addresses that host 0 has sent, its own among them.
  [[nodiscard]] std::uint64_t asked() {
    const auto& counters = hosts[0].engine.interface().counters();
    return counters.arp_requests_sent + counters.solicitations_sent;
  }
  Prng random;
  Hosts<> hosts;
};

/// How many of a hundred connects succeed; who does not has waited until the deadline.
double percent_connected(bool ipv6, std::uint32_t loss_ppm, Duration limit) {
  const auto all = proa::sim::seeds(200, 2000);
  std::uint32_t connected = 0;
  for (const auto seed : all) {
    CAPTURE(seed, loss_ppm, ipv6);
    Strangers world{seed, loss_ppm, ipv6};
    const Outcome got = world.connect(world.hosts[1].address, limit);
    if (got.ended == Reason::none) {
      ++connected;
      continue;
    }
    const bool said =
        got.ended == Reason::peer_unreachable || got.ended == Reason::handshake_timeout;
    CHECK(said);
    CHECK(got.took >= limit);
  }
  const double out = 100.0 * connected / static_cast<double>(all.size());
  WARN((ipv6 ? "IPv6, " : "IPv4, ") << loss_ppm / 10'000 << " % loss, deadline " << limit / 1s
                                    << " s: " << out << " % connected");
  return out;
}

}  // namespace

TEST_CASE("a connect asks for its peer's address until its deadline: 30 and 50 % loss", "[A1]") {
  const bool ipv6 = GENERATE(false, true);
  CHECK(percent_connected(ipv6, 300'000, 5s) >= 98);
  CHECK(percent_connected(ipv6, 500'000, 5s) >= 85);
  CHECK(percent_connected(ipv6, 500'000, 30s) == 100);
}

TEST_CASE("who appears before the deadline is found, who does not is reported unreachable",
          "[A1]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  Strangers world{1, 0, ipv6};
  Hosts<>& hosts = world.hosts;
  const Outcome nobody = world.connect(hosts.address_of(98), 5s);
  CHECK(nobody.ended == Reason::peer_unreachable);
  CHECK(nobody.took >= 5s);
  // Three questions a round, a second of rest, two for the own address (RFC 5227 2.3, RFC 4862
  // 5.4.2: the link-local one, too): nobody is flooded.
  CHECK(world.asked() <= 11);
  // Nobody waits any more: nobody is asked.
  const auto asked = world.asked();
  hosts.run_for(60s);
  CHECK(world.asked() == asked);

  const Instant appears = hosts.now() + 3s;  // after it was given up once
  hosts[1].watch = [appears](Instant now, std::span<const std::byte>) { return now < appears; };
  const Outcome late = world.connect(hosts[1].address, 5s);
  CHECK(late.ended == Reason::none);
  CHECK(late.took >= 3s);
}
