// L2: a flow's congestion controller, kept apart while the flow has nothing to send.
#pragma once
#include <cstdint>

#include <proa/mem/pool_box.hpp>
#include <proa/transport/congestion.hpp>

namespace proa {

/// The controller lives in the pool from the first data on until the flow has been idle for long:
/// RFC 5681 4.1 has it start anew then anyhow. Without one (before data, and when the pool is used
/// up) the window is the initial one and nothing is paced.
template <CongestionController C>
class KeptCongestion {
 public:
  KeptCongestion(ScratchPool& pool, CongestionKind kind, std::uint32_t packet_bytes) noexcept
      : controller_(pool), packet_bytes_(packet_bytes), kind_(kind) {
    initial_window_bytes_ = fresh().window_bytes();
  }

  /// Data is about to be sent. True: it is the first after a rest.
  bool wake() noexcept {
    if (controller_.get() != nullptr) [[likely]]
      return false;
    begin();
    return true;
  }
  /// The flow has been idle for long.
  void rest() noexcept { controller_.drop(); }
  /// Null while it rests.
  [[nodiscard]] const C* controller() const noexcept { return controller_.get(); }

  void on_ack(const AckSample& ack) noexcept {
    if (C* const c = controller_.get()) c->on_ack(ack);
  }
  void on_loss(const LossSample& loss) noexcept {
    if (C* const c = controller_.get()) c->on_loss(loss);
  }
  void on_late(std::uint64_t index) noexcept {
    if (C* const c = controller_.get()) c->on_late(index);
  }
  void on_spurious_timeout(Instant now) noexcept {
    if (C* const c = controller_.get()) c->on_spurious_timeout(now);
  }
  void on_persistent_congestion(Instant now) noexcept {
    if (C* const c = controller_.get()) c->on_persistent_congestion(now);
  }
  void on_packet_size(std::uint32_t packet_bytes) noexcept {
    packet_bytes_ = packet_bytes;
    initial_window_bytes_ = fresh().window_bytes();
    if (C* const c = controller_.get()) c->on_packet_size(packet_bytes);
  }
  [[nodiscard]] std::uint32_t window_bytes() const noexcept {
    const C* const c = controller_.get();
    return c != nullptr ? c->window_bytes() : initial_window_bytes_;
  }
  [[nodiscard]] Duration pacing_interval(std::uint32_t packet_bytes) const noexcept {
    const C* const c = controller_.get();
    return c != nullptr ? c->pacing_interval(packet_bytes) : Duration::zero();
  }

 private:
  [[nodiscard]] C fresh() const noexcept {
    C out{};
    if constexpr (requires { out.choose(kind_); }) out.choose(kind_);
    out.on_packet_size(packet_bytes_);
    return out;
  }
  [[gnu::noinline]] void begin() noexcept {
    if (C* const c = controller_.make()) *c = fresh();
  }

  PoolBox<C> controller_;
  std::uint32_t packet_bytes_;
  std::uint32_t initial_window_bytes_ = 0;
  CongestionKind kind_;
};

}  // namespace proa
