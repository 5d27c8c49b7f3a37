// L3: what an interface says about its addresses unasked, and when.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <proa/base/time.hpp>
#include <proa/wire/address_text.hpp>

namespace proa {

/// A schedule only: the interface writes the frames. Belongs to one engine's thread.
class Announcer {
 public:
  enum class Word : std::uint8_t {
    probe,         // does somebody have this IPv6 address already? (RFC 4862 5.4.2)
    membership,    // the groups our IPv6 addresses are asked for in (RFC 3810, RFC 4861 7.2.1)
    announcement,  // RFC 5227 (2.3), RFC 4861 (7.2.6)
  };
  struct Item {
    Word word{};
    std::size_t address = 0;  // its place in the interface's list; not of `membership`
  };

  /// `addresses` outlives this. `probe`: IPv6 addresses are probed in the first round.
  Announcer(std::span<const IpPrefix> addresses, bool probe) noexcept
      : addresses_(addresses),
        has_ipv6_(std::any_of(addresses.begin(), addresses.end(),
                              [](const IpPrefix& own) { return !own.address.is_v4(); })),
        probe_(probe && has_ipv6_) {}

  /// At start, and when the link came up: everything, twice.
  void start(Instant now) noexcept {
    begin_round(now, 2);
    first_ = true;
    tentative_until_ = probe_ ? never : Instant::min();
  }
  /// Another station claims an address: say once more whose it is.
  void repeat(Instant now) noexcept {
    if (rounds_left_ == 0) begin_round(now, 1);
  }
  /// A router asks who is in which group; questions before the answer are one.
  void report_membership() noexcept {
    if (!has_ipv6_) return;
    report_ = true;
    next_ = Instant::min();
  }

  /// Our IPv6 addresses may still turn out to be another station's: RFC 4429 (3.3) tells not to
  /// override what neighbours know.
  [[nodiscard]] bool tentative(Instant now) const noexcept { return now < tentative_until_; }

  /// What is due; call until it returns nothing.
  [[nodiscard]] std::optional<Item> poll(Instant now) noexcept {
    if (report_) {
      report_ = false;
      next_ = rounds_left_ > 0 ? due_ : never;
      return Item{Word::membership, 0};
    }
    while (rounds_left_ > 0 && now >= due_) {
      const std::size_t count = addresses_.size();
      if (tentative_until_ == never) tentative_until_ = later(now, probe_wait);
      const std::size_t at = at_++;
      if (at < count) {
        if (first_ && probe_ && !addresses_[at].address.is_v4()) return Item{Word::probe, at};
      } else if (at == count) {
        if (has_ipv6_) return Item{Word::membership, 0};
      } else if (at <= 2 * count) {
        return Item{Word::announcement, at - count - 1};
      } else {
        begin_round(later(now, interval), static_cast<std::uint8_t>(rounds_left_ - 1));
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] Instant next_timeout() const noexcept { return next_; }

 private:
  static constexpr Duration interval = std::chrono::seconds{2};    // RFC 5227: ANNOUNCE_INTERVAL
  static constexpr Duration probe_wait = std::chrono::seconds{1};  // RFC 4862 (5.1): RetransTimer

  void begin_round(Instant due, std::uint8_t rounds_left) noexcept {
    due_ = due;
    at_ = 0;
    rounds_left_ = rounds_left;
    first_ = false;
    next_ = rounds_left > 0 ? due : never;
  }

  std::span<const IpPrefix> addresses_;
  bool has_ipv6_;
  bool probe_;
  bool first_ = false;
  bool report_ = false;
  std::uint8_t rounds_left_ = 0;
  std::size_t at_ = 0;
  Instant due_ = never;
  Instant next_ = never;  // due_ while rounds are left, at once while a report is
  Instant tentative_until_ = Instant::min();
};

}  // namespace proa
