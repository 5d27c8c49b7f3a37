// L3: the application's side of an engine: direct calls (InProcess) or channels (sidecar).
#pragma once
#include <concepts>
#include <cstdint>
#include <optional>

#include <proa/mem/message_memory.hpp>
#include <proa/transport/events.hpp>
#include <proa/wire/address.hpp>

namespace proa {

/// An engine's name for a flow in its table: index and generation. Stale keys find nothing.
struct FlowKey {
  std::uint32_t value = 0;
  friend constexpr bool operator==(FlowKey, FlowKey) = default;
};

/// Which application (InProcess: always 0; sidecar: which channel) and its own handle of the flow.
struct AppCookie {
  std::uint32_t app = 0;
  std::uint32_t handle = 0;
  friend constexpr bool operator==(AppCookie, AppCookie) = default;
};

/// What an engine asks of the application's side. All calls come from the engine's thread.
/// - pull(engine, now): at the start of each turn: hand over what the application asked for by
///   calling engine.connect/submit/close/reset/listen; returns how many requests it handled.
/// - accept(app, key, local, peer): a peer's flow for a listener of `app` is established: name it;
///   nothing refuses the flow (quota, application gone).
/// - room(app): whether one more event can be delivered now; the engine keeps events in their flow
///   until it can.
/// - deliver(cookie, key, event): takes the event (and a message's block). `closed` is the last one
///   for that cookie.
/// - memory(app): the message memory of that application's flows; outlives them.
/// - publish(now): at the end of a turn: make what was delivered visible, ring doorbells.
template <class A, class EngineT>
concept AppSideOf = MessageMemory<typename A::Memory> &&
    requires(A& side, EngineT& engine, Instant now, std::uint32_t app, FlowKey key,
             AppCookie cookie, const Endpoint& at, const FlowEvent& event) {
  { side.pull(engine, now) }
  noexcept->std::same_as<std::uint32_t>;
  { side.accept(app, key, at, at) }
  noexcept->std::same_as<std::optional<AppCookie>>;
  { side.room(app) }
  noexcept->std::same_as<bool>;
  { side.deliver(cookie, key, event) }
  noexcept->std::same_as<void>;
  { side.memory(app) }
  noexcept->std::same_as<typename A::Memory&>;
  { side.publish(now) }
  noexcept->std::same_as<void>;
};

}  // namespace proa
