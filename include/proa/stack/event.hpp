// L4: what happened, as the application reads it from Stack::poll().
#pragma once
#include <cstdint>

#include <proa/base/endpoint.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/stack/error.hpp>
#include <proa/stack/message.hpp>

namespace proa {

/// A stack's name for one of its flows. Never reused while anything of the flow can be observed.
struct FlowHandle {
  std::uint32_t value = 0;
  friend constexpr auto operator<=>(FlowHandle, FlowHandle) = default;
};

enum class EventKind : std::uint8_t {
  accepted,   // a peer opened `flow` to one of our listeners: `local`, `peer`
  connected,  // our connect succeeded
  message,    // `message` is the next one of `flow`
  sent,       // the peer has received every message up to and including `number`
  writable,   // what `send` refused with would_block fits now
  closed,     // the last event of `flow`; `reason` says why
};

/// An event before the application leases its message; a plain value.
struct PlacementEvent {
  EventKind kind = EventKind::closed;
  Reason reason = Reason::none;
  FlowHandle flow;
  MessageNumber number;
  MessageBlock message;  // of `message`: the block is the taker's
  Endpoint local, peer;  // of `accepted`, else whatever was there
};

template <class Home>
struct BasicEvent {
  BasicEvent() = default;
  /// Leases the message.
  BasicEvent(const PlacementEvent& from, Home& home) noexcept
      : kind(from.kind), reason(from.reason), flow(from.flow), number(from.number) {
    if (kind == EventKind::message) message = BasicMessage<Home>{home, from.message};
    if (kind != EventKind::accepted) return;
    local = from.local;
    peer = from.peer;
  }

  EventKind kind = EventKind::closed;
  Reason reason = Reason::none;
  FlowHandle flow;
  MessageNumber number;
  BasicMessage<Home> message;
  Endpoint local, peer;  // accepted only
};

}  // namespace proa
