// L4: options as text: `key = value` pairs, and the values they hold.
//
//   text    = { pair | comment }         separated by blanks, line ends or semicolons
//   pair    = key "=" value              blanks around "=" are allowed, within a value they are not
//   comment = "#" to the end of the line
#pragma once
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/time.hpp>

namespace proa {

struct OptionPair {
  std::string_view key, value;  // point into the text
  std::uint32_t line = 0;       // from 1
};

/// Takes the text apart; an error is one sentence naming the line.
[[nodiscard]] inline tl::expected<std::vector<OptionPair>, std::string> parse_option_pairs(
    std::string_view text) {
  std::vector<OptionPair> pairs;
  std::uint32_t line = 1;
  std::size_t at = 0;
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  const auto skip_blanks = [&] {
    while (at < text.size() && is_blank(text[at])) ++at;
  };
  const auto word = [&](bool stop_at_equals) {
    const std::size_t from = at;
    while (at < text.size() && !is_blank(text[at]) && text[at] != '\n' && text[at] != ';' &&
           !(stop_at_equals && text[at] == '='))
      ++at;
    return text.substr(from, at - from);
  };
  while (at < text.size()) {
    const char c = peek();
    if (c == '#') {
      while (at < text.size() && text[at] != '\n') ++at;
    } else if (c == '\n' || c == ';' || is_blank(c)) {
      line += c == '\n' ? 1U : 0U;
      ++at;
    } else {
      const std::string_view key = word(true);
      skip_blanks();
      const bool has_equals = peek() == '=';
      if (has_equals) ++at;
      skip_blanks();
      const std::string_view value = has_equals ? word(false) : std::string_view{};
      if (key.empty() || value.empty())
        return tl::unexpected{"line " + std::to_string(line) + ": expected key=value, got \"" +
                              std::string{key} + (has_equals ? "=" : "") + "\""};
      pairs.push_back({key, value, line});
    }
  }
  return pairs;
}

/// A whole number without unit.
[[nodiscard]] inline std::optional<std::uint64_t> parse_count(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

namespace detail {

struct UnitText {
  std::string_view name;
  std::uint64_t factor;
};

template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const UnitText (&units)[N]) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  for (const UnitText& known : units)
    if (unit == known.name && value <= INT64_MAX / known.factor) return value * known.factor;
  return std::nullopt;
}

}  // namespace detail

/// "512", "64KiB", "256MiB", "1GiB".
[[nodiscard]] inline std::optional<std::uint64_t> parse_bytes(std::string_view text) noexcept {
  static constexpr detail::UnitText units[] = {
      {"", 1}, {"B", 1}, {"KiB", 1U << 10U}, {"MiB", 1U << 20U}, {"GiB", 1U << 30U}};
  return detail::parse_with_unit(text, units);
}

/// "25us", "10ms", "30s", "5min": a unit is required.
[[nodiscard]] inline std::optional<Duration> parse_duration(std::string_view text) noexcept {
  static constexpr detail::UnitText units[] = {
      {"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}};
  const auto ns = detail::parse_with_unit(text, units);
  if (!ns) return std::nullopt;
  return Duration{static_cast<Duration::rep>(*ns)};
}

}  // namespace proa
