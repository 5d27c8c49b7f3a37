// L3: next hop addresses to MAC addresses: the neighbour cache, sans-I/O (RFC 826, RFC 1122 2.3.2).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <proa/base/time.hpp>
#include <proa/wire/address.hpp>

namespace proa {

struct NeighbourOptions {
  std::uint16_t entries_max = 512;  // a rack or two; everything else is behind a gateway
  std::uint8_t attempts_max = 3;    // requests before the neighbour counts as unreachable
  Duration retry_first = std::chrono::milliseconds{100};  // grows threefold ...
  Duration retry_max = std::chrono::seconds{1};           // ... up to RFC 1122's one per second
  Duration stale_after = std::chrono::seconds{30};        // age at which a used entry is re-checked
  Duration hold_down = std::chrono::seconds{1};           // no new requests after a failure
};

enum class Reach : std::uint8_t {
  ready,        // send now
  pending,      // being resolved: version() changes when that ends
  unreachable,  // nobody answered
  no_route,     // no route covers the address
};

/// Nothing is queued here: what waits for a neighbour is a flow, which simply is not asked for
/// packets until the entry is ready. Belongs to one engine's thread.
class Neighbours {
 public:
  static constexpr std::uint16_t no_slot = 0xffff;

  struct Found {
    Reach reach = Reach::pending;
    std::uint16_t slot = no_slot;
    MacAddress mac;
  };
  /// A request to send: to everybody, or to the MAC address believed so far.
  struct Ask {
    IpAddress address;
    std::optional<MacAddress> unicast_to;
  };

  explicit Neighbours(const NeighbourOptions& options)
      : options_(options), entries_(options.entries_max) {}

  /// Starts resolving what is unknown. `hint` is the slot found last time.
  [[nodiscard]] Found resolve(const IpAddress& address, Instant now,
                              std::uint16_t hint = no_slot) noexcept {
    std::uint16_t slot =
        hint < entries_.size() && entries_[hint].holds(address) ? hint : find(address);
    if (slot == no_slot) {
      slot = oldest([](const Entry&) { return true; });
      if (slot == no_slot) return {Reach::unreachable, slot, {}};  // a table without entries
      replace(slot, address);
      ask_all(entries_[slot], now);
    }
    Entry& entry = entries_[slot];
    touch(slot, now);
    if (entry.state == State::failed && now >= entry.stale_at) ask_all(entry, now);
    if (entry.state == State::failed) return {Reach::unreachable, slot, {}};
    if (entry.state == State::asking) return {Reach::pending, slot, {}};
    return {Reach::ready, slot, entry.mac};
  }

  /// A packet goes to this neighbour: keeps the entry from eviction, re-checks it when it is old.
  void touch(std::uint16_t slot, Instant now) noexcept {
    Entry& entry = entries_[slot];
    entry.last_used = now;
    if (entry.state == State::usable && now >= entry.stale_at) [[unlikely]] {
      // RFC 1122 (2.3.2.1) "unicast poll"; the old address stays in use meanwhile.
      entry.state = State::probing;
      entry.attempts = 0;
      arm(entry, now);
    }
  }

  /// `mac` speaks for `address`. Only a neighbour that asked for us may create an entry
  /// (RFC 826: it will be talked to); what we never asked about is otherwise ignored, and no
  /// stranger displaces an entry that has been used.
  void heard(const IpAddress& address, const MacAddress& mac, Instant now,
             bool may_create) noexcept {
    std::uint16_t slot = find(address);
    if (slot == no_slot) {
      if (!may_create) return;
      slot = oldest([](const Entry& e) { return !e.was_used(); });
      if (slot == no_slot) return;
      replace(slot, address);
    }
    Entry& entry = entries_[slot];
    if (!entry.sendable() || entry.mac != mac) ++version_;
    entry.mac = mac;
    entry.state = State::usable;
    entry.stale_at = later(now, options_.stale_after);
    entry.due = never;
  }

