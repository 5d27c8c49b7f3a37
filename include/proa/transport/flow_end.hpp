// L2: how a flow ends: close, FIN, reset, and what follows them. Part of flow.hpp: include that.
#pragma once
#include <proa/transport/flow.hpp>

namespace proa {

template <MessageMemory Memory, TransportPolicy Policy>
Expected<void> Flow<Memory, Policy>::close(Instant now, Instant deadline) noexcept {
  if (state_ == FlowState::closing) return failed(Reason::flow_closing);
  if (!is_alive(state_)) return failed(Reason::no_such_flow);
  const auto to = next(state_, FlowInput::close);
  if (!to) {  // not established yet: nothing was promised to the peer
    reset(now, Reason::closed_by_application);
    return {};
  }
  enter(*to);
  refused_ = false;
  timers_.arm(FlowTimer::deadline, deadline);
  maybe_fin();
  return {};
}

/// Every end of a flow goes through here: one reason for this application, one for the peer.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::end(Instant now, FlowInput input, Reason told_here,
                               Reason told_peer) noexcept {
  const auto to = next(state_, input);
  if (!to) return;
  const bool was_alive = is_alive(state_);
  enter(*to);
  if (was_alive) {
    reason_ = told_here;
    // An application that was never told of an accepted flow is not told of its end either.
    closed_pending_ = told_established_ || as_client_;
    sender_.clear(*memory_);
    if (!closed_pending_) receiver_.clear(*memory_);
    refused_ = false;
  }
  control_ = 0;
  timers_.cancel_all();
  if (state_ == FlowState::finished) return;
  if (state_ == FlowState::resetting && was_alive) {
    reset_reason_ = told_peer;
    want_control(PacketContent::reset);
  }
  // No acknowledgement timer runs from here on.
  if (receiver_.ack_deadline() != never) receiver_.ack_at_once();
  start_lingering(now);
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::start_lingering(Instant now) noexcept {
  Duration patience = std::max(3 * sender_.probe_interval(), options_->linger_min);
  // A RESET is repeated ten times, like on the shortest paths, but not after the peer's own limit.
  if (state_ == FlowState::resetting)
    patience = std::max(patience, std::min(resets_wait * sender_.probe_interval(), idle_limit_));
  // A peer whom no answer reaches repeats itself ever more rarely: twice the last pause comes next.
  if (repeated_at_ != never) patience = std::max(patience, 3 * (now - repeated_at_));
  repeated_at_ = now;
  timers_.arm(FlowTimer::deadline, later(now, patience));
}

/// FIN follows the last message at once; it names how many there are, so order does not matter.
template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::maybe_fin() noexcept {
  if (state_ != FlowState::closing || fin_sent_ || sender_.queue().has_new()) return;
  want_control(PacketContent::fin);
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::check_flushed(Instant now) noexcept {
  if (state_ == FlowState::closing && fin_acked_ && sender_.queue().empty())
    end(now, FlowInput::flushed, Reason::closed_by_application, Reason::none);
}

}  // namespace proa
