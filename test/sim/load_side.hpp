// Simulation under load: the application's side of one host: submits, takes, notes when.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <proa/engine/app_side.hpp>
#include "checked_memory.hpp"
#include "load_flow.hpp"

namespace proa::sim {

/// Models AppSideOf. A message begins with its number and ends with its low byte: enough to see
/// that it is whole and in order; what bytes may become is the business of sim_engines.
class LoadSide {
 public:
  using Memory = CheckedMemory;

  LoadSide(std::vector<LoadFlow>& flows, std::map<Endpoint, std::uint32_t>& by_client,
           const HeapMemory::Options& memory)
      : flows_(&flows), by_client_(&by_client), memory_(memory) {}

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant now) noexcept {
    now_ = now;
    std::uint32_t handled = 0;
    for (const std::uint32_t i : senders_) handled += submit(engine, (*flows_)[i]);
    return handled;
  }
  std::optional<AppCookie> accept(std::uint32_t app, FlowKey key, const Endpoint&,
                                  const Endpoint& peer) noexcept {
    const auto found = by_client_->find(peer);
    if (found == by_client_->end()) return wrong("a flow was accepted from nobody"), std::nullopt;
    LoadFlow& flow = (*flows_)[found->second];
    if (flow.open[1]) wrong("a connection was accepted twice");
    flow.key[1] = key;
    flow.open[1] = true;
    return AppCookie{app, found->second * 2 + 1};
  }
  bool room(std::uint32_t) noexcept { return true; }
  void deliver(AppCookie cookie, FlowKey key, const FlowEvent& event) noexcept {
    LoadFlow& flow = (*flows_)[cookie.handle / 2];
    const std::uint32_t end = cookie.handle % 2;
    if (flow.key[end] != key) return;  // it was given up before it began
    switch (event.kind) {
      case FlowEventKind::connected:
        flow.open[0] = true;
        flow.connected_at = now_;
        break;
      case FlowEventKind::message:
        take(flow, event.message);
        break;
      case FlowEventKind::sent:
        flow.acknowledged = 1 + event.number.since(MessageNumber{0});
        break;
      case FlowEventKind::closed:
        flow.ended[end] = true;
        flow.reason[end] = event.reason;
        break;
      case FlowEventKind::accepted:
      case FlowEventKind::writable:
        break;
    }
  }
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}

  void add_sender(std::uint32_t flow) { senders_.push_back(flow); }
  void set_now(Instant now) noexcept { now_ = now; }
  [[nodiscard]] std::string complaint() const {
    return memory_.complaint() == nullptr ? complaint_ : memory_.complaint();
  }
  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  /// When pull() will have something to submit, as far as only time decides.
  [[nodiscard]] Instant next_action(Instant now) const noexcept {
    Instant at = never;
    for (const std::uint32_t i : senders_) {
      const LoadFlow& flow = (*flows_)[i];
      if (flow.wants_to_submit(std::max(now, flow.options.start)))
        at = std::min(at, std::max(now, flow.options.start));
    }
    return at;
  }

 private:
  template <class EngineT>
  std::uint32_t submit(EngineT& engine, LoadFlow& flow) noexcept {
    std::uint32_t handled = 0;
    for (; flow.wants_to_submit(now_); ++handled) {
      const std::uint32_t length = flow.options.message_bytes;
      const auto block = memory_.allocate_send(length);
      if (!block) break;
      if (length >= sizeof flow.submitted) {
        std::memcpy(block->data, &flow.submitted, sizeof flow.submitted);
        block->data[length - 1] = static_cast<std::byte>(flow.submitted);
      }
      if (!engine.submit(now_, flow.key[0], *block, true)) {
        memory_.release(*block);
        break;
      }
      ++flow.submitted;
      flow.waiting_since.push_back(now_);
    }
    return handled;
  }
  void take(LoadFlow& flow, const MessageBlock& block) noexcept {
    const std::uint32_t length = flow.options.message_bytes;
    if (block.length != length) wrong("a message changed its length");
    if (flow.waiting_since.empty()) return wrong("a message was delivered that nobody sent");
    if (length >= sizeof flow.delivered &&
        (std::memcmp(block.data, &flow.delivered, sizeof flow.delivered) != 0 ||
         block.data[length - 1] != static_cast<std::byte>(flow.delivered)))
      wrong("a message is not the next one");
    memory_.release(block);
    flow.completions.push_back(now_ - flow.waiting_since.front());
    flow.waiting_since.pop_front();
    ++flow.delivered;
    flow.delivered_bytes += length;
    flow.first_delivery_at = std::min(flow.first_delivery_at, now_);
    flow.last_delivery_at = now_;
  }
  void wrong(const char* why) noexcept {
    if (complaint_.empty()) complaint_ = why;
  }

  std::vector<LoadFlow>* flows_;
  std::map<Endpoint, std::uint32_t>* by_client_;
  Memory memory_;
  std::vector<std::uint32_t> senders_;
  Instant now_{};
  std::string complaint_;
};

}  // namespace proa::sim
