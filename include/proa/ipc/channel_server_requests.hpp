// L2: how a channel serves what its application asks. Part of channel_server.hpp: include that.
#pragma once
#include <proa/ipc/channel_server.hpp>

namespace proa {

template <ChannelSink Sink>
std::uint32_t ChannelServer::pull(Sink& sink, std::uint32_t budget) noexcept {
  take_returns();
  std::uint32_t served = 0;
  SlotBody body;
  while (served < budget && serving_ && requests_.peek(body)) {
    const std::uint32_t slots = serve(sink, body);
    if (slots == 0) break;
    if (requests_.advance(slots)) done_.room = true;
    ++served;
  }
  return served;
}

template <ChannelSink Sink>
std::uint32_t ChannelServer::serve(Sink& sink, const SlotBody& body) noexcept {
  const SlotHead head = head_of(body);
  const ChannelHandle handle{head.handle};
  switch (static_cast<RequestKind>(head.kind)) {
    case RequestKind::connect:
      return serve_connect(sink, handle, content_of<ConnectRequest>(body));
    case RequestKind::submit_inline:
      return serve_inline(sink, head, body);
    case RequestKind::submit_block:
      return serve_block(sink, head, content_of<SubmitBlock>(body));
    case RequestKind::close:
      if (const ServerFlow* flow = flows_.find(handle))
        sink.close(flow->key, deadline(content_of<CloseRequest>(body).deadline_ns));
      return 1;
    case RequestKind::reset:
      if (const ServerFlow* flow = flows_.find(handle)) sink.reset(flow->key);
      return 1;
    case RequestKind::query:
      return serve_query(sink, handle, content_of<NumberEvent>(body).number);
    case RequestKind::none:
      break;
  }
  return refuse(ChannelFault::unknown_request);
}

template <ChannelSink Sink>
std::uint32_t ChannelServer::serve_connect(Sink& sink, ChannelHandle handle,
                                           const ConnectRequest& c) noexcept {
  if (!flows_.may_open(handle) || c.peer.port > 0xffff) return refuse(ChannelFault::bad_handle);
  if (events_.room(2) < 2) return 0;  // a refusal must be told
  ServerFlow* flow = flows_.open(handle, 0);
  const auto key = sink.connect(handle, c.peer.endpoint(), deadline(c.deadline_ns));
  if (key)
    flow->key = *key;
  else
    deliver_closed(handle, key.error());
  return 1;
}

template <ChannelSink Sink>
std::uint32_t ChannelServer::serve_inline(Sink& sink, const SlotHead& head,
                                          const SlotBody& body) noexcept {
  if (head.length > inline_two) return refuse(ChannelFault::bad_length);
  const std::uint32_t slots = head.length > inline_one ? 2 : 1;
  SlotBody more;
  if (slots == 2 && !requests_.peek(more, 1)) return 0;
  const auto block = memory_.sent_copy(ChannelHandle{head.handle}, head.length);
  if (!block) return refuse(ChannelFault::too_many_messages);
  const std::uint32_t first = std::min<std::uint32_t>(head.length, inline_one);
  std::memcpy(block->data, body.data() + sizeof(SlotHead), first);
  if (slots == 2) std::memcpy(block->data + first, more.data(), head.length - first);
  return submit(sink, head, *block) ? slots : 0;
}

template <ChannelSink Sink>
std::uint32_t ChannelServer::serve_block(Sink& sink, const SlotHead& head,
                                         const SubmitBlock& s) noexcept {
  if (s.length > geometry_.message_bytes_max || s.length > geometry_.send_bytes ||
      s.offset > geometry_.send_bytes - s.length)
    return refuse(ChannelFault::bad_range);
  const auto block = memory_.sent_block(ChannelHandle{head.handle}, s);
  if (!block) return refuse(ChannelFault::too_many_messages);
  return submit(sink, head, *block) ? 1 : 0;
}

template <ChannelSink Sink>
bool ChannelServer::submit(Sink& sink, const SlotHead& head, const MessageBlock& block) noexcept {
  ServerFlow* flow = flows_.find(ChannelHandle{head.handle});
  if (flow == nullptr) {  // it ended while the request was under way: the application is told
    memory_.release(block);
    return true;
  }
  const bool notify = (head.flags & submit_flag_notify) != 0;
  const auto number = sink.submit(flow->key, block, notify);
  if (number) {
    if (!flow->has_number) flow->first_number = number->wire();
    flow->has_number = true;
    return true;
  }
  if (is_passing(number.error())) {
    memory_.undo(block);
    return false;
  }
  memory_.release(block);
  if (number.error() != Reason::no_such_flow && number.error() != Reason::flow_closing)
    sink.reset(flow->key);  // a message that cannot be sent must not be skipped
  return true;
}

template <ChannelSink Sink>
std::uint32_t ChannelServer::serve_query(Sink& sink, ChannelHandle handle,
                                         std::uint32_t number) noexcept {
  if (answers_.room(2) < 2) return 1;  // a correct client has read the earlier answers
  const ServerFlow* flow = flows_.find(handle);
  FlowDetails details;
  const bool known = flow != nullptr && sink.describe(flow->key, details);
  put_head(answers_.body(), {0, 0, known ? std::uint16_t{1} : std::uint16_t{0}, number});
  const auto* from = reinterpret_cast<const std::byte*>(&details);
  std::memcpy(answers_.body() + sizeof(SlotHead), from, inline_one);
  std::memcpy(answers_.body(1), from + inline_one, inline_two - inline_one);
  answers_.publish(2);
  done_.events = true;
  return 1;
}

inline void ChannelServer::take_returns() noexcept {
  SlotBody body;
  // One lap at most: who fills the ring as fast as it is emptied does not hold the engine.
  for (std::uint32_t n = geometry_.return_slots; n > 0 && serving_ && returns_.peek(body); --n) {
    const SlotHead head = head_of(body);
    if (head.length > leases_per_slot) return fail(ChannelFault::bad_length);
    const auto names = content_of<std::array<LeaseName, leases_per_slot>>(body);
    for (std::uint32_t i = 0; i < head.length; ++i) {
      const auto block = leases_.take_back(names[i]);
      if (!block) return fail(ChannelFault::bad_lease);
      memory_.release(*block);
    }
    if (returns_.advance()) done_.room = true;
  }
}

}  // namespace proa
