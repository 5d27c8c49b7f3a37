// L2: what lies where in a channel's shared memory, and what its slots say. A wire format: offsets
// never pointers, no padding, one version number.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <proa/base/endpoint.hpp>
#include <proa/ipc/ring.hpp>
#include <proa/mem/arena.hpp>

namespace proa {

inline constexpr std::uint32_t channel_layout_version = 2;

/// The sizes of one channel. Decided by the sidecar, told to the application once through the
/// control socket; each side keeps its own copy in private memory and looks at no other.
struct ChannelGeometry {
  std::uint64_t send_bytes = std::uint64_t{64} << 20;     // arena the application sends from
  std::uint64_t receive_bytes = std::uint64_t{64} << 20;  // arena it receives in
  std::uint32_t request_slots = 1024;                     // ring: application to sidecar
  std::uint32_t event_slots = 1024;                       // ring: sidecar to application
  std::uint32_t flows_max = 16'384;  // per side that opens them, so twice as many in all
  std::uint32_t message_bytes_max = 8U << 20;
  std::uint32_t flow_messages_max = 16'384;  // submitted and not acknowledged, per flow
  std::uint32_t flow_bytes_max = 32U << 20;  // the same in bytes; one message always may
  std::uint32_t inline_messages_max =
      16'384;                         // of the channel: travelled in slots, not acknowledged
  std::uint32_t blocks_max = 16'384;  // of the channel: sent from the arena, not acknowledged
  std::uint32_t leases_max = 16'384;  // received messages the application holds
  std::uint32_t return_slots = 64;    // ring of returned leases: never behind a waiting request

  friend bool operator==(const ChannelGeometry&, const ChannelGeometry&) = default;
};
static_assert(std::has_unique_object_representations_v<ChannelGeometry>);

namespace detail {

inline constexpr std::uint32_t slots_min = 64;  // a quarter of it holds what one turn may produce
inline constexpr std::uint32_t slots_max = 1U << 16U;
inline constexpr std::uint64_t arena_bytes_min = 1U << 20U;
inline constexpr std::uint64_t arena_bytes_max = std::uint64_t{1} << 36U;

constexpr bool possible_slots(std::uint32_t slots) noexcept {
  return std::has_single_bit(slots) && slots >= slots_min && slots <= slots_max;
}
constexpr bool possible_arena(std::uint64_t bytes) noexcept {
  return bytes % Arena::page_bytes == 0 && bytes >= arena_bytes_min && bytes <= arena_bytes_max;
}
constexpr bool possible_count(std::uint32_t count, std::uint32_t max) noexcept {
  return count >= 1 && count <= max;
}

}  // namespace detail

/// Largest number of flows one side can name: 17 bits of a handle.
inline constexpr std::uint32_t channel_flows_max = 1U << 17U;
inline constexpr std::uint32_t channel_items_max = 1U << 20U;

/// Null, or what is impossible about a geometry that came from the other side or a file.
[[nodiscard]] constexpr const char* impossible(const ChannelGeometry& g) noexcept {
  using namespace detail;
  if (!possible_slots(g.request_slots) || !possible_slots(g.event_slots) ||
      !possible_slots(g.return_slots))
    return "ring sizes are powers of two from 64 to 65536";
  if (!possible_arena(g.send_bytes) || !possible_arena(g.receive_bytes))
    return "arena sizes are multiples of 64 KiB from 1 MiB to 64 GiB";
  if (!possible_count(g.flows_max, channel_flows_max)) return "flows: 1 to 131072";
  if (g.message_bytes_max > (64U << 20U) || 2ULL * g.message_bytes_max > g.send_bytes ||
      2ULL * g.message_bytes_max > g.receive_bytes)
    return "the largest message is at most 64 MiB and half of each arena";
  if (!possible_count(g.flow_messages_max, channel_items_max) ||
      !possible_count(g.inline_messages_max, channel_items_max) ||
      !possible_count(g.blocks_max, channel_items_max) ||
      !possible_count(g.leases_max, channel_items_max))
    return "message, block and lease limits are 1 to 1048576";
  return nullptr;
}
static_assert(impossible(ChannelGeometry{}) == nullptr);

/// The head of each shared region: what its writer tells the other side besides the ring.
struct ChannelHead {
  SleepLine sleep;           // the writer of this region sleeps
  ReaderLine reader;         // what it has read from the ring in the other region
  ReaderLine second_reader;  // and from its second ring
};
static_assert(std::has_unique_object_representations_v<ChannelHead>);

/// One region: head, ring, second ring, arena. Send is written by the application: requests, and
/// returned leases, which never wait behind a request. Receive is written by the sidecar: events,
/// and answers to queries, which never wait behind an event.
struct RegionLayout {
  std::uint32_t slots = 0;
  std::uint32_t second_slots = 0;
  std::uint64_t arena_bytes = 0;

