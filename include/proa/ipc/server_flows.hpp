// L2: the flows of one channel as the sidecar knows them, by the names both sides use.
#pragma once
#include <cstdint>
#include <optional>

#include <proa/base/fixed_ring.hpp>
#include <proa/base/seq.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/mem/zeroed_table.hpp>

namespace proa {

/// One flow of a channel. All zero: free.
struct ServerFlow {
  std::uint32_t handle = 0;
  std::uint32_t key = 0;              // the engine's name
  std::uint32_t generation = 0;       // of the next flow the sidecar opens here
  std::uint32_t first_number = 0;     // the engine's number of the first message submitted
  std::uint32_t inline_released = 0;  // cumulative; told in progress events
  bool open = false;
  bool has_number = false;
  bool progress_due = false;  // listed for the next progress event
  bool reserved = false;
};

/// Threading: the engine's thread.
class ServerFlows {
 public:
  explicit ServerFlows(std::uint32_t per_side)
      : flows_max_(per_side), table_(std::size_t{per_side} * 2), recycled_(per_side) {}

  [[nodiscard]] std::uint32_t open_count() const noexcept { return open_count_; }

  /// The open flow of that name, or null: ended, or never was.
  [[nodiscard]] ServerFlow* find(ChannelHandle handle) noexcept {
    ServerFlow* flow = at(handle);
    return flow != nullptr && flow->open && flow->handle == handle.value ? flow : nullptr;
  }

  /// Null when the application may not choose that name: not its kind, out of range, in use.
  [[nodiscard]] ServerFlow* open(ChannelHandle handle, std::uint32_t key) noexcept {
    ServerFlow* flow = handle.by_sidecar() ? nullptr : at(handle);
    if (flow == nullptr || flow->open) return nullptr;
    start(*flow, handle, key);
    return flow;
  }
  /// Whether the application may choose that name now.
  [[nodiscard]] bool may_open(ChannelHandle handle) noexcept {
    const ServerFlow* flow = handle.by_sidecar() || !handle.possible() ? nullptr : at(handle);
    return flow != nullptr && !flow->open;
  }

  /// A name for a flow a peer opened; nothing when all are in use.
  [[nodiscard]] std::optional<ChannelHandle> accept(std::uint32_t key) noexcept {
    std::uint32_t index = fresh_;
    if (fresh_ < flows_max_) {
      ++fresh_;
    } else if (!recycled_.empty()) {
      index = recycled_.pop();  // the one that has rested longest
    } else {
      return std::nullopt;
    }
    ServerFlow& flow = table_[flows_max_ + index];
    const auto handle = ChannelHandle::make(true, index, flow.generation++);
    start(flow, handle, key);
    return handle;
  }

  void close(ServerFlow& flow) noexcept {
    const ChannelHandle handle{flow.handle};
    flow.open = false;
    flow.progress_due = false;
    --open_count_;
    if (handle.by_sidecar()) static_cast<void>(recycled_.push(handle.index()));
  }

 private:
  [[nodiscard]] ServerFlow* at(ChannelHandle handle) noexcept {
    if (handle.index() >= flows_max_) return nullptr;
    return &table_[(handle.by_sidecar() ? flows_max_ : 0U) + handle.index()];
  }
  void start(ServerFlow& flow, ChannelHandle handle, std::uint32_t key) noexcept {
    const std::uint32_t generation = flow.generation;
    flow = ServerFlow{};
    flow.generation = generation;
    flow.handle = handle.value;
    flow.key = key;
    flow.open = true;
    ++open_count_;
  }

  std::uint32_t flows_max_;
  ZeroedTable<ServerFlow> table_;  // the application's names, then the sidecar's
  FixedRing<std::uint32_t> recycled_;
  std::uint32_t fresh_ = 0;
  std::uint32_t open_count_ = 0;
};

}  // namespace proa
