// bench: a diagram for people, drawn by gnuplot where it is installed.
#include "plot.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

namespace proa::bench {
namespace {

/// As gnuplot takes it between double quotes.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string commands(const Diagram& diagram, const std::string& svg_file) {
  std::string out = fmt::format(
      "set terminal svg size 900,540 font \"sans,13\" background \"white\"\n"
      "set output {}\nset title {}\nset xlabel {}\nset ylabel {}\nset y2label {}\n"
      "set yrange [0:*]\nset ytics nomirror\nset y2tics\nset logscale y2\n"
      "set grid\nset key below\n",
      quoted(svg_file), quoted(diagram.title), quoted(diagram.x_axis), quoted(diagram.left_axis),
      quoted(diagram.right_axis));
  std::string plots;
  for (std::size_t i = 0; i < diagram.curves.size(); ++i) {
    const Curve& curve = diagram.curves[i];
    out += fmt::format("$data{} << EOD\n", i);
    for (const auto& [x, y] : curve.points) out += fmt::format("{} {}\n", x, y);
    out += "EOD\n";
    plots += fmt::format("{}$data{} using 1:2 axes x1y{} with linespoints lw 2 title {}",
                         i == 0 ? "plot " : ", ", i, curve.right_axis ? 2 : 1, quoted(curve.name));
  }
  return out + plots + "\n";
}

}  // namespace

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
