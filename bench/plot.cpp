// bench: a diagram for people, drawn by gnuplot where it is installed.
#include "plot.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace proa::bench {
namespace {

constexpr int panel_width = 560, height = 480;  // pixels

/// As gnuplot takes it between double quotes.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string head(const Diagram& diagram, const std::string& svg_file) {
  std::string marks;
  for (std::size_t i = 0; i < diagram.marks.size(); ++i)
    marks += fmt::format("{}{} {}", i == 0 ? "" : ", ", quoted(diagram.marks[i]), i);
  const auto panels = std::max<std::size_t>(diagram.panels.size(), 1);
  const auto columns = diagram.columns != 0 ? diagram.columns : panels;
  const auto rows = (panels + columns - 1) / columns;
  return fmt::format(
      "set terminal svg size {},{} font \"sans,13\" background \"white\" noenhanced\n"
      "set output {}\nset multiplot layout {},{} title {} font \"sans,16\"\n"
      "set xlabel {}\nset xtics ({})\nset xrange [-0.4:{}]\nset grid\nset key below spacing 1.3\n"
      "set bmargin 6\nset offsets 0, 0, graph 0.05, 0\n",
      columns * panel_width, rows * height, quoted(svg_file), rows, columns, quoted(diagram.title),
      quoted(diagram.x_axis), marks, static_cast<double>(diagram.marks.size()) - 0.6);
}

std::string block(const std::string& name, const Curve& curve) {
  std::string out = fmt::format("${} << EOD\n", name);
  for (std::size_t i = 0; i < curve.values.size(); ++i)
    if (curve.values[i]) out += fmt::format("{} {}\n", i, *curve.values[i]);
  return out + "EOD\n";
}

bool is_empty(const Curve& curve) {
  return std::none_of(curve.values.begin(), curve.values.end(),
                      [](const auto& value) { return value.has_value(); });
}

std::string panel(const Panel& panel, std::size_t index) {
  std::string out = fmt::format("set ylabel {}\n{}\n", quoted(panel.y_axis),
                                panel.logarithmic ? "set logscale y\nset yrange [*:*]"
                                                  : "unset logscale y\nset yrange [0:*]");
  std::string plots;
  int colour = 0;
  for (std::size_t i = 0; i < panel.curves.size(); ++i) {
    const Curve& curve = panel.curves[i];
    if (!curve.reference) ++colour;  // the same curve of every panel has the same one
    if (is_empty(curve)) continue;
    const std::string name = fmt::format("panel{}curve{}", index, i);
    out += block(name, curve);
    plots += fmt::format("{}${} with {} title {}", plots.empty() ? "plot " : ", ", name,
                         curve.reference ? "lines lw 2 dt 2 lc rgb \"#888888\""
                                         : fmt::format("linespoints lw 2 pt {0} lc {0}", colour),
                         quoted(curve.name));
  }
  return plots.empty() ? "set multiplot next\n" : out + plots + "\n";
}

std::string commands(const Diagram& diagram, const std::string& svg_file) {
  std::string out = head(diagram, svg_file);
  for (std::size_t i = 0; i < diagram.panels.size(); ++i) out += panel(diagram.panels[i], i);
  return out + "unset multiplot\n";
}

}  // namespace

std::optional<double> value_of(const std::vector<Row>& rows, const std::string& name,
                               const std::string& metric, double scale) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
    return row.labels.name == name && row.metric == metric;
  });
  if (found == rows.end()) return std::nullopt;
  return found->value * scale;
}

tl::expected<void, std::string> draw(const Diagram& diagram, const std::string& svg_file) {
  if (std::system("command -v gnuplot > /dev/null") != 0)
    return tl::unexpected<std::string>(
        "no diagram: gnuplot is missing; apt-get install gnuplot-nox");
  std::FILE* gnuplot = ::popen("gnuplot", "w");
  if (gnuplot == nullptr) return tl::unexpected<std::string>("gnuplot does not start");
  const std::string text = commands(diagram, svg_file);
  const bool written = std::fwrite(text.data(), 1, text.size(), gnuplot) == text.size();
  const int status = ::pclose(gnuplot);
  if (written && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return tl::unexpected(fmt::format("gnuplot could not draw {}", svg_file));
}

}  // namespace proa::bench
