// sidecar: sizes and durations as people write them.
#include "units_text.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace proa::sidecar {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array byte_units{Unit{"GiB", 1U << 30U}, Unit{"MiB", 1U << 20U},
                                Unit{"KiB", 1U << 10U}, Unit{"B", 1}};
constexpr std::array time_units{
    Unit{"h", 3'600'000'000'000}, Unit{"min", 60'000'000'000}, Unit{"s", 1'000'000'000},
    Unit{"ms", 1'000'000},        Unit{"us", 1'000},           Unit{"ns", 1}};

std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{}) return std::nullopt;
  std::string_view name{after, static_cast<std::size_t>(end - after)};
  while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > std::uint64_t{std::numeric_limits<std::int64_t>::max()} / unit.factor)
      return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

std::string write(std::uint64_t value, std::span<const Unit> units) {
  for (const Unit& unit : units)
    if (value >= unit.factor && value % unit.factor == 0)
      return std::to_string(value / unit.factor) + " " + std::string{unit.name};
  return "0 " + std::string{units.back().name};
}

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) { return parse(text, byte_units); }
std::string bytes_text(std::uint64_t bytes) { return write(bytes, byte_units); }

std::optional<Duration> parse_duration(std::string_view text) {
  const auto ns = parse(text, time_units);
  if (!ns) return std::nullopt;
  return Duration{static_cast<std::int64_t>(*ns)};
}
std::string duration_text(Duration duration) {
  return write(static_cast<std::uint64_t>(duration.count()), time_units);
}

}  // namespace proa::sidecar
