// Simulation: a message memory that knows every block it gave out and judges each use of one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include <proa/mem/heap_memory.hpp>
#include <proa/mem/message_memory.hpp>

namespace proa::sim {

/// Wraps HeapMemory. What is wrong is remembered, not thrown: the transport's calls are noexcept.
class CheckedMemory {
 public:
  explicit CheckedMemory(const HeapMemory::Options& options)
      : inner_(options), ledger_at_start_(inner_.ledger_free()) {}

  [[nodiscard]] std::optional<MessageBlock> allocate_send(std::uint32_t length) noexcept {
    return noted(inner_.allocate_send(length));
  }
  [[nodiscard]] std::uint32_t grant(std::uint32_t n) noexcept {
    const std::uint32_t given = inner_.grant(n);
    granted_ += given;
    return given;
  }
  void retract(std::uint32_t n) noexcept {
    if (n > granted_) return wrong("more credit put back than was granted");
    granted_ -= n;
    inner_.retract(n);
  }
  [[nodiscard]] std::optional<MessageBlock> reserve(std::uint32_t length) noexcept {
    return noted(inner_.reserve(length));
  }
  [[nodiscard]] std::optional<MessageBlock> reserve_last(std::uint32_t length) noexcept {
    return noted(inner_.reserve_last(length));
  }
  void write(const MessageBlock& to, std::uint32_t at, std::span<const std::byte> in) noexcept {
    if (in_range(to, at, in.size(), "write")) inner_.write(to, at, in);
  }
  void read(const MessageBlock& from, std::uint32_t at, std::span<std::byte> out) const noexcept {
    if (in_range(from, at, out.size(), "read")) inner_.read(from, at, out);
  }
  void release(const MessageBlock& block) noexcept {
    const auto found = blocks_.find(key(block));
    if (found == blocks_.end()) return wrong("a block was released twice or never given out");
    if (found->second.length != block.length) return wrong("a block changed its length");
    blocks_.erase(found);
    inner_.release(block);
  }

  /// Null, or the first wrong use.
  [[nodiscard]] const char* complaint() const noexcept { return complaint_; }
  [[nodiscard]] std::size_t blocks_out() const noexcept { return blocks_.size(); }
  [[nodiscard]] std::uint64_t granted() const noexcept { return granted_; }
  [[nodiscard]] const HeapMemory& inner() const noexcept { return inner_; }

  /// The ledger: what is free, promised and taken is what there was at the start.
  [[nodiscard]] bool ledger_consistent() const noexcept {
    std::int64_t taken = 0;
    for (const auto& [k, block] : blocks_)
      if (block.origin == HeapMemory::receive_origin) taken += memory_cost(block.length);
    return inner_.ledger_free() + static_cast<std::int64_t>(granted_) + taken == ledger_at_start_;
  }

 private:
  [[nodiscard]] static std::uint64_t key(const MessageBlock& block) noexcept {
    return (block.tag << 1U) | block.origin;
  }
  std::optional<MessageBlock> noted(std::optional<MessageBlock> block) noexcept {
    if (block && !blocks_.emplace(key(*block), *block).second)
      wrong("the memory gave a block out twice");
    return block;
  }
  [[nodiscard]] bool in_range(const MessageBlock& block, std::uint64_t at, std::size_t size,
                              const char* what) const noexcept {
    const auto found = blocks_.find(key(block));
    if (found == blocks_.end()) {
      wrong(what[0] == 'w' ? "write into a block not given out"
                           : "read from a block not given out");
      return false;
    }
    if (at + size <= found->second.length) return true;
    wrong(what[0] == 'w' ? "write past a block's end" : "read past a block's end");
    return false;
  }
  void wrong(const char* what) const noexcept {
    if (complaint_ == nullptr) complaint_ = what;
  }

  HeapMemory inner_;
  std::int64_t ledger_at_start_;
  std::unordered_map<std::uint64_t, MessageBlock> blocks_;
  std::uint64_t granted_ = 0;
  mutable const char* complaint_ = nullptr;
};
static_assert(MessageMemory<CheckedMemory>);

}  // namespace proa::sim
