// sidecar: what an engine's thread does between turns that found nothing to do.
#pragma once
#include <cstdint>

#include <proa/base/time.hpp>

#include "config.hpp"

namespace proa::sidecar {

/// Decides whether to poll on, to give way to others on this core, or to sleep.
/// More pollers than cores show in involuntary switches of this thread: there a pause instruction
/// costs milliseconds a round trip and yielding microseconds, where cores suffice it is the other
/// way round. Threading: the engine's thread.
class Idler {
 public:
  Idler(IdleStrategy strategy, Duration spin_for) : strategy_(strategy), spin_for_(spin_for) {}

  void worked(Instant now) noexcept {
    last_work_ = now;
    nap_ = nap_first;
  }
  /// After an idle turn: true when it is time to sleep; else it has paused or yielded.
  [[nodiscard]] bool rest(Instant now) noexcept;

  /// How long to sleep where nothing wakes us when a frame arrives; grows from nap to nap.
  [[nodiscard]] Duration next_nap() noexcept {
    const Duration nap = nap_;
    nap_ = nap_ * 2 < nap_max ? nap_ * 2 : nap_max;
    return nap;
  }
  [[nodiscard]] bool gives_way() const noexcept { return gives_way_; }

 private:
  static constexpr Duration nap_first = std::chrono::microseconds{50};
  static constexpr Duration nap_max = std::chrono::milliseconds{1};
  static constexpr Duration look_every = std::chrono::milliseconds{10};
  static constexpr int quiet_looks = 10;  // without a switch, until we stop giving way

  void look(Instant now) noexcept;

  IdleStrategy strategy_;
  Duration spin_for_;
  Duration nap_ = nap_first;
  Instant last_work_{};
  Instant look_at_{};
  std::int64_t switches_ = 0;
  int quiet_ = 0;
  bool gives_way_ = true;  // until it is known that nobody else wants this core
};

}  // namespace proa::sidecar
