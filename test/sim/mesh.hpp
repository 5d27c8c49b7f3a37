// Simulation: several engines on either host, flows between all of them, behind NICs whose hash
// nobody can read or set: for rows A24 and A27.
#pragma once
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "path_world.hpp"

namespace proa::sim {

inline constexpr Duration rtt = 40us;

inline PathHostOptions host(std::uint32_t engines, SimRss rss, bool ipv6) {
  return {
      .engines = engines, .rss = rss, .handover_slots = 256, .link_delay = rtt / 4, .ipv6 = ipv6};
}
/// Every engine of a talks to two of b, every engine of b to two of a.
class Mesh {
 public:
  Mesh(std::uint64_t seed, std::uint32_t engines, SimRss rss, bool ipv6)
      : world(seed, host(engines, rss, ipv6), host(engines, rss, ipv6)),
        engines_(engines),
        rss_(rss) {
    for (std::uint32_t i = 0; i < engines; ++i) {
      world.listen(world.b, i, static_cast<std::uint16_t>(7000 + i));
      world.b.sides[i]->echo = true;
    }
    for (std::uint32_t i = 0; i < engines; ++i)
      for (const std::uint32_t to : {i, (5 * i + 1) % engines})
        flows.push_back(&world.connect(i, static_cast<std::uint16_t>(7000 + to)));
  }
  /// Each flow sends a message every 5 round trips.
  void talk(std::uint32_t messages) {
    for (std::uint32_t n = 0; n < messages; ++n) {
      for (PathEnd* flow : flows) ++flow->to_send;
      world.run(5 * rtt);
    }
  }
  void change_hash() {
    world.a.port.set_rss(rss_);
    world.b.port.set_rss(rss_);
  }
  /// As a cloud replaces a VF: the rings are emptied, the link is down for a while.
  void replace_nics() {
    for (SimPort* port : {&world.a.port, &world.b.port}) {
      port->set_link_up(false);
      port->reset();
    }
    change_hash();
    world.run(2 * rtt);
    for (SimPort* port : {&world.a.port, &world.b.port}) port->set_link_up(true);
  }
  /// `change` comes while messages are under way on every flow.
  template <class Change>
  void talk_through(Change change) {
    talk(5);
    for (PathEnd* flow : flows) ++flow->to_send;
    world.run(rtt / 8);
    REQUIRE(world.network.frames_under_way() >= flows.size());
    change();
    world.run(5 * rtt);
    talk(5);
  }
  /// Messages are numbered and checked as they arrive: whoever got as many as were sent got all.
  void require_all_delivered() {
    REQUIRE(world.run_until(
        [&] {
          return std::all_of(flows.begin(), flows.end(), [](const PathEnd* flow) {
            return flow->open && flow->sent == flow->received && flow->to_send == 0;
          });
        },
        world.now + 10s));
  }
  /// The longest that a message took, of those that came since the last call.
  [[nodiscard]] Duration take_slowest() {
    Duration slowest{};
    for (auto* end : {&world.a, &world.b})
      for (auto& side : end->sides) slowest = std::max(slowest, std::exchange(side->slowest, {}));
    return slowest;
  }
  [[nodiscard]] std::uint64_t path_changes() const {
    return world.a.counters().path_changes + world.b.counters().path_changes;
  }
  [[nodiscard]] std::uint64_t handed_over() const {
    return world.a.counters().handed_over + world.b.counters().handed_over;
  }
  /// A search sends a wave every srtt + 4 rttvar; the first is of 30 ms at most.
  void require_searches_ended() {
    const auto probes = [&] {
      return world.a.counters().paths.probes_sent + world.b.counters().paths.probes_sent;
    };
    const auto before = probes();
    world.run(50ms);
    REQUIRE(probes() == before);
  }
  /// Every engine has two flows of its own, so all of them were reached.
  void require_every_engine_reached() {
    for (const auto& side : world.b.sides) REQUIRE_FALSE(side->ends().empty());
  }
  [[nodiscard]] bool hash_reaches_all() const { return hash_reaches(rss_, engines_); }

  PathWorld world;
  std::vector<PathEnd*> flows;

 private:
  std::uint32_t engines_;
  SimRss rss_;
};

}  // namespace proa::sim
