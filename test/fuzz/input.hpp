// Fuzzing: an input read as a sequence of decisions, and what every target demands.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include <proa/base/bytes.hpp>

namespace proa::fuzz {

/// An oracle spoke: both libFuzzer and the replay take an abort for a crash.
[[noreturn]] inline void fail(std::string_view why) {
  std::fprintf(stderr, "oracle: %.*s\n", static_cast<int>(why.size()), why.data());
  std::abort();
}
inline void demand(bool condition, std::string_view why) {
  if (!condition) fail(why);
}

/// Never fails: past its end every number is 0, so that a cut input decides less, not nothing.
class Input {
 public:
  explicit Input(ByteView bytes) noexcept : rest_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }
  [[nodiscard]] ByteView rest() const noexcept { return rest_; }

  std::uint8_t byte() noexcept {
    if (rest_.empty()) return 0;
    const auto out = std::to_integer<std::uint8_t>(rest_.front());
    rest_ = rest_.subspan(1);
    return out;
  }
  template <std::unsigned_integral T>
  T number() noexcept {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) out = out << 8U | byte();
    return static_cast<T>(out);
  }
  /// In [0, bound); one byte where that suffices.
  std::size_t below(std::size_t bound) noexcept {
    if (bound <= 1) return 0;
    return (bound <= 256 ? byte() : number<std::uint16_t>()) % bound;
  }
  bool flag() noexcept { return (byte() & 1U) != 0; }
  ByteView take(std::size_t size) noexcept {
    const ByteView out = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(rest_.data()), rest_.size()};
  }

 private:
  ByteView rest_;
};

/// Equal bytes; the round trips' oracle.
[[nodiscard]] inline bool same(ByteView a, ByteView b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

/// The target, in each target's file.
void run(ByteView bytes);

}  // namespace proa::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
