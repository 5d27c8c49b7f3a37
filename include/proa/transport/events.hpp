// L2: what a flow tells the application's side, and what it is told on arrival of a packet.
#pragma once
#include <cstdint>

#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/mem/message_memory.hpp>

namespace proa {

enum class FlowEventKind : std::uint8_t {
  accepted,   // a peer's flow to a listener is established
  connected,  // our own connect is established
  message,    // `message` holds it; ownership of the block passes with the event
  sent,       // the peer's transport has acknowledged every message up to and including `number`
  writable,   // what was refused with would_block fits now
  closed,     // the last event of a flow; `reason` says why
};

struct FlowEvent {
  FlowEventKind kind = FlowEventKind::closed;
  Reason reason = Reason::none;
  MessageNumber number;  // message: its number; sent: the newest acknowledged one
  MessageBlock message;
};

/// The circumstances of a packet's arrival, as the engine knows them.
struct Arrival {
  Instant now{};
  Duration uncertainty{};               // how long the packet may have waited for the poller
  bool congestion_experienced = false;  // CE mark of the IP header (RFC 3168)
};

}  // namespace proa
