// Simulation: message memory whose sending side holds nothing: what is read follows from the
// block's name, so that gigabytes can be offered.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "checked_memory.hpp"
#include "content.hpp"

namespace proa::sim {

/// Receives into a CheckedMemory. Models MessageMemory.
class PatternMemory {
 public:
  explicit PatternMemory(const HeapMemory::Options& options) : received_(options) {}

  /// A message to send; its bytes are those of `key`.
  [[nodiscard]] MessageBlock offer(const ContentKey& key, std::uint32_t length) noexcept {
    offered_bytes_ += length;
    return {nullptr, length, pattern_origin, key.word0()};
  }
  /// What a received message should hold.
  [[nodiscard]] static bool holds(const ContentKey& key, const MessageBlock& block) noexcept {
    return first_wrong(key, {block.data, block.length}) == block.length;
  }

  [[nodiscard]] std::uint32_t grant(std::uint32_t n) noexcept { return received_.grant(n); }
  void retract(std::uint32_t n) noexcept { received_.retract(n); }
  [[nodiscard]] std::optional<MessageBlock> reserve(std::uint32_t length) noexcept {
    return noted(received_.reserve(length));
  }
  [[nodiscard]] std::optional<MessageBlock> reserve_last(std::uint32_t length) noexcept {
    return noted(received_.reserve_last(length));
  }
  void write(const MessageBlock& to, std::uint32_t at, std::span<const std::byte> in) noexcept {
    received_.write(to, at, in);
  }
  void read(const MessageBlock& from, std::uint32_t at, std::span<std::byte> out) const noexcept {
    std::size_t done = 0;
    while (done < out.size()) {
      const std::uint64_t word = content_word(from.tag, (at + done) / 8);
      const std::size_t skip = (at + done) % 8;
      const std::size_t n = std::min(out.size() - done, 8 - skip);
      std::memcpy(out.data() + done, reinterpret_cast<const std::byte*>(&word) + skip, n);
      done += n;
    }
  }
  void release(const MessageBlock& block) noexcept {
    if (block.origin != pattern_origin) return received_.release(block);
    offered_bytes_ -= block.length;
  }

  [[nodiscard]] CheckedMemory& received() noexcept { return received_; }
  /// Of messages to send, not given back yet.
  [[nodiscard]] std::uint64_t offered_bytes() const noexcept { return offered_bytes_; }
  /// The most receive memory that was in use at any time.
  [[nodiscard]] std::uint64_t most_received_bytes() const noexcept { return most_; }

 private:
  static constexpr std::uint32_t pattern_origin = 2;

  std::optional<MessageBlock> noted(std::optional<MessageBlock> block) noexcept {
    if (block) most_ = std::max(most_, received_.inner().receive_arena().used());
    return block;
  }

  CheckedMemory received_;
  std::uint64_t offered_bytes_ = 0;
  std::uint64_t most_ = 0;
};
static_assert(MessageMemory<PatternMemory>);

}  // namespace proa::sim
