// L2: the receiver's side of credit: a cumulative byte limit (RFC 9000 4.1), backed by real receive
// memory.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include <proa/base/seq.hpp>
#include <proa/mem/message_memory.hpp>
#include <proa/mem/pool_box.hpp>
#include <proa/transport/options.hpp>

namespace proa {

/// Promised to every flow without reserving memory for it: most flows are idle. More is reserved
/// only once half of it has been used, and is on trust as well when the flow becomes idle again.
inline constexpr std::uint32_t initial_credit_bytes = 16 * 1024;

/// Raises the limit as messages are consumed and keeps the peer's requests for memory (WANT).
class CreditGiver {
 public:
  CreditGiver(ScratchPool& pool, const FlowOptions& options, CreditLimit first = {}) noexcept
      : wants_(pool),
        options_(&options),
        limit_(first.plus(initial_credit_bytes)),
        consumed_(first) {}

  [[nodiscard]] CreditLimit limit() const noexcept { return limit_; }
  [[nodiscard]] std::uint32_t left() const noexcept { return limit_.since(consumed_); }

  /// Tops the peer's credit up when half of the window is used, as far as `memory` can promise.
  template <MessageMemory Memory>
  void raise(Memory& memory, std::uint64_t undelivered_bytes) noexcept {
    const std::uint64_t open = left() + undelivered_bytes;
    if (open > window_ / 2 && asked_bytes_ == 0) return;
    const std::uint32_t longer = longer_window();
    if (open >= longer) return;
    const std::uint32_t missing = longer - static_cast<std::uint32_t>(open);
    const std::uint32_t granted = memory.grant(missing);
    limit_ = limit_.plus(granted);
    promised_ += granted;
    if (granted == missing) window_ = longer;
    if (open + granted < initial_credit_bytes / 2) trust(open + granted);
  }
  /// The flow has been idle for long: what it was promised serves others, and is on trust here.
  template <MessageMemory Memory>
  void rest(Memory& memory) noexcept {
    memory.retract(promised_);
    overcommitted_ += std::exchange(promised_, 0U);
    window_ = std::min(window_, options_->credit_window_first);
  }

  /// Takes a block for a message whose first part arrived. False: no memory now.
  template <MessageMemory Memory>
  [[nodiscard]] bool consume(Memory& memory, MessageNumber number, std::uint32_t length,
                             MessageBlock& block) noexcept {
    const std::uint32_t cost = memory_cost(length);
    Want* const want = find(number);
    const bool ready =
        want != nullptr && want->state == Want::State::reserved && want->length == length;
    if (ready) {
      block = want->block;
    } else {
      const auto reserved = memory.reserve(length);
      if (!reserved) return false;
      block.assign(*reserved);
    }
    consumed_ = consumed_.plus(cost);
    // Its first message: from now on a gap must not stop the peer after 16 KiB.
    if (window_ == initial_credit_bytes) [[unlikely]]
      asked_bytes_ = std::max(asked_bytes_, cost);
    const bool limit_was_raised_for_it = ready && !want->charged;
    if (!limit_was_raised_for_it) use_promise(memory, cost);
    if (want != nullptr) {
      if (!ready && want->state == Want::State::reserved) memory.release(want->block);
      forget(*want);
    }
    return true;
  }

  /// Remembers that the peer needs memory for a message. False: too many requests at once.
  [[nodiscard]] bool want(MessageNumber number, std::uint32_t length) noexcept {
    if (find(number) != nullptr) return true;
    const std::uint32_t cost = memory_cost(length);
    if (cost <= window_max()) asked_bytes_ = std::max(asked_bytes_, cost);
    Wants* const wants = wants_.make();
    if (wants == nullptr) return false;
    for (std::size_t i = 0; i < requests; ++i) {
      if (wants->all[i].state != Want::State::none) continue;
      wants->all[i] = {{}, number, length, Want::State::waiting, false};
      ++wants->used;
      return true;
    }
    return false;
  }
  /// The message came, its cost is within the limit, only the block is missing. Of several such
  /// messages the first one is remembered: until it is here the later ones only take its room.
  template <MessageMemory Memory>
  void want_block(Memory& memory, MessageNumber number, std::uint32_t length) noexcept {
    Wants* const wants = wants_.make();
    if (wants == nullptr) return;  // the next repetition asks again
    wants->refused = true;
    if (find(number) != nullptr) return;
    Want& slot = wants->all[requests];
    if (slot.state != Want::State::none) {
      if (!number.before(slot.number)) return;
      if (slot.state == Want::State::reserved) memory.release(slot.block);
      --wants->used;
    }
    slot = {{}, number, length, Want::State::waiting, true};
    ++wants->used;
  }
  /// The first message that memory is asked for and not yet reserved.
  [[nodiscard]] std::optional<MessageNumber> wanted() const noexcept {
    const Want* const want = first_waiting();
    return want == nullptr ? std::nullopt : std::optional{want->number};
  }
  /// True once after a message that came found no block.
  [[nodiscard]] bool take_refusal() noexcept {
    Wants* const wants = wants_.get();
    return wants != nullptr && std::exchange(wants->refused, false);
  }
  [[nodiscard]] std::uint32_t window_max() const noexcept { return options_->credit_window_max; }

