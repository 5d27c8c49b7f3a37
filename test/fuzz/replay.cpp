// Fuzzing: runs a target on every input of some folders, with any compiler: the corpus as a test.
// Usage: replay_TARGET FILE_OR_FOLDER...
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "input.hpp"

namespace {

namespace fs = std::filesystem;

std::string current;  // named when the process dies of it

void on_abort(int) {
  const auto ignored = ::write(2, current.data(), current.size());
  static_cast<void>(ignored);
  std::signal(SIGABRT, SIG_DFL);
}

std::vector<fs::path> inputs(int argc, char** argv) {
  std::vector<fs::path> out;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      out.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(argv[i])) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, on_abort);
  const auto paths = inputs(argc, argv);
  for (const auto& path : paths) {
    current = "aborted on input " + path.string() + "\n";
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%zu inputs replayed\n", paths.size());
  return paths.empty() ? 1 : 0;  // a corpus that is not found would prove nothing
}
