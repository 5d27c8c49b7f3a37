// sidecar: how busy an engine is, and what that weighs when a channel looks for an engine.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <proa/base/time.hpp>

namespace proa::sidecar {

/// The share of its time that an engine works. Costs a subtraction per turn; a clock reading only
/// after it has waited. Threading: the engine's thread.
class EngineLoad {
 public:
  explicit EngineLoad(Instant now) noexcept : since_(now), turned_at_(now) {}

  /// After every turn, with the time the turn has read in its middle: what a turn does lies before
  /// and behind that.
  void turned(Instant now, bool busy) noexcept {
    if (busy || was_busy_) worked_ += now - turned_at_;
    turned_at_ = now;
    was_busy_ = busy;
  }
  /// After an idle turn the thread slept or gave way until now.
  void waited(Instant now) noexcept { turned_at_ = now; }
  /// Since the last call: 0 to 100.
  [[nodiscard]] std::uint32_t take_percent(Instant now) noexcept {
    const std::int64_t all_ns = (now - std::exchange(since_, now)).count();
    const std::int64_t worked_ns = std::exchange(worked_, Duration{}).count();
    if (all_ns <= 0) return 0;
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(worked_ns * 100 / all_ns, 0, 100));
  }

 private:
  Instant since_, turned_at_;
  Duration worked_{};
  bool was_busy_ = false;
};

/// What a channel more finds at an engine. Each quarter of the engine's time weighs as much as a
/// channel: channels count for what they may do yet, and several that come within one look spread.
[[nodiscard]] constexpr std::uint32_t weight_of(std::uint32_t channels,
                                                std::uint32_t load_percent) noexcept {
  return channels + load_percent / 25;
}

}  // namespace proa::sidecar
