// L0: why something was refused or ended. One list, so that a reason means the same at every layer.
#pragma once
#include <cstdint>
#include <string_view>

#include <tl/expected.hpp>

namespace proa {

/// Values cross the wire (RESET) and shared memory: never renumber, only append.
enum class Reason : std::uint8_t {
  none = 0,
  // refusals: nothing happened, the caller still owns what it passed
  would_block = 1,        // no room now; a `writable` event follows
  message_too_large = 2,  // above the configured message limit
  no_such_flow = 3,       // the handle names no flow of this stack, or one that has ended
  flow_closing = 4,       // `close` was called; nothing more can be sent
  out_of_memory = 5,      // the stack's own memory for this purpose is used up
  port_in_use = 6,        // another listener owns the application port
  no_route = 7,           // no interface route covers the peer's address
  timed_out = 8,          // the caller's deadline passed
  too_many_flows = 9,     // the flow limit is reached
  invalid_argument = 10,  // a value outside its documented range
  not_permitted = 11,     // refused by the sidecar's access rules or quota
  stack_closed = 12,      // the stack or its sidecar is gone
  // ends of flows: told to both applications
  closed_by_application = 32,  // this side called `close` and everything was delivered
  closed_by_peer = 33,         // the peer closed after its last message
  reset_by_application = 34,   // this side destroyed or reset the flow
  reset_by_peer = 35,          // the peer reset the flow
  connection_refused = 36,     // nobody listens on that application port
  handshake_timeout = 37,      // no answer to SYN until the deadline
  peer_unreachable = 38,       // the next hop to it was asked for and did not answer
  idle_timeout = 39,           // silence past the idle limit
  close_deadline = 40,         // `close` could not deliver everything in time
  protocol_error = 41,         // the peer sent what no correct peer sends
  peer_restarted = 42,         // the peer no longer knows the flow
  application_gone = 43,       // the application exited or was killed
  channel_violation = 44,      // the application broke the shared-memory protocol
  stack_shutdown = 45,         // the stack or sidecar was shut down
  cannot_send = 46,            // not even the SYN could leave this host until the deadline
};

[[nodiscard]] constexpr std::string_view text(Reason reason) noexcept {
  using enum Reason;
  switch (reason) {
    case none:
      return "no error";
    case would_block:
      return "no room now, a writable event follows";
    case message_too_large:
      return "the message is above the configured limit";
    case no_such_flow:
      return "the handle names no open flow";
    case flow_closing:
      return "the flow is closing";
    case out_of_memory:
      return "the stack's memory for this purpose is used up";
    case port_in_use:
      return "another listener owns this application port";
    case no_route:
      return "no route covers the peer's address";
    case timed_out:
      return "the deadline passed";
    case too_many_flows:
      return "the flow limit is reached";
    case invalid_argument:
      return "a value is outside its documented range";
    case not_permitted:
      return "refused by the sidecar's access rules or quota";
    case stack_closed:
      return "the stack or its sidecar is gone";
    case closed_by_application:
      return "closed by this application";
    case closed_by_peer:
      return "closed by the peer";
    case reset_by_application:
      return "reset by this application";
    case reset_by_peer:
      return "reset by the peer";
    case connection_refused:
      return "nobody listens on that application port";
    case handshake_timeout:
      return "the peer did not answer the connection request in time";
    case peer_unreachable:
      return "the peer cannot be reached";
    case idle_timeout:
      return "the peer was silent past the idle limit";
    case close_deadline:
      return "the close deadline passed before everything was delivered";
    case protocol_error:
      return "the peer broke the protocol";
    case peer_restarted:
      return "the peer no longer knows this flow";
    case application_gone:
      return "the application exited";
    case channel_violation:
      return "the application broke the shared-memory protocol";
    case stack_shutdown:
      return "the stack was shut down";
    case cannot_send:
      return "this host could not send: its packets or its NIC's queue were used up";
  }
  return "unknown reason";  // a value from a newer peer
}

template <class T>
using Expected = tl::expected<T, Reason>;
[[nodiscard]] inline tl::unexpected<Reason> failed(Reason reason) noexcept {
  return tl::unexpected<Reason>{reason};
}

}  // namespace proa