  static constexpr std::uint64_t head_offset = 0;
  static constexpr std::uint64_t ring_offset = 4096;
  [[nodiscard]] constexpr std::uint64_t second_offset() const noexcept {
    return ring_offset + std::uint64_t{slots} * sizeof(RingSlot);
  }
  [[nodiscard]] constexpr std::uint64_t arena_offset() const noexcept {
    const std::uint64_t end = second_offset() + std::uint64_t{second_slots} * sizeof(RingSlot);
    return (end + 4095) / 4096 * 4096;
  }
  [[nodiscard]] constexpr std::uint64_t bytes() const noexcept {
    return arena_offset() + arena_bytes;
  }
};
static_assert(sizeof(ChannelHead) <= RegionLayout::ring_offset);

inline constexpr std::uint32_t answer_slots = 64;

[[nodiscard]] constexpr RegionLayout send_layout(const ChannelGeometry& g) noexcept {
  return {g.request_slots, g.return_slots, g.send_bytes};
}
[[nodiscard]] constexpr RegionLayout receive_layout(const ChannelGeometry& g) noexcept {
  return {g.event_slots, answer_slots, g.receive_bytes};
}

/// A flow's name within its channel: bit 0 says who opened it (0 the application, 1 the sidecar),
/// then 17 bits of index and 11 of generation, so that a name is not met again for a long time. The
/// three above are zero: there an application with several channels writes whose name it is.
struct ChannelHandle {
  std::uint32_t value = 0;
  static constexpr std::uint32_t bits = 29;

  [[nodiscard]] static constexpr ChannelHandle make(bool by_sidecar, std::uint32_t index,
                                                    std::uint32_t generation) noexcept {
    return {((generation & 0x7ffU) << 18U) | (index << 1U) | (by_sidecar ? 1U : 0U)};
  }
  [[nodiscard]] constexpr bool by_sidecar() const noexcept { return (value & 1U) != 0; }
  [[nodiscard]] constexpr std::uint32_t index() const noexcept {
    return (value >> 1U) & (channel_flows_max - 1);
  }
  [[nodiscard]] constexpr std::uint32_t generation() const noexcept { return value >> 18U; }
  [[nodiscard]] constexpr bool possible() const noexcept { return value >> bits == 0; }
  friend constexpr bool operator==(ChannelHandle, ChannelHandle) = default;
};

// --- slots -----------------------------------------------------------------------------------

enum class RequestKind : std::uint8_t {
  none = 0,
  connect = 1,  // ConnectRequest
  submit_inline =
      2,             // the message follows the head; more than inline_one: it goes on in a 2nd slot
  submit_block = 3,  // SubmitBlock
  close = 4,         // CloseRequest
  reset = 5,
  query = 6,  // NumberEvent: the query's number; answered in the second ring by FlowDetails
};

enum class EventKindOnChannel : std::uint8_t {
  none = 0,
  accepted = 1,         // AcceptedEvent
  connected = 2,        //
  message_inline = 3,   // as submit_inline
  message_block = 4,    // MessageBlockEvent
  sent = 5,             // NumberEvent: messages of this flow known to be received
  progress = 6,         // ProgressEvent with `length` flows
  blocks_released = 7,  // `length` block ids
  closed = 8,           // `flags` is the Reason
};

/// The first 8 bytes of a slot's body; 52 bytes of content follow.
struct SlotHead {
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  std::uint16_t length = 0;
  std::uint32_t handle = 0;
};
static_assert(sizeof(SlotHead) == 8);

inline constexpr std::uint8_t submit_flag_notify = 1;
inline constexpr std::uint32_t inline_one = sizeof(SlotBody) - sizeof(SlotHead);  // 52
inline constexpr std::uint32_t inline_two = inline_one + sizeof(SlotBody);        // 112

struct ChannelEndpoint {
  std::array<std::uint8_t, 16> address{};
  std::uint32_t port = 0;

