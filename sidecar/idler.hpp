// sidecar: what an engine's thread does between turns that found nothing to do.
#pragma once
#include <proa/base/time.hpp>
#include <proa/stack/give_way.hpp>

#include "config.hpp"

namespace proa::sidecar {

/// Decides whether to poll on, giving way to others on this core, or to sleep.
/// Threading: the engine's thread.
class Idler {
 public:
  Idler(IdleStrategy strategy, Duration spin_for) : strategy_(strategy), spin_for_(spin_for) {}

  void worked(Instant now) noexcept {
    note_yield(now);
    last_work_ = now;
    nap_ = nap_first;
  }
  /// After an idle turn: true when it is time to sleep.
  [[nodiscard]] bool rest(Instant now) noexcept {
    if (strategy_ == IdleStrategy::sleep) return true;
    note_yield(now);
    if (strategy_ == IdleStrategy::adaptive &&
        (now - last_work_ >= spin_for_ || now < crowded_until_))
      return true;
    if (give_way_.oversubscribed()) yielded_at_ = now;
    give_way_.idle(now, last_work_);
    return false;
  }

  /// How long to sleep where nothing wakes us when a frame arrives; grows from nap to nap.
  [[nodiscard]] Duration next_nap() noexcept {
    const Duration nap = nap_;
    nap_ = nap_ * 2 < nap_max ? nap_ * 2 : nap_max;
    return nap;
  }
  [[nodiscard]] bool gives_way() const noexcept { return give_way_.oversubscribed(); }

 private:
  static constexpr Duration nap_first = std::chrono::microseconds{50};
  static constexpr Duration nap_max = std::chrono::milliseconds{1};

  // Other pollers give way in turn within microseconds. One who uses up its time slice does not: a
  // sleeper gets its core back when it is woken, one who yields to such a neighbour waits.
  static constexpr Duration yield_max = std::chrono::microseconds{300};
  static constexpr Duration crowded_for = std::chrono::milliseconds{10};

  void note_yield(Instant now) noexcept {
    if (yielded_at_ == never) return;
    if (now - yielded_at_ > yield_max) crowded_until_ = now + crowded_for;
    yielded_at_ = never;
  }

  IdleStrategy strategy_;
  Duration spin_for_;
  Duration nap_ = nap_first;
  Instant last_work_{};
  Instant yielded_at_ = never;
  Instant crowded_until_{};
  GiveWay give_way_;
};

}  // namespace proa::sidecar
