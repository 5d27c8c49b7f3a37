// L3: pairs of UDP ports known to lead to an engine of a peer, and the searches for more.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/engine/flow_table.hpp>
#include <proa/engine/lazy_array.hpp>
#include <proa/transport/path_probe.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// Whom a path leads to: the pair of ports is all that the sender can choose.
struct PathTarget {
  IpAddress local, peer;
  std::uint8_t engine = 0;  // of the peer
  friend constexpr bool operator==(const PathTarget&, const PathTarget&) = default;
};

struct PathCounters {
  std::uint64_t probes_sent = 0, hits = 0, misses = 0;  // a miss: another engine received it
  std::uint64_t searches = 0, searches_in_vain = 0;
};

/// An engine's memory of paths; belongs to its thread. Allocates only when made.
class Paths {
 public:
  static constexpr std::uint32_t none = no_slot;
  static constexpr std::uint32_t pairs_max = 4;
  static constexpr std::uint32_t searches_max = 64;  // at a time; others ask again
  static constexpr Duration keep_unused = std::chrono::minutes{10};

  Paths(std::uint32_t routes_max, std::uint64_t seed)
      : routes_(std::max(routes_max, 1U)), by_target_(std::max(routes_max, 1U)), random_(seed) {
    searching_.reserve(searches_max);
  }

  /// The route to `target`, for a flow that holds it until leave(); none: the table is full of
  /// routes in use. Another incarnation of the peer has other queues: what was known is dropped.
  [[nodiscard]] std::uint32_t join(const PathTarget& target, std::uint32_t incarnation) noexcept {
    const std::uint32_t at = find_or_make(target);
    if (at == none) return none;
    Route& route = routes_[at];
    if (route.incarnation != 0 && route.incarnation != incarnation) route.pair_count = 0;
    route.incarnation = incarnation;
    ++route.flows;
    return at;
  }
  void leave(std::uint32_t at, std::uint32_t slot, UdpPorts ports, Instant now) noexcept {
    Route& route = routes_[at];
    --route.flows;
    if (Pair* const pair = find(route, ports)) pair->used_at = now;
    if (route.probe.searching() && route.carrier == slot) stop(at);
  }

  /// A pair that leads there, each in turn; nothing known: nothing. `learned_after`: older ones are
  /// as doubtful as the caller's.
  [[nodiscard]] std::optional<UdpPorts> take(std::uint32_t at, Instant now,
                                             Instant learned_after = Instant::min()) noexcept {
    Route& route = routes_[at];
    forget_unused(route, now);
    for (std::uint32_t i = 0; i < route.pair_count; ++i) {
      Pair& pair = route.pairs[route.next++ % route.pair_count];
      if (pair.learned_at <= learned_after) continue;
      pair.used_at = now;
      return pair.ports;
    }
    return std::nullopt;
  }
  /// The same, but another one than `present`, and an old one rather than none.
  [[nodiscard]] std::optional<UdpPorts> take_other(std::uint32_t at, UdpPorts present,
                                                   Instant now) noexcept {
    Route& route = routes_[at];
    for (std::uint32_t i = 0; i < route.pair_count; ++i) {
      Pair& pair = route.pairs[route.next++ % route.pair_count];
      if (pair.ports == present) continue;
      pair.used_at = now;
      return pair.ports;
    }
    return std::nullopt;
  }
  void learn(std::uint32_t at, UdpPorts ports, Instant now) noexcept {
    Route& route = routes_[at];
    Pair* pair = find(route, ports);
    if (pair == nullptr) {
      const bool full = route.pair_count == pairs_max;
      pair = full ? &oldest(route) : &route.pairs[route.pair_count++];
    }
    *pair = {ports, now, now};
  }
  void forget(std::uint32_t at, UdpPorts ports) noexcept {
    Route& route = routes_[at];
    if (Pair* const pair = find(route, ports)) *pair = route.pairs[--route.pair_count];
  }
  [[nodiscard]] std::uint32_t pair_count(std::uint32_t at) const noexcept {
    return routes_[at].pair_count;
  }

  /// Looks for a path; probes carry the ids of the flow in `slot`. Known pairs are tried first.
  void search(std::uint32_t at, std::uint32_t slot, Instant now) noexcept {
    const Route& route = routes_[at];
    std::array<UdpPorts, pairs_max> known;
    for (std::uint32_t i = 0; i < route.pair_count; ++i) known[i] = route.pairs[i].ports;
    start_search(at, slot, now, std::span{known}.first(route.pair_count));
  }
  /// Looks for another beside the only one that is known.
  void search_spare(std::uint32_t at, std::uint32_t slot, Instant now) noexcept {
    if (routes_[at].pair_count == 1) start_search(at, slot, now, {});
  }
  [[nodiscard]] Instant next_timeout() const noexcept { return next_timeout_; }

  /// wave_time(slot) -> srtt + 4 rttvar of that flow; send(slot, probe) -> whether it left.
  template <class WaveTime, class Send>
  void poll(Instant now, const PortRange& range, WaveTime&& wave_time, Send&& send) noexcept {
    for (std::size_t i = 0; i < searching_.size();) {
      Route& route = routes_[searching_[i]];
      const Duration wave = wave_time(route.carrier);
      while (const auto probe = route.probe.poll(now, wave, range, random_)) {
        ++counters_.probes_sent;
        send(route.carrier, *probe);
      }
      if (route.probe.searching()) {
        ++i;
        continue;
      }
      ++counters_.searches_in_vain;
      searching_[i] = searching_.back();
      searching_.pop_back();
    }
    schedule();
  }
  /// The pair that was looked for, when this result is of it. What leads elsewhere is remembered
  /// for flows to that engine.
  [[nodiscard]] std::optional<UdpPorts> on_result(std::uint32_t at, const PathResultBody& result,
                                                  Instant now) noexcept {
    const bool was_searching = routes_[at].probe.searching();
    const auto answer = routes_[at].probe.on_result(result);
    if (!answer) return std::nullopt;
    if (!answer->hit) {
      ++counters_.misses;
      learn_of_other(routes_[at].target, answer->engine, answer->ports, now);
      return std::nullopt;
    }
    ++counters_.hits;
    learn(at, answer->ports, now);
    if (was_searching) drop_search(at);
    return answer->ports;
  }