  /// The next request due, if any; also turns neighbours that never answered into failures.
  /// Call until it returns nothing.
  [[nodiscard]] std::optional<Ask> poll_ask(Instant now) noexcept {
    while (now >= next_due_) {
      while (scan_at_ < entries_.size()) {
        Entry& entry = entries_[scan_at_++];
        const std::optional<Ask> ask = entry.due <= now ? advance(entry, now) : std::nullopt;
        scan_min_ = std::min(scan_min_, entry.due);
        if (ask) return ask;
      }
      next_due_ = std::exchange(scan_min_, never);
      scan_at_ = 0;
    }
    return std::nullopt;
  }

  [[nodiscard]] Instant next_timeout() const noexcept { return next_due_; }

  /// Changes whenever an answer of resolve() may have changed. Never 0.
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

  [[nodiscard]] std::size_t size() const noexcept {
    return static_cast<std::size_t>(std::count_if(
        entries_.begin(), entries_.end(), [](const Entry& e) { return e.state != State::free; }));
  }

 private:
  enum class State : std::uint8_t {
    free,
    asking,   // by broadcast; not sendable
    usable,   // confirmed; from stale_at on the next use re-checks it
    probing,  // usable and old: being asked by unicast
    failed,   // nobody answered; asked anew after stale_at
  };

  struct Entry {
    IpAddress address;
    Instant stale_at = never;
    Instant due = never;  // next request
    Instant last_used = Instant::min();
    MacAddress mac;
    State state = State::free;
    std::uint8_t attempts = 0;

    [[nodiscard]] bool holds(const IpAddress& a) const noexcept {
      return state != State::free && address == a;
    }
    [[nodiscard]] bool sendable() const noexcept {
      return state == State::usable || state == State::probing;
    }
    [[nodiscard]] bool was_used() const noexcept { return last_used != Instant::min(); }
  };

  [[nodiscard]] std::uint16_t find(const IpAddress& address) const noexcept {
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].holds(address)) return static_cast<std::uint16_t>(i);
    return no_slot;
  }

  /// A free slot, else the one unused for longest among those that `may_go`.
  template <class MayGo>
  [[nodiscard]] std::uint16_t oldest(MayGo may_go) const noexcept {
    std::uint16_t best = no_slot;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = entries_[i];
      if (entry.state == State::free) return static_cast<std::uint16_t>(i);
      if (may_go(entry) && (best == no_slot || entry.last_used < entries_[best].last_used))
        best = static_cast<std::uint16_t>(i);
    }
    return best;
  }

  void replace(std::uint16_t slot, const IpAddress& address) noexcept {
    if (entries_[slot].state != State::free) ++version_;  // whoever used the slot must look again
    entries_[slot] = Entry{};
    entries_[slot].address = address;
  }

  void ask_all(Entry& entry, Instant now) noexcept {
    entry.state = State::asking;
    entry.attempts = 0;
    arm(entry, now);
  }

  void arm(Entry& entry, Instant due) noexcept {
    entry.due = due;
    next_due_ = std::min(next_due_, due);
    if (scan_at_ > 0) scan_min_ = std::min(scan_min_, due);  // the scan may have passed it already
  }

  /// A due entry: asks once more, or gives up: old address -> ask everybody -> failure.
  [[nodiscard]] std::optional<Ask> advance(Entry& entry, Instant now) noexcept {
    if (entry.attempts >= options_.attempts_max) {
      ++version_;
      if (entry.state == State::asking) {
        entry.state = State::failed;
        entry.stale_at = later(now, options_.hold_down);
        entry.due = never;
        return std::nullopt;
      }
      entry.state = State::asking;
      entry.attempts = 0;
    }
    Duration wait = options_.retry_first;
    for (unsigned i = 0; i < entry.attempts; ++i) wait = std::min(3 * wait, options_.retry_max);
    ++entry.attempts;
    entry.due = later(now, wait);
    if (entry.state == State::probing) return Ask{entry.address, entry.mac};
    return Ask{entry.address, std::nullopt};
  }

  NeighbourOptions options_;
  std::vector<Entry> entries_;
  Instant next_due_ = never;
  Instant scan_min_ = never;  // earliest deadline seen by the scan under way
  std::size_t scan_at_ = 0;
  std::uint32_t version_ = 1;
};

}  // namespace proa
