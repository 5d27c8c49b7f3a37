// L3: which engine and application listen on which port, for all engines of a NIC port: read by
// each of them for every SYN, changed seldom.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include <proa/base/endpoint.hpp>
#include <proa/base/prng.hpp>
#include <proa/base/reason.hpp>
#include <proa/engine/lazy_array.hpp>

namespace proa {

/// Who may listen on one port together: nobody, or all that ask for it with the same key (in the
/// sidecar the user's number), as with SO_REUSEPORT.
struct ListenSharing {
  bool shared = false;
  std::uint32_t key = 0;
};

struct Listener {
  std::uint32_t engine = 0;
  std::uint32_t app = 0;
  friend constexpr bool operator==(Listener, Listener) = default;
};

/// Threading: choose() and has() from any thread, without a lock; the rest takes one. Allocates
/// only when made; pages are touched when used.
class ListenerTable {
 public:
  static constexpr std::uint32_t listeners_max = 16;  // of one port: a cache line

  ListenerTable() : ports_(65'536), shared_by_(65'536) {}

  [[nodiscard]] Reason add(std::uint16_t port, Listener who, ListenSharing sharing) noexcept {
    const std::lock_guard lock{changing_};
    const std::uint64_t wanted = sharing.shared ? std::uint64_t{sharing.key} + 2 : exclusive;
    if (shared_by_[port] != 0 && (wanted == exclusive || shared_by_[port] != wanted))
      return Reason::port_in_use;
    Entry* room = nullptr;
    for (Entry& entry : ports_[port].entries) {
      const std::uint32_t there = load(entry);
      if (there == pack(who)) return Reason::port_in_use;
      if (there == 0 && room == nullptr) room = &entry;
    }
    if (room == nullptr) return Reason::port_in_use;
    room->store(pack(who), std::memory_order_relaxed);  // the number is all there is to see
    shared_by_[port] = wanted;
    return Reason::none;
  }
  /// False: `who` does not listen there.
  bool remove(std::uint16_t port, Listener who) noexcept {
    const std::lock_guard lock{changing_};
    return remove_locked(port, who);
  }
  void remove_all(Listener who) noexcept {
    const std::lock_guard lock{changing_};
    for (std::uint32_t port = 0; port < shared_by_.size(); ++port)
      if (shared_by_[port] != 0) remove_locked(static_cast<std::uint16_t>(port), who);
  }

  /// The owner of a new flow: with several listeners by a hash of who asks, so that a repeated SYN
  /// finds the same one, and mostly even when listeners come and go (Thaler, Ravishankar:
  /// "Using name-based mappings to increase hit rates", 1998).
  [[nodiscard]] std::optional<Listener> choose(std::uint16_t port, const IpAddress& client,
                                               std::uint32_t client_flow) const noexcept {
    std::uint32_t best = 0;
    std::uint64_t best_score = 0;
    for (const Entry& entry : ports_[port].entries) {
      const std::uint32_t candidate = load(entry);
      if (candidate == 0) continue;
      const std::uint64_t score = score_of(candidate, client, client_flow);
      if (best != 0 && score <= best_score) continue;
      best = candidate;
      best_score = score;
    }
    if (best == 0) return std::nullopt;
    return unpack(best);
  }

 private:
  using Entry = std::atomic<std::uint32_t>;  // 0: empty
  static_assert(Entry::is_always_lock_free);
  struct Port {
    Entry entries[listeners_max];
  };
  static constexpr std::uint64_t exclusive = 1;
  static constexpr unsigned app_bits = 24;

  [[nodiscard]] static constexpr std::uint32_t pack(Listener who) noexcept {
    return who.engine << app_bits | (who.app + 1);
  }
  [[nodiscard]] static constexpr Listener unpack(std::uint32_t packed) noexcept {
    return {packed >> app_bits, (packed & ((1U << app_bits) - 1)) - 1};
  }
  // Relaxed: an entry is complete in itself, and a SYN that misses a change comes again.
  [[nodiscard]] static std::uint32_t load(const Entry& entry) noexcept {
    return entry.load(std::memory_order_relaxed);
  }
  [[nodiscard]] static std::uint64_t score_of(std::uint32_t candidate, const IpAddress& client,
                                              std::uint32_t client_flow) noexcept {
    std::uint64_t mixed = Prng{candidate}.next() ^ client_flow;
    for (std::size_t i = 0; i < client.octets.size(); i += 4) {
      std::uint32_t word = 0;
      for (std::size_t j = 0; j < 4; ++j) word = word << 8U | client.octets[i + j];
      mixed = Prng{mixed ^ word}.next();
    }
    return mixed;
  }
  bool remove_locked(std::uint16_t port, Listener who) noexcept {
    bool found = false, others = false;
    for (Entry& entry : ports_[port].entries) {
      const bool his = load(entry) == pack(who);
      if (his) entry.store(0, std::memory_order_relaxed);
      found = found || his;
      others = others || load(entry) != 0;
    }
    if (!others) shared_by_[port] = 0;
    return found;
  }

  detail::LazyArray<Port> ports_;
  detail::LazyArray<std::uint64_t> shared_by_;  // 0: nobody listens; exclusive; or the key + 2
  std::mutex changing_;
};

}  // namespace proa
