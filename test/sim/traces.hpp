// Simulation: the hashes of what happened in some seeds, kept in a file: every compiler,
// optimization and sanitizer must come to the same.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace proa::sim {

/// Behaviour changed on purpose? PROA_UPDATE_SNAPSHOT=1 writes the file anew.
class Traces {
 public:
  explicit Traces(std::string file) : file_(std::move(file)) {}

  void add(std::uint64_t seed, std::uint64_t trace) { seen_.push_back({seed, trace}); }

  /// False, and printed, if anything differs from the file.
  [[nodiscard]] bool hold() const {
    if (file_.empty()) return true;
    if (std::getenv("PROA_UPDATE_SNAPSHOT") != nullptr) return write();
    std::ifstream in{file_};
    std::size_t differ = 0;
    for (const auto& [seed, trace] : seen_) {
      std::uint64_t expected_seed = 0, expected = 0;
      in >> std::dec >> expected_seed >> std::hex >> expected;
      if (in && expected_seed == seed && expected == trace) continue;
      ++differ;
      std::printf("seed %llu has trace %016llx, not that of %s\n",
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(trace),
                  file_.c_str());
    }
    if (differ != 0)
      std::puts("changed on purpose? run the same with PROA_UPDATE_SNAPSHOT=1; else runs differ");
    return differ == 0;
  }

 private:
  [[nodiscard]] bool write() const {
    std::ofstream out{file_};
    for (const auto& [seed, trace] : seen_)
      out << std::dec << seed << ' ' << std::hex << trace << '\n';
    return out.good();
  }

  std::string file_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen_;
};

}  // namespace proa::sim
