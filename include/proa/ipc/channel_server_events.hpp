// L2: how a channel tells its application of events. Part of channel_server.hpp: include that.
#pragma once
#include <proa/ipc/channel_server.hpp>

namespace proa {

inline bool ChannelServer::room() noexcept {
  if (!serving_) return true;  // nothing more is written: everything fits
  if (events_.room(slots_kept + 2) >= slots_kept + 2) return !leases_.full();
  if (events_.broken()) fail(ChannelFault::bad_counter);
  return !serving_;
}

inline std::optional<ChannelHandle> ChannelServer::accept(std::uint32_t key, const Endpoint& local,
                                                          const Endpoint& peer) noexcept {
  if (!serving_ || events_.room() == 0) return std::nullopt;
  const auto handle = flows_.accept(key);
  if (!handle) return std::nullopt;
  std::byte* body = event(EventKindOnChannel::accepted, *handle);
  put_content(body, AcceptedEvent{ChannelEndpoint::of(local), ChannelEndpoint::of(peer)});
  write(1);
  return handle;
}

inline void ChannelServer::deliver_connected(ChannelHandle handle) noexcept {
  if (!serving_) return;
  event(EventKindOnChannel::connected, handle);
  write(1);
}

inline void ChannelServer::deliver_message(ChannelHandle handle,
                                           const MessageBlock& block) noexcept {
  if (!serving_) {
    memory_.release(block);
  } else if (block.length <= inline_two) {
    write(put_inline(handle, block));
    memory_.release(block);
  } else {
    std::byte* body = event(EventKindOnChannel::message_block, handle);
    put_content(body,
                MessageBlockEvent{memory_.offset_of(block), block.length, 0, leases_.lend(block)});
    write(1);
  }
}

inline void ChannelServer::deliver_sent(ChannelHandle handle, MessageNumber number) noexcept {
  const ServerFlow* flow = flows_.find(handle);
  if (!serving_ || flow == nullptr) return;
  std::byte* body = event(EventKindOnChannel::sent, handle);
  put_content(body, NumberEvent{number.since(MessageNumber{flow->first_number})});
  write(1);
}

inline void ChannelServer::deliver_closed(ChannelHandle handle, Reason reason) noexcept {
  if (ServerFlow* flow = flows_.find(handle)) flows_.close(*flow);
  if (!serving_) return;
  put_head(events_.body(), {static_cast<std::uint8_t>(EventKindOnChannel::closed),
                            static_cast<std::uint8_t>(reason), 0, handle.value});
  write(1);
}

inline std::uint32_t ChannelServer::put_inline(ChannelHandle handle,
                                               const MessageBlock& block) noexcept {
  std::byte* body = event(EventKindOnChannel::message_inline, handle, block.length);
  const std::uint32_t first = std::min(block.length, inline_one);
  std::memcpy(body + sizeof(SlotHead), block.data, first);
  if (first == block.length) return 1;
  std::memcpy(events_.body(1), block.data + first, block.length - first);
  return 2;
}

inline void ChannelServer::publish_progress(bool all) noexcept {
  if (serving_) {
    const bool wanted = watch_.wants_progress();
    SendReleases& r = memory_.releases();
    const std::uint32_t blocks = static_cast<std::uint32_t>(r.block_ids.size());
    if (blocks != 0 &&
        (all || wanted || blocks >= block_ids_per_slot || r.block_bytes >= block_bytes_due))
      tell_blocks();
    const std::uint32_t inlines = static_cast<std::uint32_t>(r.flows.size());
    if (inlines != 0 && (all || wanted || inlines >= inline_due())) tell_inline();
  }
  if (watch_.must_ring(std::exchange(done_, Published{}))) bell_.ring();
}

inline void ChannelServer::tell_blocks() noexcept {
  SendReleases& r = memory_.releases();
  while (!r.block_ids.empty() && events_.room() > 0) {
    std::array<std::uint32_t, block_ids_per_slot> ids{};
    const auto n =
        std::min<std::uint32_t>(block_ids_per_slot, static_cast<std::uint32_t>(r.block_ids.size()));
    for (std::uint32_t i = 0; i < n; ++i) ids[i] = r.block_ids.pop();
    put_content(event(EventKindOnChannel::blocks_released, {}, n), ids);
    memory_.told_blocks(n);
    events_.publish(1);
    done_.progress = true;
  }
  if (r.block_ids.empty()) r.block_bytes = 0;
}

inline void ChannelServer::tell_inline() noexcept {
  FixedRing<std::uint32_t>& names = memory_.releases().flows;
  while (!names.empty() && events_.room() > 0) {
    ProgressEvent progress;
    std::uint32_t flows = 0;
    std::array<ServerFlow*, progress_per_slot> listed{};
    while (!names.empty()) {
      ServerFlow* flow = flows_.find(ChannelHandle{names.front()});
      if (flow != nullptr && !flow->progress_due) {
        if (flows == progress_per_slot) break;
        flow->progress_due = true;
        listed[flows++] = flow;
      }
      if (flow != nullptr) ++flow->inline_released;
      ++inline_told_;
      memory_.told_inline(1);
      static_cast<void>(names.pop());
    }
    progress.inline_released = inline_told_;
    for (std::uint32_t i = 0; i < flows; ++i) {
      progress.flows[i] = {listed[i]->handle, listed[i]->inline_released};
      listed[i]->progress_due = false;
    }
    put_content(event(EventKindOnChannel::progress, {}, flows), progress);
    events_.publish(1);
    done_.progress = true;
  }
}

}  // namespace proa
