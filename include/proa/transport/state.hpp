// L2: the life of a flow as one total, pure function; a test snapshots the whole table.
#pragma once
#include <cstdint>
#include <optional>

namespace proa {

enum class FlowState : std::uint8_t {
  syn_sent,      // client: waiting for SYN-ACK
  syn_received,  // server: SYN-ACK sent, waiting for the first valid packet
  open,          // messages flow both ways
  closing,       // the application closed: flushing, then FIN, until all is acknowledged
  resetting,     // ended by us with RESET: repeating it until acknowledged or out of patience
  lingering,     // ended: only answers the peer's repetitions
  finished,      // nothing is left to do
};
inline constexpr std::uint8_t flow_state_count = 7;

enum class FlowInput : std::uint8_t {
  syn_ack,      // a valid SYN-ACK arrived
  first_data,   // a valid data packet arrived
  close,        // the application closes
  flushed,      // everything including FIN is acknowledged
  peer_fin,     // the peer closed and all its messages are here
  peer_reset,   // the peer reset or refused the flow, or no longer knows it
  reset,        // the application or the stack resets the flow, or a deadline passed
  reset_acked,  // the peer has our RESET
  gone_silent,  // handshake or idle limit passed: nobody is there to tell
  linger_over,  // the time for answers is over
};
inline constexpr std::uint8_t flow_input_count = 10;

/// The state after `input`, or nothing where the input means nothing in that state.
[[nodiscard]] constexpr std::optional<FlowState> next(FlowState state, FlowInput input) noexcept {
  using enum FlowState;
  const bool half_open = state == syn_sent || state == syn_received;
  const bool alive = half_open || state == open || state == closing;
  const auto when = [](bool allowed, FlowState to) {
    return allowed ? std::optional{to} : std::nullopt;
  };
  switch (input) {
    case FlowInput::syn_ack:
      return when(state == syn_sent, open);
    case FlowInput::first_data:
      return when(state == syn_received, open);
    case FlowInput::close:
      return when(state == open, closing);
    case FlowInput::flushed:
      return when(state == closing, lingering);
    case FlowInput::peer_fin:
      return when(state == open || state == closing, lingering);
    case FlowInput::peer_reset:
      return when(alive || state == resetting, lingering);
    case FlowInput::reset:
      // The peer's flow id is not known yet: its half-open flow ends by itself.
      if (state == syn_sent) return finished;
      return when(alive, resetting);
    case FlowInput::reset_acked:
      return when(state == resetting, lingering);
    case FlowInput::gone_silent:
      return when(alive, finished);
    case FlowInput::linger_over:
      return when(state == lingering || state == resetting, finished);
  }
  return std::nullopt;
}

[[nodiscard]] constexpr bool is_alive(FlowState state) noexcept {
  return state <= FlowState::closing;
}
[[nodiscard]] constexpr bool is_established(FlowState state) noexcept {
  return state == FlowState::open || state == FlowState::closing;
}

}  // namespace proa
