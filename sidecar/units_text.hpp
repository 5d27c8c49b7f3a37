// sidecar: sizes and durations as people write them: "64 MiB", "250 ms".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <proa/base/time.hpp>

namespace proa::sidecar {

/// A whole number with B, KiB, MiB or GiB. Nothing else: 1 MB means different things to people.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);
/// The shortest exact form.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

/// A whole number with ns, us, ms, s, min or h.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
[[nodiscard]] std::string duration_text(Duration duration);

/// "a, b, c"
template <class Texts>
[[nodiscard]] std::string joined(const Texts& texts, std::string_view between) {
  std::string out;
  bool first = true;
  for (const auto& text : texts) {
    if (!first) out += between;
    first = false;
    out += text;
  }
  return out;
}

}  // namespace proa::sidecar
