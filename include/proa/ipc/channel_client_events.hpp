// L2: what an application hears on its channel. Part of channel_client.hpp: include that.
#pragma once
#include <proa/ipc/channel_client.hpp>

namespace proa {

inline bool ChannelClient::poll(ChannelEvent& out) noexcept {
  SlotBody body;
  while (!lost_ && events_.peek(body)) {
    bool is_event = false;
    const std::uint32_t slots = read_event(body, out, is_event);
    if (slots == 0) break;
    if (events_.advance(slots)) done_.room = true;
    if (is_event) return true;
  }
  hand_over();
  if (lost_) return next_lost(out);
  return blocked_.empty() ? false : next_writable(out);
}

inline std::uint32_t ChannelClient::read_event(const SlotBody& body, ChannelEvent& out,
                                               bool& is_event) noexcept {
  const SlotHead head = head_of(body);
  const auto kind = static_cast<EventKindOnChannel>(head.kind);
  if (kind == EventKindOnChannel::progress) return take_progress(head, body);
  if (kind == EventKindOnChannel::blocks_released) return take_blocks(head, body);
  is_event = true;
  out = ChannelEvent{};
  out.flow = ChannelHandle{head.handle};
  if (kind == EventKindOnChannel::accepted) return take_accepted(body, out);
  ClientFlow* flow = flows_.find(out.flow);
  if (flow == nullptr) return distrust();
  switch (kind) {
    case EventKindOnChannel::connected:
      out.kind = ChannelEventKind::connected;
      return 1;
    case EventKindOnChannel::message_inline:
      return take_inline(*flow, head, body, out);
    case EventKindOnChannel::message_block:
      return take_block(*flow, body, out);
    case EventKindOnChannel::sent:
      out.kind = ChannelEventKind::sent;
      out.number = MessageNumber{content_of<NumberEvent>(body).number};
      return 1;
    case EventKindOnChannel::closed:
      out.kind = ChannelEventKind::closed;
      out.reason = static_cast<Reason>(head.flags);
      flows_.close(*flow);
      return 1;
    default:
      return distrust();
  }
}

inline std::uint32_t ChannelClient::take_accepted(const SlotBody& body,
                                                  ChannelEvent& out) noexcept {
  if (flows_.accept(out.flow) == nullptr) return distrust();
  const auto accepted = content_of<AcceptedEvent>(body);
  out.kind = ChannelEventKind::accepted;
  out.local = accepted.local.endpoint();
  out.peer = accepted.peer.endpoint();
  return 1;
}

inline std::uint32_t ChannelClient::take_inline(ClientFlow& flow, const SlotHead& head,
                                                const SlotBody& body, ChannelEvent& out) noexcept {
  if (head.length > inline_two) return distrust();
  const std::uint32_t first = std::min<std::uint32_t>(head.length, inline_one);
  SlotBody more;
  if (head.length > first && !events_.peek(more, 1)) return 0;
  const auto block =
      memory_.copy({body.data() + sizeof(SlotHead), first}, {more.data(), head.length - first});
  if (!block) return 0;  // the application holds tens of thousands of messages: later
  out.kind = ChannelEventKind::message;
  out.message = *block;
  out.number = MessageNumber{flow.received++};
  return head.length > first ? 2 : 1;
}

inline std::uint32_t ChannelClient::take_block(ClientFlow& flow, const SlotBody& body,
                                               ChannelEvent& out) noexcept {
  const auto block = memory_.lease(content_of<MessageBlockEvent>(body));
  if (!block) return distrust();
  out.kind = ChannelEventKind::message;
  out.message = *block;
  out.number = MessageNumber{flow.received++};
  return 1;
}

inline std::uint32_t ChannelClient::take_progress(const SlotHead& head,
                                                  const SlotBody& body) noexcept {
  const auto progress = content_of<ProgressEvent>(body);
  if (head.length > progress_per_slot) return distrust();
  if (progress.inline_released - inline_released_ > inline_sent_ - inline_released_)
    return distrust();
  inline_released_ = progress.inline_released;
  for (std::uint32_t i = 0; i < head.length; ++i) {
    ClientFlow* flow = flows_.find(ChannelHandle{progress.flows[i].handle});
    if (flow == nullptr) continue;  // it has ended
    const std::uint32_t released = progress.flows[i].inline_released;
    if (released - flow->inline_released > flow->inline_sent - flow->inline_released)
      return distrust();
    flow->inline_released = released;
  }
  return 1;
}

inline std::uint32_t ChannelClient::take_blocks(const SlotHead& head,
                                                const SlotBody& body) noexcept {
  if (head.length > block_ids_per_slot) return distrust();
  const auto ids = content_of<std::array<std::uint32_t, block_ids_per_slot>>(body);
  for (std::uint32_t i = 0; i < head.length; ++i) {
    const auto block = sent_.take(ids[i]);
    if (!block || !memory_.send_arena().release(block->offset)) return distrust();
    if (ClientFlow* flow = flows_.find(ChannelHandle{block->handle})) {
      --flow->blocks_out;
      flow->bytes_out -= block->length;
    }
  }
  return 1;
}

inline bool ChannelClient::fits_now(const ClientFlow& flow) noexcept {
  if (goes_inline(flow.wanted)) return fits_inline(flow, flow.wanted);
  if (!fits_block(flow, flow.wanted)) return false;
  const auto trial = memory_.send_arena().allocate(flow.wanted);
  return trial && memory_.send_arena().release(*trial);
}

inline bool ChannelClient::next_writable(ChannelEvent& out) noexcept {
  for (std::size_t n = std::min<std::size_t>(blocked_.size(), 8); n > 0; --n) {
    const std::uint32_t slot = blocked_.pop();
    ClientFlow& flow = flows_.slot(slot);
    flow.listed = flow.open && flow.blocked;
    if (!flow.listed) continue;
    if (!fits_now(flow)) {
      static_cast<void>(blocked_.push(slot));  // each slot is listed once: it fits
      continue;
    }
    flow.listed = flow.blocked = false;
    if (blocked_.empty()) sleep_.want_progress(false);
    out = ChannelEvent{};
    out.kind = ChannelEventKind::writable;
    out.flow = ChannelHandle{flow.handle};
    return true;
  }
  if (blocked_.empty()) sleep_.want_progress(false);
  return false;
}

inline bool ChannelClient::any_writable() noexcept {
  for (std::size_t i = 0; i < blocked_.size(); ++i) {
    const ClientFlow& flow = flows_.slot(blocked_[i]);
    if (flow.open && flow.blocked && fits_now(flow)) return true;
  }
  return false;
}

inline bool ChannelClient::next_lost(ChannelEvent& out) noexcept {
  while (flows_.open_count() > 0 && lost_cursor_ < flows_.slots()) {
    ClientFlow& flow = flows_.slot(lost_cursor_++);
    if (!flow.open) continue;
    out = ChannelEvent{};
    out.reason = Reason::stack_closed;
    out.flow = ChannelHandle{flow.handle};
    flows_.close(flow);
    return true;
  }
  return false;
}

}  // namespace proa
