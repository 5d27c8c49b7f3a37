// L4: the application's side of an engine in the same thread: calls in, a ring of events out.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <proa/engine/app_side.hpp>
#include <proa/mem/heap_memory.hpp>
#include <proa/stack/message.hpp>
#include <proa/stack/placement.hpp>

namespace proa {

/// One application, number 0. Requests reach the engine by direct calls, so pull() only sees to
/// memory that came back.
class DirectSide {
 public:
  using Memory = HeapMemory;

  explicit DirectSide(LeaseHome<HeapMemory>& home) noexcept : home_(&home) {}
  DirectSide(const DirectSide&) = delete;
  DirectSide& operator=(const DirectSide&) = delete;
  ~DirectSide() {
    PlacementEvent event;
    while (take(event))
      if (event.kind == EventKind::message) home_->memory().release(event.message);
  }

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant) noexcept {
    home_->collect();
    if (starved_count_ != 0) [[unlikely]]
      wake_starved(engine);
    return 0;
  }
  std::optional<AppCookie> accept(std::uint32_t, FlowKey key, const Endpoint& local,
                                  const Endpoint& peer) noexcept {
    accepted_local_ = local;
    accepted_peer_ = peer;
    return AppCookie{0, key.value};
  }
  [[nodiscard]] bool room(std::uint32_t) noexcept { return tail_ - head_ < events_max; }

  void deliver(AppCookie, FlowKey key, const FlowEvent& from) noexcept {
    PlacementEvent& event = events_[tail_++ % events_max];
    event.kind = kind_of(from.kind);
    event.reason = from.reason;
    event.flow = {key.value};
    event.number = from.number;
    event.message = from.message;
    if (from.kind != FlowEventKind::accepted) return;
    event.local = accepted_local_;
    event.peer = accepted_peer_;
  }
  Memory& memory(std::uint32_t) noexcept { return home_->memory(); }
  void publish(Instant) noexcept {}

  // For the placement.

  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] bool take(PlacementEvent& event) noexcept {
    if (head_ == tail_) return false;
    const PlacementEvent& from = events_[head_++ % events_max];
    event.kind = from.kind;
    event.reason = from.reason;
    event.flow = from.flow;
    event.number = from.number;
    event.message = from.message;
    if (from.kind == EventKind::accepted) {
      event.local = from.local;
      event.peer = from.peer;
    }
    if (head_ == tail_) head_ = tail_ = 0;  // the next event goes where the cache is warm
    return true;
  }

  /// The send memory had no room for `bytes`: a `writable` follows when it has.
  void note_starved(FlowKey flow, std::uint32_t bytes) noexcept {
    for (std::size_t i = 0; i < starved_count_; ++i)
      if (starved_[i].flow == flow) return;
    if (starved_count_ < starved_.size()) starved_[starved_count_++] = {flow, bytes};
  }

 private:
  static constexpr std::size_t events_max = 256;  // what comes beyond waits in its flow
  static constexpr std::size_t starved_max = 64;

  struct Starved {
    FlowKey flow;
    std::uint32_t bytes = 0;
  };

  static EventKind kind_of(FlowEventKind kind) noexcept {
    static_assert(static_cast<int>(EventKind::accepted) ==
                  static_cast<int>(FlowEventKind::accepted));
    static_assert(static_cast<int>(EventKind::sent) == static_cast<int>(FlowEventKind::sent));
    static_assert(static_cast<int>(EventKind::closed) == static_cast<int>(FlowEventKind::closed));
    return static_cast<EventKind>(kind);
  }

  template <class EngineT>
  void wake_starved(EngineT& engine) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < starved_count_; ++i) {
      const Starved waiting = starved_[i];
      if (!engine.is_open(waiting.flow)) continue;
      const auto block = home_->memory().allocate_send(waiting.bytes);
      if (block) home_->memory().release(*block);
      if (!block || !room(0)) {
        starved_[kept++] = waiting;
        continue;
      }
      deliver({}, waiting.flow, {FlowEventKind::writable, Reason::none, {}, {}});
    }
    starved_count_ = kept;
  }

  LeaseHome<HeapMemory>* home_;
  std::array<PlacementEvent, events_max> events_{};
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  Endpoint accepted_local_, accepted_peer_;
  std::array<Starved, starved_max> starved_{};
  std::size_t starved_count_ = 0;
};

}  // namespace proa
