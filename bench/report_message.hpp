// bench: a child's figures, or what went wrong, in one piece over its control socket.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include <tl/expected.hpp>

#include "process.hpp"
#include "report.hpp"

namespace proa::bench {

using Outcome = tl::expected<Sample, std::string>;

struct ReportMessage {
  char error[320] = {};
  std::uint32_t figures = 0;
  struct {
    char metric[16], unit[16];
    double value;
  } figure[8] = {};

  ReportMessage() = default;
  explicit ReportMessage(const Outcome& outcome);
  [[nodiscard]] Outcome outcome() const;
};

/// What the child reports next; an error names `who`.
[[nodiscard]] Outcome heard(ChildProcess& child, const std::string& who,
                            std::chrono::milliseconds patience);

}  // namespace proa::bench
