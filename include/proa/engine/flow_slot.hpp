// L3: what an engine keeps per flow beside the flow itself, and per application.
#pragma once
#include <cstdint>
#include <utility>

#include <proa/engine/app_side.hpp>
#include <proa/engine/header_template.hpp>
#include <proa/engine/slot_list.hpp>

namespace proa::detail {

/// Which list of the engine a flow that wants to transmit stands in.
enum class SendList : std::uint8_t { none, active, waiting_for_neighbour };

template <class FlowT>
struct FlowSlot {
  template <class... Arguments>
  FlowSlot(AppCookie owner, const HeaderTemplate& headers, Arguments&&... arguments) noexcept
      : flow(std::forward<Arguments>(arguments)...), header(headers), cookie(owner) {}

  FlowT flow;
  HeaderTemplate header;
  AppCookie cookie;
  SlotLink send, events, memory, app;
  std::int32_t deficit = 0;  // bytes this flow may still send in its round
  SendList send_list = SendList::none;
  bool named = false;     // the application knows the flow by `cookie`
  bool closing = false;   // the application called close
  bool orphaned = false;  // its application is gone: nobody to tell
  bool ended = false;     // `closed` was delivered
  bool loopback = false;  // the peer's address is our own
  bool touched = false;   // to be settled before the next sleep
  bool dry = false;       // asked for packets in this turn until it had none
};

struct AppState {
  SlotList flows;
  SlotList events;  // flows whose events wait for room
  SlotList memory;  // flows that wait for receive memory, first come first served
  std::uint32_t flow_count = 0;
};

}  // namespace proa::detail
