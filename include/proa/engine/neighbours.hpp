// L3: next hop addresses to MAC addresses: the neighbour cache, sans-I/O (RFC 826, RFC 1122 2.3.2;
// IPv6: RFC 4861 7.2 and 7.3).
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
  std::uint8_t attempts_max = 3;    // requests before it is unreachable; RFC 4861 (10): 3 of each
  // Grows threefold: a lost question costs 100 ms, not the RetransTimer of 1 s (RFC 4861 10) ...
  Duration retry_first = std::chrono::milliseconds{100};
  Duration retry_max = std::chrono::seconds{1};     // ... up to RFC 1122's one per second
  Duration stale_after = std::chrono::seconds{30};  // age at which a used entry is re-checked
  Duration hold_down = std::chrono::seconds{1};     // no new requests after a failure
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
    std::uint16_t slot = no_slot;
  };

  explicit Neighbours(const NeighbourOptions& options)
      : options_(options), entries_(options.entries_max) {}

  /// Starts resolving what is unknown. `hint` is the slot found last time.
  [[nodiscard]] Found resolve(const IpAddress& address, Instant now,
                              std::uint16_t hint = no_slot) noexcept {
    const bool hinted = hint != no_slot && hint < entries_.size() && entries_[hint].holds(address);
    Entry* entry = hinted ? &entries_[hint] : find(address);
    if (entry == nullptr) {
      entry = oldest([](const Entry&) { return true; });
      if (entry == nullptr) return {Reach::unreachable, no_slot, {}};  // a table without entries
      replace(*entry, address);
      ask_all(*entry, now);
    }
    const auto slot = static_cast<std::uint16_t>(entry - entries_.data());
    touch(slot, now);
    if (entry->state == State::failed && now >= entry->stale_at) ask_all(*entry, now);
    if (entry->state == State::failed) return {Reach::unreachable, slot, {}};
    if (entry->state == State::asking) return {Reach::pending, slot, {}};
    return {Reach::ready, slot, entry->mac};
  }

  /// Whether a request for it has left since it is looked for: none does without a free packet, or
  /// when the NIC takes nothing.
  [[nodiscard]] bool was_asked(std::uint16_t slot) const noexcept {
    return entries_[slot].state != State::asking || entries_[slot].attempts != 0;
  }

  /// What is believed of it; asks nobody.
  [[nodiscard]] std::optional<MacAddress> mac_of(const IpAddress& address) const noexcept {
    for (const Entry& entry : entries_)
      if (entry.holds(address) && entry.sendable()) return entry.mac;
    return std::nullopt;
  }

  /// A packet goes to this neighbour: keeps the entry from eviction, re-checks it when it is old.
  void touch(std::uint16_t slot, Instant now) noexcept {
    Entry& entry = entries_[slot];
    entry.last_used = now;
    if (entry.state == State::usable && now >= entry.stale_at) [[unlikely]] {
      // RFC 1122 (2.3.2.1) "unicast poll"; the old address stays in use meanwhile. RFC 4861's DELAY
      // state is left out: it waits for a confirmation from above that nobody gives here.
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
    Entry* entry = find(address);
    if (entry == nullptr) {
      if (may_create) entry = oldest([](const Entry& e) { return !e.was_used(); });
      if (entry == nullptr) return;
      replace(*entry, address);
    }
    learn(*entry, mac, later(now, options_.stale_after));
  }

  /// RFC 4861 (7.2.3): who asks for us names its MAC address. That it hears us is not known yet, so
  /// what is new is re-checked on its first use (RFC 4861: STALE).
  void solicited_by(const IpAddress& address, const MacAddress& mac, Instant now,
                    bool may_create) noexcept {
    Entry* entry = find(address);
    if (entry == nullptr) {
      if (may_create) entry = oldest([](const Entry& e) { return !e.was_used(); });
      if (entry == nullptr) return;
      replace(*entry, address);
    }
    if (!entry->sendable() || entry->mac != mac) learn(*entry, mac, now);
  }

  /// RFC 4861 (7.2.5): a neighbour advertisement for `address`. `solicited`: the neighbour heard
  /// our question, so both directions work; `overrides`: it replaces another MAC address.
  void advertised(const IpAddress& address, const std::optional<MacAddress>& mac, bool solicited,
                  bool overrides, Instant now) noexcept {
    Entry* const entry = find(address);
    if (entry == nullptr) return;  // nobody asked
    const Instant confirmed = later(now, solicited ? options_.stale_after : Duration{});
    if (!entry->sendable()) {
      if (mac) learn(*entry, *mac, confirmed);
      return;
    }
    const bool differs = mac && *mac != entry->mac;
    if (differs && !overrides) {
      if (entry->state == State::usable) entry->stale_at = std::min(entry->stale_at, now);
      return;
    }
    if (solicited || differs) learn(*entry, mac.value_or(entry->mac), confirmed);
  }

  /// RFC 1122 (2.3.2.1): advice from above: what goes to this neighbour remains unanswered. It is
  /// re-checked on its next use, unless it was heard within the last second.
  void doubt(std::uint16_t slot, Instant now) noexcept {
    Entry& entry = entries_[slot];
    if (entry.state == State::usable &&
        now >= later(entry.stale_at, options_.retry_max - options_.stale_after))
      entry.stale_at = std::min(entry.stale_at, now);
  }

  /// Something happened to the link: whatever is used next is re-checked first, and stays in use
  /// meanwhile.
  void doubt_all(Instant now) noexcept {
    for (Entry& entry : entries_) {
      if (entry.state == State::usable) entry.stale_at = std::min(entry.stale_at, now);
      if (entry.state == State::failed) entry.stale_at = std::min(entry.stale_at, now);
    }
    changed();
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

  /// What poll_ask() returned last could not leave: nobody heard it, so it is still due.
  void not_asked(std::uint16_t slot, Instant now) noexcept {
    Entry& entry = entries_[slot];
    --entry.attempts;
    arm(entry, now);
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

  void learn(Entry& entry, const MacAddress& mac, Instant stale_at) noexcept {
    if (!entry.sendable() || entry.mac != mac) changed();
    entry.mac = mac;
    entry.state = State::usable;
    entry.stale_at = stale_at;
    entry.due = never;
  }

  void changed() noexcept {
    if (++version_ == 0) version_ = 1;
  }

  [[nodiscard]] Entry* find(const IpAddress& address) noexcept {
    for (Entry& entry : entries_)
      if (entry.holds(address)) return &entry;
    return nullptr;
  }

  /// A free entry, else the one unused for longest among those that `may_go`.
  template <class MayGo>
  [[nodiscard]] Entry* oldest(MayGo may_go) noexcept {
    Entry* best = nullptr;
    for (Entry& entry : entries_) {
      if (entry.state == State::free) return &entry;
      if (may_go(entry) && (best == nullptr || entry.last_used < best->last_used)) best = &entry;
    }
    return best;
  }

  void replace(Entry& entry, const IpAddress& address) noexcept {
    if (entry.state != State::free) changed();  // whoever used the slot must look again
    entry = Entry{};
    entry.address = address;
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
      changed();
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
    const auto slot = static_cast<std::uint16_t>(&entry - entries_.data());
    if (entry.state == State::probing) return Ask{entry.address, entry.mac, slot};
    return Ask{entry.address, std::nullopt, slot};
  }

  NeighbourOptions options_;
  std::vector<Entry> entries_;
  Instant next_due_ = never;
  Instant scan_min_ = never;  // earliest deadline seen by the scan under way
  std::size_t scan_at_ = 0;
  std::uint32_t version_ = 1;
};

}  // namespace proa
