// L2: a congestion controller chosen per flow at run time among those compiled in.
#pragma once
#include <variant>

#include <proa/transport/cubic.hpp>
#include <proa/transport/fixed_window.hpp>
#include <proa/transport/swift.hpp>

namespace proa {

/// FlowOptions::congestion chooses; a policy that names one controller instead costs no branch.
class AnyCongestion {
  /// std::visit would call through a table; three branches inline.
  template <class Self, class Call>
  static auto apply(Self& self, Call&& call) noexcept {
    if (auto* swift = std::get_if<Swift>(&self.chosen_)) return call(*swift);
    if (auto* cubic = std::get_if<Cubic>(&self.chosen_)) return call(*cubic);
    return call(*std::get_if<FixedWindow>(&self.chosen_));
  }

 public:
  AnyCongestion() noexcept = default;
  explicit AnyCongestion(CongestionKind kind) noexcept { choose(kind); }

  /// Starts over with that controller.
  void choose(CongestionKind kind) noexcept {
    switch (kind) {
      case CongestionKind::swift:
        chosen_.emplace<Swift>();
        return;
      case CongestionKind::cubic:
        chosen_.emplace<Cubic>();
        return;
      case CongestionKind::fixed_window:
        chosen_.emplace<FixedWindow>();
        return;
    }
  }
  [[nodiscard]] CongestionKind kind() const noexcept {
    return static_cast<CongestionKind>(chosen_.index());
  }
  /// The controller itself, or null if another one was chosen.
  template <class Controller>
  [[nodiscard]] const Controller* get() const noexcept {
    return std::get_if<Controller>(&chosen_);
  }

  void on_ack(const AckSample& ack) noexcept {
    apply(*this, [&](auto& c) { c.on_ack(ack); });
  }
  void on_loss(const LossSample& loss) noexcept {
    apply(*this, [&](auto& c) { c.on_loss(loss); });
  }
  void on_late(std::uint64_t index) noexcept {
    apply(*this, [&](auto& c) { c.on_late(index); });
  }
  void on_spurious_timeout(Instant now) noexcept {
    apply(*this, [&](auto& c) { c.on_spurious_timeout(now); });
  }
  void on_persistent_congestion(Instant now) noexcept {
    apply(*this, [&](auto& c) { c.on_persistent_congestion(now); });
  }
  void on_packet_size(std::uint32_t bytes) noexcept {
    apply(*this, [&](auto& c) { c.on_packet_size(bytes); });
  }
  [[nodiscard]] std::uint32_t window_bytes() const noexcept {
    return apply(*this, [](const auto& c) { return c.window_bytes(); });
  }
  [[nodiscard]] Duration pacing_interval(std::uint32_t bytes) const noexcept {
    return apply(*this, [&](const auto& c) { return c.pacing_interval(bytes); });
  }

 private:
  std::variant<Swift, Cubic, FixedWindow> chosen_;  // in the order of CongestionKind
};
static_assert(CongestionController<AnyCongestion>);

}  // namespace proa
