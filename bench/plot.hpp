// bench: a diagram for people, drawn by gnuplot where it is installed.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace proa::bench {

struct Curve {
  std::string name{};
  std::vector<std::pair<double, double>> points{};
  bool right_axis = false;
};

struct Diagram {
  std::string title{}, x_axis{}, left_axis{}, right_axis{};
  std::vector<Curve> curves{};
};

/// Writes an SVG file. An error is a sentence; gnuplot missing is one too.
[[nodiscard]] tl::expected<void, std::string> draw(const Diagram& diagram,
                                                   const std::string& svg_file);

}  // namespace proa::bench
