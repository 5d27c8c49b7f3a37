// L4: the public face: one stack, whatever it is placed in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/fixed_ring.hpp>
#include <proa/stack/deadline.hpp>
#include <proa/stack/error.hpp>
#include <proa/stack/event.hpp>
#include <proa/stack/message.hpp>
#include <proa/stack/placement.hpp>

namespace proa {

class Sidecar;  // stack/sidecar.hpp

struct SendOptions {
  bool notify = false;  // a `sent` event follows once the peer has the message
};

/// Reliable messages over flows. A stack, its buffers and messages belong to one thread.
/// `send` queues; `poll`, `wait` and `flush` transmit what has not filled a packet yet. Destroying
/// it resets open flows; what messages and buffers are still held stays valid.
template <class P = Sidecar>
class Stack {
 public:
  using Options = typename P::Options;
  using Home = LeaseHome<typename P::Memory>;
  using Event = BasicEvent<Home>;
  using Message = BasicMessage<Home>;
  using Buffer = BasicBuffer<Home>;
  using FlowInfo = typename P::FlowInfo;
  using Counters = typename P::Counters;

  /// The error is one sentence with the remedy.
  [[nodiscard]] static tl::expected<Stack, std::string> open(const Options& options) {
    static_assert(Placement<P>);
    auto placement = P::open(options);
    if (!placement) return tl::unexpected{std::move(placement).error()};
    return Stack{std::move(*placement)};
  }
  /// The same with a queue pair of a port that others use too.
  template <class PortT>
  [[nodiscard]] static tl::expected<Stack, std::string> open(PortT& port, const Options& options) {
    auto placement = P::open(port, options);
    if (!placement) return tl::unexpected{std::move(placement).error()};
    return Stack{std::move(*placement)};
  }
  /// The same on a queue pair that somebody else has set up, as DpdkNic::adopt() names it.
  template <class NicT>
  [[nodiscard]] static tl::expected<Stack, std::string> adopt(NicT nic, const Options& options) {
    auto placement = P::adopt(std::move(nic), options);
    if (!placement) return tl::unexpected{std::move(placement).error()};
    return Stack{std::move(*placement)};
  }
  /// These throw ConfigurationError with that sentence.
  explicit Stack(const Options& options) : Stack(taken(P::open(options))) {}
  explicit Stack(const tl::expected<Options, std::string>& options)
      : Stack(options ? options.value() : throw ConfigurationError(options.error())) {}
  template <class PortT>
  Stack(PortT& port, const Options& options) : Stack(taken(P::open(port, options))) {}

  Stack(Stack&&) noexcept = default;
  Stack& operator=(Stack&& other) noexcept {
    std::swap(placement_, other.placement_);
    std::swap(deferred_, other.deferred_);
    return *this;
  }
  ~Stack() {
    if (placement_) give_back_deferred();
  }

  /// `accepted` events follow for flows that peers open to that port.
  Result<void> listen(Listen to) noexcept { return result(placement_->listen(to)); }
  /// Where listen() of the same began; flows accepted before stay open.
  Result<void> unlisten(Listen to) noexcept { return result(placement_->unlisten(to)); }

  /// Over the interface with the longest prefix, of its networks and routes, that covers the peer's
  /// address; no_route: none has any. Returns at once; `connected` or `closed` follows.
  [[nodiscard]] Result<FlowHandle> connect(const Endpoint& peer) noexcept {
    return result(placement_->connect(peer, later(placement_->now(), connect_limit)));
  }
  /// Returns when the flow is established, or why it cannot be. Events of other flows wait.
  [[nodiscard]] Result<FlowHandle> connect(const Endpoint& peer, Deadline deadline) noexcept;

  /// Queues a copy of `bytes`: all or nothing. would_block: one `writable` follows.
  Result<MessageNumber> send(FlowHandle flow, std::span<const std::byte> bytes,
                             SendOptions options = {}) noexcept {
    MessageNumber number;
    const Reason why = placement_->send_copy(flow, bytes, options.notify, number);
    if (why != Reason::none) return refused(why);
    return number;
  }
  /// Queues the buffer itself. On error it stays the caller's.
  Result<MessageNumber> send(FlowHandle flow, Buffer&& buffer, SendOptions options = {}) noexcept {
    if (!buffer) return refused(Reason::out_of_memory);
    if (!buffer.belongs_to(placement_->home())) return refused(Reason::invalid_argument);
    MessageNumber number;
    const Reason why = placement_->send(flow, buffer.block(), options.notify, number);
    if (why != Reason::none) return refused(why);
    buffer.taken();
    return number;
  }
  /// Memory for a message of `size` bytes; empty when there is none left or the size is too large.
  /// `flow`: where it will go. Where a sidecar has several interfaces each has memory of its own,
  /// and a buffer that goes to a flow of another one is copied.
  [[nodiscard]] Buffer allocate(std::size_t size, FlowHandle flow = {}) noexcept {
    if (size > UINT32_MAX) return {};
    const auto block = placement_->allocate(static_cast<std::uint32_t>(size), flow);
    return block ? Buffer{placement_->home(), *block} : Buffer{};
  }

