// API spin: while one of these lives, one allocation of its thread in a hundred fails.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace proa::spin {

class FailingNew {
 public:
  explicit FailingNew(std::uint32_t seed) noexcept;
  FailingNew(const FailingNew&) = delete;
  FailingNew& operator=(const FailingNew&) = delete;
  ~FailingNew();
  /// Of all threads, so far.
  [[nodiscard]] static std::uint64_t failures() noexcept;
};

}  // namespace proa::spin