  [[nodiscard]] static ChannelEndpoint of(const Endpoint& e) noexcept {
    return {e.address.octets, e.port};
  }
  [[nodiscard]] Endpoint endpoint() const noexcept {
    return {IpAddress{address}, static_cast<std::uint16_t>(port)};
  }
};

struct ConnectRequest {
  std::int64_t deadline_ns = 0;  // of the handshake, monotonic clock
  ChannelEndpoint peer;
  std::uint32_t reserved = 0;
};
struct SubmitBlock {
  std::uint64_t offset = 0;  // in the send arena
  std::uint32_t length = 0;
  std::uint32_t id = 0;  // the application's name for the block; comes back in blocks_released
};
struct CloseRequest {
  std::int64_t deadline_ns = 0;
};
struct LeaseName {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
};
inline constexpr std::uint32_t leases_per_slot =
    6;  // a slot of the returns ring: head.length of them

struct AcceptedEvent {
  ChannelEndpoint local;
  ChannelEndpoint peer;
};
struct MessageBlockEvent {
  std::uint64_t offset = 0;  // in the receive arena
  std::uint32_t length = 0;
  std::uint32_t reserved = 0;
  LeaseName lease;
};
struct NumberEvent {
  std::uint32_t number = 0;
};
struct FlowProgress {
  std::uint32_t handle = 0;
  std::uint32_t inline_released = 0;  // cumulative messages of the flow that travelled in slots
};
inline constexpr std::uint32_t progress_per_slot = 6;
struct ProgressEvent {
  std::uint32_t inline_released = 0;  // cumulative, all flows of the channel, ended ones too
  std::array<FlowProgress, progress_per_slot> flows{};
};
inline constexpr std::uint32_t block_ids_per_slot = inline_one / sizeof(std::uint32_t);  // 13

/// An answer: two slots, the head with the query's number as handle and `length` 0 for "no such
/// flow", then this across both.
struct FlowDetails {
  std::int64_t smoothed_rtt_ns = 0;
  std::int64_t minimum_rtt_ns = 0;
  std::int64_t rtt_variation_ns = 0;
  std::uint32_t window_bytes = 0;
  std::uint32_t in_flight_bytes = 0;
  std::uint32_t credit_left_bytes = 0;
  std::uint32_t queued_messages = 0;
  std::uint64_t queued_bytes = 0;
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t packets_lost = 0;
  ChannelEndpoint local;
  ChannelEndpoint peer;
};
static_assert(sizeof(FlowDetails) == inline_two &&
              std::has_unique_object_representations_v<FlowDetails>);

template <class T>
concept SlotContent = std::is_trivially_copyable_v<T> &&
                      std::has_unique_object_representations_v<T> && sizeof(T) <= inline_one;

static_assert(SlotContent<ConnectRequest> && SlotContent<SubmitBlock> &&
              SlotContent<CloseRequest> && SlotContent<std::array<LeaseName, leases_per_slot>> &&
              SlotContent<AcceptedEvent> && SlotContent<MessageBlockEvent> &&
              SlotContent<NumberEvent> && SlotContent<ProgressEvent> &&
              SlotContent<std::array<std::uint32_t, block_ids_per_slot>>);

/// Reads the head and the content of a slot that was copied out of shared memory.
[[nodiscard]] inline SlotHead head_of(const SlotBody& body) noexcept {
  SlotHead head;
  std::memcpy(&head, body.data(), sizeof head);
  return head;
}
template <SlotContent T>
[[nodiscard]] T content_of(const SlotBody& body) noexcept {
  T content;
  std::memcpy(&content, body.data() + sizeof(SlotHead), sizeof content);
  return content;
}

/// Writes into a slot's body in shared memory.
inline void put_head(std::byte* body, const SlotHead& head) noexcept {
  std::memcpy(body, &head, sizeof head);
}
template <SlotContent T>
void put_content(std::byte* body, const T& content) noexcept {
  std::memcpy(body + sizeof(SlotHead), &content, sizeof content);
}

}  // namespace proa