  /// The next event. With none waiting it lets things happen once; never blocks.
  [[nodiscard]] std::optional<Event> poll() noexcept {
    if (!take_event(event_)) {
      placement_->turn();
      if (!placement_->take_event(event_)) return std::nullopt;
    }
    return std::optional<Event>{std::in_place, event_, placement_->home()};
  }
  /// Waits until poll() has an event; false: the deadline came first.
  [[nodiscard]] bool wait(Deadline deadline) noexcept;
  /// Hands over what send() queued, without waiting for anything.
  void flush() noexcept { placement_->flush(); }

  /// Delivers what was sent, then ends the flow; what is not delivered by the deadline is given up.
  Result<void> close(FlowHandle flow, Deadline deadline = std::chrono::seconds{5}) noexcept {
    return result(placement_->close(flow, deadline.from(placement_->now())));
  }
  /// Ends the flow now, unsent messages included; the peer is told.
  Result<void> reset(FlowHandle flow) noexcept { return result(placement_->reset(flow)); }
  /// Lets closed flows finish; true: all have. Their events wait for poll().
  [[nodiscard]] bool drain(Deadline deadline) noexcept;

  [[nodiscard]] Result<FlowInfo> flow_info(FlowHandle flow) noexcept {
    return result(placement_->flow_info(flow));
  }
  [[nodiscard]] Counters counters() noexcept { return placement_->counters(); }
  /// Those in use, with their addresses: one in process, one or several of a sidecar.
  [[nodiscard]] std::vector<InterfaceInfo> interfaces() const { return placement_->interfaces(); }

  /// For epoll or Asio: readable after arm() when poll() has something to do. arm() == false:
  /// events wait already, poll first.
  [[nodiscard]] int native_handle() const noexcept { return placement_->native_handle(); }
  [[nodiscard]] bool arm() noexcept {
    placement_->flush();
    return deferred_.empty() && placement_->arm();
  }

  /// The clock this stack's deadlines are read from.
  [[nodiscard]] Instant now() noexcept { return placement_->now(); }
  [[nodiscard]] P& placement() noexcept { return *placement_; }

 private:
  static constexpr std::size_t deferred_max = 4096;
  static constexpr Duration connect_limit = std::chrono::seconds{5};

  explicit Stack(std::unique_ptr<P> placement)
      : placement_(std::move(placement)), deferred_(deferred_max) {}

  static std::unique_ptr<P> taken(tl::expected<std::unique_ptr<P>, std::string> opened) {
    if (!opened) throw ConfigurationError(opened.error());
    return std::move(*opened);
  }
  template <class T>
  static Result<T> result(const Expected<T>& from) noexcept {
    if (!from) return refused(from.error());
    if constexpr (std::is_void_v<T>)
      return {};
    else
      return *from;
  }

  bool take_event(PlacementEvent& event) noexcept {
    if (deferred_.empty()) [[likely]]
      return placement_->take_event(event);
    event = deferred_.pop();
    return true;
  }
  void give_back_deferred() noexcept {
    while (!deferred_.empty()) {
      const PlacementEvent event = deferred_.pop();
      if (event.kind == EventKind::message) placement_->home().memory().release(event.message);
    }
  }
  std::optional<Expected<FlowHandle>> outcome_of(FlowHandle flow) noexcept;

  std::unique_ptr<P> placement_;
  PlacementEvent event_;                // the last one taken: making an empty one each time costs
  FixedRing<PlacementEvent> deferred_;  // read while a blocking call looked for another event
};

template <class P>
std::optional<Expected<FlowHandle>> Stack<P>::outcome_of(FlowHandle flow) noexcept {
  PlacementEvent event;
  while (!deferred_.full() && placement_->take_event(event)) {
    if (event.flow == flow && event.kind == EventKind::connected) return flow;
    if (event.flow == flow && event.kind == EventKind::closed) return failed(event.reason);
    static_cast<void>(deferred_.push(event));
  }
  return std::nullopt;
}

template <class P>
Result<FlowHandle> Stack<P>::connect(const Endpoint& peer, Deadline deadline) noexcept {
  const Instant until = deadline.from(placement_->now());
  const auto flow = placement_->connect(peer, until);
  if (!flow) return refused(flow.error());
  // The flow itself gives up at the deadline; the slack is for hearing of it.
  const Instant give_up = later(until, std::chrono::milliseconds{100});
  while (true) {
    if (const auto outcome = outcome_of(*flow)) return result(*outcome);
    placement_->turn();
    if (const auto outcome = outcome_of(*flow)) return result(*outcome);
    if (placement_->now() >= give_up) break;
    placement_->sleep(give_up);
  }
  static_cast<void>(placement_->reset(*flow));
  return refused(Reason::timed_out);
}

template <class P>
bool Stack<P>::wait(Deadline deadline) noexcept {
  const Instant until = deadline.from(placement_->now());
  while (true) {
    PlacementEvent event;
    if (!deferred_.empty()) return true;
    if (placement_->take_event(event)) return deferred_.push(event);
    placement_->turn();
    if (placement_->take_event(event)) return deferred_.push(event);
    if (placement_->now() >= until) return false;
    placement_->sleep(until);
  }
}

template <class P>
bool Stack<P>::drain(Deadline deadline) noexcept {
  const Instant until = deadline.from(placement_->now());
  while (placement_->closing_flows() != 0) {
    placement_->turn();
    PlacementEvent event;
    while (!deferred_.full() && placement_->take_event(event))
      static_cast<void>(deferred_.push(event));
    if (placement_->closing_flows() == 0) break;
    if (placement_->now() >= until) return false;
    placement_->sleep(until);
  }
  return true;
}

}  // namespace proa
