// L3: what an engine keeps per flow beside the flow itself, and per application.
#pragma once
#include <bit>
#include <cstdint>
#include <utility>

#include <proa/base/time.hpp>
#include <proa/engine/app_side.hpp>
#include <proa/engine/flow_table.hpp>
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

  /// Another packet of the flow. True: the peer is to be asked for another path.
  bool note_arrival(UdpPorts ports, bool by_another_engine) noexcept {
    if (!(heard_on == ports)) {  // the peer has changed it already
      heard_on = ports;
      handed_over = 0;
    }
    handed_over = handed_over << 1U | (by_another_engine ? 1U : 0U);
    return is_misrouted();
  }
  /// The first packet of the flow: it says as much as many.
  void note_first_arrival(UdpPorts ports, bool by_another_engine) noexcept {
    heard_on = ports;
    handed_over = by_another_engine ? (1U << misrouted_from) - 1 : 0;
  }
  [[nodiscard]] bool is_misrouted() const noexcept {
    return std::popcount(handed_over) >= misrouted_from;
  }

  static constexpr int misrouted_from = 8;  // of 32

  FlowT flow;
  HeaderTemplate header;
  AppCookie cookie;
  SlotLink send, events, memory, app;
  std::int32_t deficit = 0;  // bytes this flow may still send in its round
  SendList send_list = SendList::none;
  std::uint8_t silent = 0;  // unanswered repetitions when its path was last looked at
  // Bits: a hundred thousand idle flows hold one of these each.
  bool doubtful : 1 = false;  // the peer says that our packets reach the wrong engine
  bool former_doubtful : 1 = false;
  bool named : 1 = false;         // the application knows the flow by `cookie`
  bool closing : 1 = false;       // the application called close
  bool orphaned : 1 = false;      // its application is gone: nobody to tell
  bool ended : 1 = false;         // `closed` was delivered
  bool loopback : 1 = false;      // the peer's address is our own
  bool touched : 1 = false;       // to be settled before the next sleep
  bool dry : 1 = false;           // asked for packets in this turn until it had none
  std::uint32_t route = no_slot;  // of Paths, once the peer's engine is known
  std::uint32_t handed_over = 0;  // which of the last 32 packets another engine received
  UdpPorts heard_on;              // the pair those came by
  UdpPorts former;                // that it sent by when silence fell
  Instant left_at{};              // when it left that one: at the second repetition
  Instant path_since = Instant::min();
  Instant path_settles_at = Instant::min();  // until then the peer speaks of the former path
};

struct AppState {
  SlotList flows;
  SlotList events;  // flows whose events wait for room
  SlotList memory;  // flows that wait for receive memory, first come first served
  std::uint32_t flow_count = 0;
};

}  // namespace proa::detail
