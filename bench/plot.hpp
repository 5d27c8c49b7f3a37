// bench: a diagram for people, drawn by gnuplot where it is installed.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "report.hpp"

namespace proa::bench {

struct Curve {
  std::string name{};
  std::vector<std::optional<double>> values{};  // one for each mark of the x axis, if measured
  bool reference = false;                       // what the others are compared with: grey, dashed
};

/// One set of axes. All have the same x axis.
struct Panel {
  std::string y_axis{};
  bool logarithmic = false;
  std::vector<Curve> curves{};
};

/// The marks of the x axis are the cases that were measured, equally far apart.
struct Diagram {
  std::string title{}, x_axis{};
  std::vector<std::string> marks{};
  std::vector<Panel> panels{};
  std::size_t columns = 0;  // panels side by side, row by row; 0: all of them
};

/// What a case came to; nothing where it has no such row.
[[nodiscard]] std::optional<double> value_of(const std::vector<Row>& rows, const std::string& name,
                                             const std::string& metric, double scale = 1);

/// Writes an SVG file. An error is a sentence; gnuplot missing is one too.
[[nodiscard]] tl::expected<void, std::string> draw(const Diagram& diagram,
                                                   const std::string& svg_file);

}  // namespace proa::bench
