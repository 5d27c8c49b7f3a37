// L4: what a stack asks of the place it runs in: this thread, or a sidecar.
#pragma once
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/endpoint.hpp>
#include <proa/base/interface_info.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/stack/event.hpp>

namespace proa {

struct Listen {
  std::uint16_t port = 0;  // application port, 1 to 65535
  // Other stacks of this port, or this user's of the sidecar, may listen there too if all say so:
  // new flows spread over them, as with SO_REUSEPORT.
  bool shared = false;
  // Only on the interface that has this address; unset: on all interfaces of the stack.
  IpAddress local{};
};

/// Everything belongs to one thread. Calls other than sleep() never block.
/// - open(options): a running placement, or one sentence that says why not and what to do.
/// - now(): a fresh reading of the clock deadlines are given in.
/// - home(): where leases return to. Its memory gives blocks back by release(block).
/// - listen: on all interfaces that are meant, or on none; invalid_argument: no interface has that
///   address. interfaces: those in use; may throw std::bad_alloc.
/// - connect: `deadline` bounds the handshake; `connected` or `closed` follows.
/// - allocate: a block to write a message into, best one for that flow.
/// - send: takes a block over unless it fails. send_copy: copies. All or nothing; would_block is
///   followed by one `writable`. Reason::none: done, and `number` is the message's.
/// - take_event: the oldest event that has already come in. turn: lets things happen once: a turn
///   of the engine, a look at the channel. flush: hands over what send queued.
/// - sleep: returns when something may have happened, at the latest at the given moment.
/// - arm / native_handle: see Stack. closing_flows: flows that were closed and have not ended.
template <class P>
concept Placement = requires(P& p, const P& view, const typename P::Options& options, Instant at,
                             const Listen& to, std::uint32_t length, FlowHandle flow,
                             const Endpoint& peer, const MessageBlock& block,
                             std::span<const std::byte> bytes, bool notify, MessageNumber& number,
                             PlacementEvent& event) {
  typename P::Memory;
  typename P::FlowInfo;
  typename P::Counters;
  { P::open(options) } -> std::same_as<tl::expected<std::unique_ptr<P>, std::string>>;
  { p.now() }
  noexcept->std::same_as<Instant>;
  { p.home() }
  noexcept->std::same_as<LeaseHome<typename P::Memory>&>;
  { p.listen(to) }
  noexcept->std::same_as<Expected<void>>;
  { p.unlisten(to) }
  noexcept->std::same_as<Expected<void>>;
  { p.connect(peer, at) }
  noexcept->std::same_as<Expected<FlowHandle>>;
  { p.allocate(length, flow) }
  noexcept->std::same_as<Expected<MessageBlock>>;
  { p.send(flow, block, notify, number) }
  noexcept->std::same_as<Reason>;
  { p.send_copy(flow, bytes, notify, number) }
  noexcept->std::same_as<Reason>;
  { p.close(flow, at) }
  noexcept->std::same_as<Expected<void>>;
  { p.reset(flow) }
  noexcept->std::same_as<Expected<void>>;
  { p.take_event(event) }
  noexcept->std::same_as<bool>;
  { p.turn() }
  noexcept->std::same_as<void>;
  { p.flush() }
  noexcept->std::same_as<void>;
  { p.sleep(at) }
  noexcept->std::same_as<void>;
  { p.arm() }
  noexcept->std::same_as<bool>;
  { view.native_handle() }
  noexcept->std::same_as<int>;
  { p.closing_flows() }
  noexcept->std::same_as<std::uint32_t>;
  { p.flow_info(flow) }
  noexcept->std::same_as<Expected<typename P::FlowInfo>>;
  { p.counters() }
  noexcept->std::same_as<typename P::Counters>;
  { view.interfaces() } -> std::same_as<std::vector<InterfaceInfo>>;
};

}  // namespace proa
