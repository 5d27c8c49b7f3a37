// L2: a flow's timers: deadlines indexed by an enum; the next one is their minimum.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <proa/base/time.hpp>

namespace proa {

enum class FlowTimer : std::uint8_t {
  deadline,   // connect or close must be done by then; an ended flow stops answering
  loss,       // a packet becomes lost by time (RFC 9002 6.1.2)
  probe,      // probe timeout (RFC 9002 6.2)
  ack,        // a delayed acknowledgement is due
  keepalive,  // send something, hear something
  idle,       // the peer has been silent for too long
  pace,       // the next paced packet may go; before the flow is open: SYN or SYN-ACK again
  count_,
  handshake = pace,
};

class FlowTimers {
 public:
  void arm(FlowTimer timer, Instant at) noexcept { at_[index(timer)] = at; }
  void cancel(FlowTimer timer) noexcept { at_[index(timer)] = never; }
  void cancel_all() noexcept { at_.fill(never); }
  [[nodiscard]] bool armed(FlowTimer timer) const noexcept { return at(timer) != never; }
  [[nodiscard]] Instant at(FlowTimer timer) const noexcept { return at_[index(timer)]; }

  /// True once when the deadline has come; the timer is then no longer armed.
  [[nodiscard]] bool take_expired(FlowTimer timer, Instant now) noexcept {
    if (now < at_[index(timer)]) return false;
    cancel(timer);
    return true;
  }
  [[nodiscard]] Instant next() const noexcept {
    Instant first = never;
    for (const Instant at : at_) first = std::min(first, at);
    return first;
  }

 private:
  static constexpr std::size_t index(FlowTimer timer) noexcept {
    return static_cast<std::size_t>(timer);
  }
  static constexpr std::size_t count = static_cast<std::size_t>(FlowTimer::count_);
  std::array<Instant, count> at_ = [] {
    std::array<Instant, count> all{};
    all.fill(never);
    return all;
  }();
};

}  // namespace proa
