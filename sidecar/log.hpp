// sidecar: messages to the operator, one line each, on standard error.
#pragma once
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "config.hpp"

namespace proa::sidecar {

/// Threading: any; a line is written by one call.
class Log {
 public:
  explicit Log(LogLevel level) noexcept : level_(level) {}

  template <class... Arguments>
  void operator()(LogLevel level, fmt::format_string<Arguments...> text,
                  Arguments&&... arguments) const {
    if (level > level_) return;
    const std::string line =
        fmt::format("proad: {}\n", fmt::format(text, std::forward<Arguments>(arguments)...));
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

 private:
  LogLevel level_;
};

}  // namespace proa::sidecar
