// L2: the application's book of its channel: flows, what each has under way, blocks by name.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>

#include <proa/base/fixed_ring.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/mem/zeroed_table.hpp>

namespace proa {

/// One flow of a channel. All zero: free.
struct ClientFlow {
  std::uint32_t handle = 0;
  std::uint32_t generation = 0;       // of the next flow opened here
  std::uint32_t submitted = 0;        // messages; the number of the next one
  std::uint32_t received = 0;         // messages; the number of the next one
  std::uint32_t inline_sent = 0;      // cumulative
  std::uint32_t inline_released = 0;  // cumulative, as told
  std::uint32_t blocks_out = 0;
  std::uint32_t wanted = 0;     // bytes that send refused with would_block
  std::uint64_t bytes_out = 0;  // of blocks_out
  std::int64_t close_deadline_ns = 0;
  bool open = false;
  bool closing = false;  // close or reset was called
  bool blocked = false;
  bool listed = false;      // in the list of blocked flows
  bool end_listed = false;  // in the list of ends the request ring has no room for yet
  enum class End : std::uint8_t { none, close, reset } end = End::none;  // to be requested

  [[nodiscard]] std::uint32_t messages_out() const noexcept {
    return inline_sent - inline_released + blocks_out;
  }
};

/// Threading: the stack's thread. May throw std::bad_alloc at construction only.
class ClientFlows {
 public:
  explicit ClientFlows(std::uint32_t per_side)
      : flows_max_(per_side), table_(std::size_t{per_side} * 2), recycled_(per_side) {}

  [[nodiscard]] std::uint32_t open_count() const noexcept { return open_count_; }
  [[nodiscard]] std::uint32_t closing_count() const noexcept { return closing_count_; }
  void mark_closing(ClientFlow& flow) noexcept {
    if (!flow.closing) ++closing_count_;
    flow.closing = true;
  }
  [[nodiscard]] std::uint32_t slots() const noexcept { return flows_max_ * 2; }
  [[nodiscard]] ClientFlow& slot(std::uint32_t index) noexcept { return table_[index]; }

  [[nodiscard]] std::uint32_t slot_of(const ClientFlow& flow) const noexcept {
    return static_cast<std::uint32_t>(&flow - &table_[0]);
  }

  [[nodiscard]] ClientFlow* find(ChannelHandle handle) noexcept {
    ClientFlow* flow = at(handle);
    return flow != nullptr && flow->open && flow->handle == handle.value ? flow : nullptr;
  }

  /// A name for a flow the application opens; null when all are in use.
  [[nodiscard]] ClientFlow* connect() noexcept {
    std::uint32_t index = fresh_;
    if (fresh_ < flows_max_)
      ++fresh_;
    else if (!recycled_.empty())
      index = recycled_.pop();  // the one that has rested longest
    else
      return nullptr;
    ClientFlow& flow = table_[index];
    start(flow, ChannelHandle::make(false, index, flow.generation++));
    return &flow;
  }
  /// The name the sidecar chose; null when it may not.
  [[nodiscard]] ClientFlow* accept(ChannelHandle handle) noexcept {
    ClientFlow* flow = handle.by_sidecar() && handle.possible() ? at(handle) : nullptr;
    if (flow == nullptr || flow->open) return nullptr;
    start(*flow, handle);
    return flow;
  }
  /// The flow has ended.
  void close(ClientFlow& flow) noexcept {
    const ChannelHandle handle{flow.handle};
    if (flow.closing) --closing_count_;
    flow.open = flow.blocked = flow.closing = false;
    flow.end = ClientFlow::End::none;
    --open_count_;
    if (!handle.by_sidecar()) static_cast<void>(recycled_.push(handle.index()));
  }

 private:
  [[nodiscard]] ClientFlow* at(ChannelHandle handle) noexcept {
    if (handle.index() >= flows_max_) return nullptr;
    return &table_[(handle.by_sidecar() ? flows_max_ : 0U) + handle.index()];
  }
  void start(ClientFlow& flow, ChannelHandle handle) noexcept {
    const std::uint32_t generation = flow.generation;
    const bool listed = flow.listed, end_listed = flow.end_listed;
    flow = ClientFlow{};
    flow.end_listed = end_listed;
    flow.generation = generation;
    flow.listed = listed;
    flow.handle = handle.value;
    flow.open = true;
    ++open_count_;
  }

  std::uint32_t flows_max_;
  ZeroedTable<ClientFlow> table_;  // the application's names, then the sidecar's
  FixedRing<std::uint32_t> recycled_;
  std::uint32_t fresh_ = 0;
  std::uint32_t open_count_ = 0;
  std::uint32_t closing_count_ = 0;  // of the open ones
};

/// Blocks the sidecar may still read, by the id it will name them with.
class SentBlocks {
 public:
  struct Block {
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t handle = 0;
    std::uint32_t next_free = 0;  // id + 1 of the next free one
    std::uint32_t out = 0;
  };

  explicit SentBlocks(std::uint32_t blocks_max) : blocks_(blocks_max) {}

  [[nodiscard]] bool full() const noexcept { return free_ == 0 && fresh_ == blocks_.size(); }
  /// Not full.
  [[nodiscard]] std::uint32_t add(std::uint64_t offset, std::uint32_t length,
                                  ChannelHandle flow) noexcept {
    const std::uint32_t id = free_ != 0 ? free_ - 1 : fresh_++;
    Block& block = blocks_[id];
    if (free_ != 0) free_ = block.next_free;
    block = {offset, length, flow.value, 0, 1};
    return id;
  }
  /// Nothing when no such block is out.
  [[nodiscard]] std::optional<Block> take(std::uint32_t id) noexcept {
    if (id >= fresh_ || blocks_[id].out == 0) return std::nullopt;
    const Block block = blocks_[id];
    blocks_[id].out = 0;
    blocks_[id].next_free = free_;
    free_ = id + 1;
    return block;
  }

 private:
  ZeroedTable<Block> blocks_;
  std::uint32_t free_ = 0;  // id + 1
  std::uint32_t fresh_ = 0;
};

}  // namespace proa