  [[nodiscard]] const PathCounters& counters() const noexcept { return counters_; }

 private:
  struct Pair {
    UdpPorts ports;
    Instant learned_at;
    Instant used_at;
  };
  struct Route {
    PathTarget target;
    std::uint32_t hash = 0;
    std::uint32_t incarnation = 0;
    std::uint32_t flows = 0;
    std::uint32_t carrier = 0;
    std::uint32_t pair_count = 0;
    std::uint32_t next = 0;
    std::array<Pair, pairs_max> pairs{};
    PathProbe probe;
  };

  [[nodiscard]] static Pair* find(Route& route, UdpPorts ports) noexcept {
    for (std::uint32_t i = 0; i < route.pair_count; ++i)
      if (route.pairs[i].ports == ports) return &route.pairs[i];
    return nullptr;
  }
  [[nodiscard]] static Pair& oldest(Route& route) noexcept {
    return *std::min_element(route.pairs.begin(), route.pairs.end(),
                             [](const Pair& a, const Pair& b) { return a.used_at < b.used_at; });
  }
  /// While flows use the route its pairs are in use.
  static void forget_unused(Route& route, Instant now) noexcept {
    if (route.flows > 1) return;  // beside the one that asks
    for (std::uint32_t i = route.pair_count; i-- > 0;)
      if (now - route.pairs[i].used_at > keep_unused)
        route.pairs[i] = route.pairs[--route.pair_count];
  }
  [[nodiscard]] static std::uint32_t hash_of(const PathTarget& target) noexcept {
    std::uint64_t mixed = target.engine;
    for (const IpAddress* address : {&target.local, &target.peer}) {
      std::uint64_t half[2];
      std::memcpy(half, address->octets.data(), sizeof half);
      mixed = Prng{mixed ^ half[0]}.next();
      mixed = Prng{mixed ^ half[1]}.next();
    }
    return static_cast<std::uint32_t>(mixed >> 32U);
  }
  [[nodiscard]] std::uint32_t find_at(const PathTarget& target, std::uint32_t hash) const noexcept {
    return by_target_.find(hash, [&](std::uint32_t at) { return routes_[at].target == target; });
  }
  [[nodiscard]] std::uint32_t find_or_make(const PathTarget& target) noexcept {
    const std::uint32_t hash = hash_of(target);
    if (const std::uint32_t at = find_at(target, hash); at != none) return at;
    const std::uint32_t at = fresh_ < routes_.size() ? fresh_++ : evict();
    if (at == none) return none;
    routes_[at] = Route{};
    routes_[at].target = target;
    routes_[at].hash = hash;
    by_target_.insert(hash, at);
    return at;
  }
  /// The next unused route from where the last one was found: about the longest unused.
  [[nodiscard]] std::uint32_t evict() noexcept {
    for (std::uint32_t tries = 0; tries < evict_tries; ++tries) {
      const std::uint32_t at = hand_++ % static_cast<std::uint32_t>(routes_.size());
      if (routes_[at].flows != 0) continue;
      by_target_.erase(routes_[at].hash, at);
      return at;
    }
    return none;
  }
  void start_search(std::uint32_t at, std::uint32_t slot, Instant now,
                    std::span<const UdpPorts> first) noexcept {
    Route& route = routes_[at];
    if (searching_.size() == searches_max) return;
    if (!route.probe.start(now, route.target.engine, first)) return;
    route.carrier = slot;
    searching_.push_back(at);
    next_timeout_ = std::min(next_timeout_, now);
    ++counters_.searches;
  }
  /// The result does not tell the incarnation of the engine that the probe came to, and each has
  /// its own. So what is heard of an engine before a flow has joined its route may outlive the
  /// peer's restart. Then it is as good as a random pair: it costs the first flow a search, no
  /// message.
  void learn_of_other(PathTarget target, std::uint8_t engine, UdpPorts ports,
                      Instant now) noexcept {
    target.engine = engine;
    const std::uint32_t at = find_or_make(target);
    if (at != none && routes_[at].pair_count < pairs_max) learn(at, ports, now);
  }
  void stop(std::uint32_t at) noexcept {
    routes_[at].probe.stop();
    drop_search(at);
  }
  void drop_search(std::uint32_t at) noexcept {
    searching_.erase(std::find(searching_.begin(), searching_.end(), at));
    schedule();
  }
  void schedule() noexcept {
    next_timeout_ = never;
    for (const std::uint32_t at : searching_)
      next_timeout_ = std::min(next_timeout_, routes_[at].probe.next_timeout());
  }

  static constexpr std::uint32_t evict_tries = 64;

  detail::LazyArray<Route> routes_;
  HashIndex by_target_;
  Prng random_;
  std::uint32_t fresh_ = 0;
  std::uint32_t hand_ = 0;
  std::vector<std::uint32_t> searching_;
  Instant next_timeout_ = never;
  PathCounters counters_;
};

}  // namespace proa
