// L2: what a flow says of itself, and what must be true of it. Part of flow.hpp: include that.
#pragma once
#include <proa/transport/flow.hpp>

namespace proa {

template <MessageMemory Memory, TransportPolicy Policy>
FlowInfo Flow<Memory, Policy>::info() const noexcept {
  FlowInfo out;
  out.local = identity_.local;
  out.peer = identity_.peer;
  out.state = state_;
  out.reason = reason_;
  out.smoothed_rtt = sender_.rtt().smoothed();
  out.minimum_rtt = sender_.rtt().minimum();
  out.rtt_variation = sender_.rtt().variation();
  out.window_bytes = sender_.congestion().window_bytes();
  out.in_flight_bytes = sender_.packets().in_flight_bytes();
  out.credit_left_bytes = sender_.credit().left();
  out.queued_messages = sender_.queue().queued_messages();
  out.queued_bytes = sender_.queue().queued_bytes();
  out.packets_sent = sender_.sent_packets();
  out.packets_received = packets_received_;
  out.messages_sent = sender_.queue().total_messages();
  out.messages_received = receiver_.reassembly().delivered();
  out.packets_lost = sender_.lost_packets();
  out.spurious_losses = sender_.spurious_losses();
  out.probes = sender_.probes();
  out.resent_bytes = sender_.resent_bytes();
  out.packet_bytes = mtu_.packet_bytes();
  return out;
}

template <MessageMemory Memory, TransportPolicy Policy>
const char* Flow<Memory, Policy>::broken_invariant() const noexcept {
  if (const char* why = sender_.broken_invariant()) return why;
  if (const char* why = receiver_.broken_invariant()) return why;
  if (is_established(state_) && sender_.packets().in_flight_packets() != 0 &&
      !timers_.armed(FlowTimer::probe) && !sender_.probe_due())
    return "packets in flight without a probe timer";
  if (is_established(state_) && timers_.at(FlowTimer::loss) > sender_.loss_deadline())
    return "a packet becomes overdue and no timer tells";
  if (starved_ && !timers_.armed(FlowTimer::pace)) return "it waits for memory and nobody looks";
  if (state_ == FlowState::finished && timers_.next() != never)
    return "a finished flow has a timer armed";
  return nullptr;
}

}  // namespace proa
