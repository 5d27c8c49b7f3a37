// L2: the requests of an application on its channel. Part of channel_client.hpp: include that.
#pragma once
#include <proa/ipc/channel_client.hpp>

namespace proa {

inline Expected<ChannelHandle> ChannelClient::connect(const Endpoint& peer,
                                                      Instant deadline) noexcept {
  if (lost_) return failed(Reason::stack_closed);
  if (!request_room(1)) return failed(Reason::would_block);
  ClientFlow* flow = flows_.connect();
  if (flow == nullptr) return failed(Reason::too_many_flows);
  const ChannelHandle handle{flow->handle};
  put_content(request(RequestKind::connect, handle),
              ConnectRequest{deadline.time_since_epoch().count(), ChannelEndpoint::of(peer), 0});
  write(1);
  return handle;
}

[[gnu::always_inline]] inline Expected<MessageNumber> ChannelClient::send(
    ChannelHandle handle, std::span<const std::byte> bytes, bool notify) noexcept {
  const auto flow = may_send(handle, bytes.size());
  if (!flow) return failed(flow.error());
  const auto length = static_cast<std::uint32_t>(bytes.size());
  if (goes_inline(length)) {
    if (!fits_inline(**flow, length)) return refuse(**flow, length);
    return put_inline(**flow, bytes, notify);
  }
  if (!fits_block(**flow, length)) return refuse(**flow, length);
  const auto block = memory_.allocate_send(length);
  if (!block) return refuse(**flow, length);
  std::memcpy(block->data, bytes.data(), length);
  return put_block(**flow, *block, notify);
}

inline Expected<MessageNumber> ChannelClient::send_block(ChannelHandle handle,
                                                         const MessageBlock& block,
                                                         bool notify) noexcept {
  const auto flow = may_send(handle, block.length);
  if (!flow) return failed(flow.error());
  if (goes_inline(block.length)) {
    if (!fits_inline(**flow, block.length)) return refuse(**flow, block.length);
    const auto number = put_inline(**flow, {block.data, block.length}, notify);
    memory_.release(block);
    return number;
  }
  if (!fits_block(**flow, block.length)) return refuse(**flow, block.length);
  return put_block(**flow, block, notify);
}

inline Expected<void> ChannelClient::close(ChannelHandle handle, Instant deadline) noexcept {
  ClientFlow* flow = flows_.find(handle);
  if (flow == nullptr) return failed(Reason::no_such_flow);
  if (flow->closing) return failed(Reason::flow_closing);
  flow->close_deadline_ns = deadline.time_since_epoch().count();
  return end(*flow, ClientFlow::End::close);
}

inline Expected<void> ChannelClient::reset(ChannelHandle handle) noexcept {
  ClientFlow* flow = flows_.find(handle);
  if (flow == nullptr) return failed(Reason::no_such_flow);
  return end(*flow, ClientFlow::End::reset);
}

inline Expected<FlowDetails> ChannelClient::query(ChannelHandle handle, Duration limit) noexcept {
  if (lost_) return failed(Reason::stack_closed);
  if (flows_.find(handle) == nullptr) return failed(Reason::no_such_flow);
  if (!request_room(1)) return failed(Reason::would_block);
  const NumberEvent number{++queries_};
  put_content(request(RequestKind::query, handle), number);
  write(1);
  flush();
  for (Duration waited{}; waited < limit; waited += query_look) {
    if (auto answer = take_answer(number.number)) return *answer;
    if (answered_) return failed(Reason::no_such_flow);
    bell_.wait(query_look);
  }
  return failed(Reason::timed_out);
}

inline bool ChannelClient::request_room(std::uint32_t slots) noexcept {
  if (requests_.room(slots) >= slots) return true;
  if (requests_.broken()) lose();
  return false;
}

inline std::byte* ChannelClient::request(RequestKind kind, ChannelHandle handle, std::uint8_t flags,
                                         std::uint32_t length) noexcept {
  std::byte* body = requests_.body();
  put_head(body, {static_cast<std::uint8_t>(kind), flags, static_cast<std::uint16_t>(length),
                  handle.value});
  return body;
}

inline Expected<ClientFlow*> ChannelClient::may_send(ChannelHandle handle,
                                                     std::size_t bytes) noexcept {
  if (lost_) return failed(Reason::stack_closed);
  ClientFlow* flow = flows_.find(handle);
  if (flow == nullptr) return failed(Reason::no_such_flow);
  if (flow->closing) return failed(Reason::flow_closing);
  if (bytes > memory_.geometry().message_bytes_max) return failed(Reason::message_too_large);
  return flow;
}

inline bool ChannelClient::fits_inline(const ClientFlow& flow, std::uint32_t length) noexcept {
  const ChannelGeometry& g = memory_.geometry();
  return flow.messages_out() < g.flow_messages_max &&
         bytes_out(flow) + length <= g.flow_bytes_max && request_room(length > inline_one ? 2 : 1);
}

inline bool ChannelClient::fits_block(const ClientFlow& flow, std::uint32_t length) noexcept {
  const ChannelGeometry& g = memory_.geometry();
  const bool bytes_fit = flow.messages_out() == 0 || bytes_out(flow) + length <= g.flow_bytes_max;
  return bytes_fit && flow.messages_out() < g.flow_messages_max && !sent_.full() && request_room(1);
}

inline tl::unexpected<Reason> ChannelClient::refuse(ClientFlow& flow,
                                                    std::uint32_t length) noexcept {
  flow.wanted = length;
  flow.blocked = true;
  if (!flow.listed) flow.listed = blocked_.push(flows_.slot_of(flow));
  sleep_.want_progress(true);
  return failed(lost_ ? Reason::stack_closed : Reason::would_block);
}

inline MessageNumber ChannelClient::put_inline(ClientFlow& flow, std::span<const std::byte> bytes,
                                               bool notify) noexcept {
  const auto length = static_cast<std::uint32_t>(bytes.size());
  const std::uint32_t first = std::min(length, inline_one);
  std::byte* body = request(RequestKind::submit_inline, {flow.handle},
                            notify ? submit_flag_notify : std::uint8_t{0}, length);
  if (first > 0) std::memcpy(body + sizeof(SlotHead), bytes.data(), first);
  if (length > first) std::memcpy(requests_.body(1), bytes.data() + first, length - first);
  write(length > first ? 2 : 1);
  ++flow.inline_sent;
  ++inline_sent_;
  return MessageNumber{flow.submitted++};
}

inline MessageNumber ChannelClient::put_block(ClientFlow& flow, const MessageBlock& block,
                                              bool notify) noexcept {
  const ChannelHandle handle{flow.handle};
  const std::uint32_t id = sent_.add(block.tag, block.length, handle);
  put_content(
      request(RequestKind::submit_block, handle, notify ? submit_flag_notify : std::uint8_t{0}),
      SubmitBlock{block.tag, block.length, id});
  write(1);
  ++flow.blocks_out;
  flow.bytes_out += block.length;
  return MessageNumber{flow.submitted++};
}

inline void ChannelClient::hand_over() noexcept {
  if (!memory_.returns().empty()) return_leases();
  if (!ends_.empty()) request_ends();
}

inline void ChannelClient::return_leases() noexcept {
  FixedRing<LeaseName>& returns = memory_.returns();
  while (!lost_ && !returns.empty() && returns_.room() > 0) {
    std::array<LeaseName, leases_per_slot> names{};
    std::uint32_t n = 0;
    while (n < leases_per_slot && !returns.empty()) names[n++] = returns.pop();
    put_head(returns_.body(), {0, 0, static_cast<std::uint16_t>(n), 0});
    put_content(returns_.body(), names);
    returns_.publish();
    done_.events = true;
  }
  if (returns_.broken()) lose();
}

inline Expected<void> ChannelClient::end(ClientFlow& flow, ClientFlow::End how) noexcept {
  flows_.mark_closing(flow);
  flow.end = how;
  if (!flow.end_listed) flow.end_listed = ends_.push(flows_.slot_of(flow));
  request_ends();
  return {};
}

inline void ChannelClient::request_ends() noexcept {
  while (!ends_.empty() && request_room(1)) {
    ClientFlow& flow = flows_.slot(ends_.pop());
    flow.end_listed = false;
    if (flow.end == ClientFlow::End::close)
      put_content(request(RequestKind::close, {flow.handle}), CloseRequest{flow.close_deadline_ns});
    else if (flow.end == ClientFlow::End::reset)
      request(RequestKind::reset, {flow.handle});
    else
      continue;  // it has ended by itself
    write(1);
    flow.end = ClientFlow::End::none;
  }
}

inline std::optional<FlowDetails> ChannelClient::take_answer(std::uint32_t number) noexcept {
  SlotBody first, second;
  answered_ = false;
  while (!answered_ && answers_.peek(first) && answers_.peek(second, 1)) {
    answers_.advance(2);
    const SlotHead head = head_of(first);
    answered_ = head.handle == number;
    if (!answered_ || head.length == 0) continue;
    FlowDetails details;
    auto* to = reinterpret_cast<std::byte*>(&details);
    std::memcpy(to, first.data() + sizeof(SlotHead), inline_one);
    std::memcpy(to + inline_one, second.data(), inline_two - inline_one);
    return details;
  }
  return std::nullopt;
}

}  // namespace proa