  /// Reserves for the oldest request; true if it is served (the limit rose). `last`: the block kept
  /// back may be used, but only for a message not after `oldest`, the first one without a block:
  /// a later one would keep it until that one is there.
  template <MessageMemory Memory>
  [[nodiscard]] bool serve(Memory& memory, bool last, MessageNumber oldest) noexcept {
    Want* want = const_cast<Want*>(first_waiting());
    if (want == nullptr) return false;
    last = last && !want->number.after(oldest);
    const auto block = last ? memory.reserve_last(want->length) : memory.reserve(want->length);
    if (!block) return false;
    want->block = *block;
    want->state = Want::State::reserved;
    if (!want->charged) limit_ = limit_.plus(memory_cost(want->length));
    return true;
  }

  /// An ended flow: forgets its requests and returns its promises.
  template <MessageMemory Memory>
  void end(Memory& memory) noexcept {
    if (Wants* const wants = wants_.get()) {
      for (const Want& w : wants->all)
        if (w.state == Want::State::reserved) memory.release(w.block);
      wants_.drop();
    }
    memory.retract(promised_);
    promised_ = 0;
  }

 private:
  struct Want {
    enum class State : std::uint8_t { none, waiting, reserved };
    MessageBlock block;
    MessageNumber number;
    std::uint32_t length = 0;
    State state = State::none;
    bool charged = false;
  };

  static constexpr std::size_t requests = 2;  // the message being sent and the one after it
  struct Wants {
    std::array<Want, requests + 1> all{};  // the last one: of want_block()
    std::uint32_t used = 0;
    bool refused = false;  // something that came, since take_refusal()
  };

  [[nodiscard]] const Want* first_waiting() const noexcept {
    const Wants* const wants = wants_.get();
    if (wants == nullptr) return nullptr;
    const Want* first = nullptr;
    for (const Want& w : wants->all)
      if (w.state == Want::State::waiting && (first == nullptr || w.number.before(first->number)))
        first = &w;
    return first;
  }
  [[nodiscard]] Want* find(MessageNumber number) noexcept {
    Wants* const wants = wants_.get();
    if (wants == nullptr) return nullptr;
    for (Want& w : wants->all)
      if (w.state != Want::State::none && w.number == number) return &w;
    return nullptr;
  }
  void forget(Want& want) noexcept {
    want.state = Want::State::none;
    if (--wants_.get()->used == 0) wants_.drop();
  }
  /// The window was used up, or a message did not fit into what was left: a longer one costs memory
  /// only while the peer keeps using it.
  [[nodiscard]] std::uint32_t longer_window() noexcept {
    const std::uint32_t asked = std::exchange(asked_bytes_, 0U);
    const std::uint32_t longer = std::max(2 * window_, options_->credit_window_first);
    return std::min(std::max(longer, 2 * asked), window_max());
  }
  /// Memory is short of promises, mostly not of bytes: small messages need not ask for each block.
  void trust(std::uint64_t open) noexcept {
    const auto more = initial_credit_bytes - static_cast<std::uint32_t>(open);
    limit_ = limit_.plus(more);
    overcommitted_ += more;
  }
  template <MessageMemory Memory>
  void use_promise(Memory& memory, std::uint32_t cost) noexcept {
    const std::uint32_t on_trust = std::min(cost, overcommitted_);
    overcommitted_ -= on_trust;
    const std::uint32_t promised = std::min(cost - on_trust, promised_);
    promised_ -= promised;
    memory.retract(promised);
  }

  PoolBox<Wants> wants_;  // mostly none
  const FlowOptions* options_;
  CreditLimit limit_;
  CreditLimit consumed_;
  std::uint32_t promised_ = 0;  // of what is left: taken off the memory's ledger
  std::uint32_t overcommitted_ = initial_credit_bytes;  // of what is left: promised on trust
  std::uint32_t window_ = initial_credit_bytes;
  std::uint32_t asked_bytes_ = 0;  // of the largest message asked for since the window last grew
};

}  // namespace proa
