// sidecar: what an operator should hear about a NIC: once when it begins, once when it is over.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <proa/base/time.hpp>
#include <proa/engine/counters.hpp>

namespace proa::sidecar {

enum class NicTrouble : std::uint8_t {
  link_down,
  mismatch,
  reset,
  removed,
  rx_overrun,
  rx_pool_empty,
  rx_errors,
  tx_ring_full,
  tx_pool_empty,
  tx_errors,
  count_,
};
[[nodiscard]] std::string_view text(NicTrouble trouble) noexcept;
/// Over as soon as the link is up.
[[nodiscard]] constexpr bool is_of_link(NicTrouble trouble) noexcept {
  return trouble == NicTrouble::link_down || trouble == NicTrouble::mismatch;
}

struct NicNotice {
  NicTrouble what = NicTrouble::link_down;
  bool over = false;
  std::uint64_t times = 0;  // so far, or in all of this episode
  Duration lasted{};
};
[[nodiscard]] std::string text(const NicNotice& notice);

/// Makes episodes of counters, however fast they grow. An episode begins when its counter grows and
/// is over when it has not for a while; the link's are over when it is up.
class NicWatch {
 public:
  static constexpr Duration quiet_for = std::chrono::seconds{10};

  /// Calls say(NicNotice) for what is new, again at the next look if that returns false: it could
  /// not be told. The first look only remembers where the counters are, but for what lasts: a link
  /// that is down, a peer that may have come before it.
  template <class Say>
  void look(Instant now, bool link_up, const EngineCounters& counters, Say&& say) noexcept {
    const bool first = !std::exchange(looked_, true);
    const auto seen = counts_of(counters);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      Episode& episode = episodes_[i];
      const auto what = static_cast<NicTrouble>(i);
      const bool link = what == NicTrouble::link_down, of_link = is_of_link(what);
      const std::uint64_t grown = seen[i] - std::exchange(episode.seen, seen[i]);
      const bool begins = (link && !link_up) || ((!first || (of_link && !link_up)) && grown != 0);
      if (first && begins) episode.before = seen[i];
      if (begins) {
        episode.last = now;
        if (episode.on) continue;
        episode.since = now;
        if (!first) episode.before = seen[i] - grown;
        episode.on = say(NicNotice{what, false, seen[i] - episode.before, {}});
        if (!episode.on) episode.seen -= grown;  // has grown at the next look, too
      } else if (episode.on && (of_link ? link_up : now - episode.last >= quiet_for)) {
        episode.on = !say(NicNotice{what, true, seen[i] - episode.before,
                                    (of_link ? now : episode.last) - episode.since});
      }
    }
  }

 private:
  static constexpr std::size_t count = static_cast<std::size_t>(NicTrouble::count_);
  struct Episode {
    std::uint64_t seen = 0, before = 0;
    Instant since{}, last{};
    bool on = false;
  };
  static std::array<std::uint64_t, count> counts_of(const EngineCounters& c) noexcept {
    return {c.nic.link_downs,   c.nic.mismatches, c.nic.resets,   c.nic.removals,  c.nic.rx_missed,
            c.nic.rx_no_buffer, c.nic.rx_errors,  c.tx_ring_full, c.tx_pool_empty, c.nic.tx_errors};
  }

  std::array<Episode, count> episodes_{};
  bool looked_ = false;
};

/// What the engines of one interface notice, as one: it begins with the first and is over with the
/// last of them. Whoever said that it began says that it is over.
class InterfaceTroubles {
 public:
  /// What is to be said of it, if anything.
  [[nodiscard]] std::optional<NicNotice> heard(std::uint32_t engine,
                                               const NicNotice& notice) noexcept {
    Trouble& trouble = troubles_[static_cast<std::size_t>(notice.what)];
    const std::uint64_t bit = std::uint64_t{1} << (engine % 64);  // an interface has 16 at most
    const bool was_on = trouble.engines != 0, was_in = (trouble.engines & bit) != 0;
    if (!notice.over) {
      if (!was_on) trouble = {};
      trouble.engines |= bit;
      return was_on ? std::nullopt : std::optional{notice};
    }
    if (!was_in) return std::nullopt;
    trouble.engines &= ~bit;
    trouble.times += notice.times;
    trouble.lasted = std::max(trouble.lasted, notice.lasted);
    if (trouble.engines != 0) return std::nullopt;
    return NicNotice{notice.what, true, trouble.times, trouble.lasted};
  }

 private:
  struct Trouble {
    std::uint64_t engines = 0;  // those that have it, a bit each
    std::uint64_t times = 0;
    Duration lasted{};
  };
  std::array<Trouble, static_cast<std::size_t>(NicTrouble::count_)> troubles_{};
};

}  // namespace proa::sidecar
