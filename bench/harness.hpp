// bench: the common harness. A bench describes its cases; the harness repeats and judges them.
//
//   int main(int argc, char** argv) {
//     Bench bench{{.name = "bench_x", .question = "How long does ... take?", .wires = {"veth"}}};
//     bench.option("--flows", flows, "flows", "concurrent flows");      // the bench's own options
//     if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
//     std::vector<Case> cases;   // subject and reference: repeats are interleaved
//     cases.push_back({{.name = "raw l2", ...}, [&] { return measure_raw(bench.options()); }});
//     cases.push_back({{.name = "proa", ..., .reference = "raw l2"}, [&] { ... }});
//     bench.measure(cases);   // may be called several times: one table each
//     return bench.finish();
//   }
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "histogram.hpp"
#include "machine.hpp"
#include "report.hpp"

namespace proa::bench {

/// Options every bench has; defaults may be changed before parse().
struct Options {
  std::uint32_t repeats = 5;             // accepted repeats per case
  double seconds = 0.3;                  // of measuring per repeat
  std::string json{};                    // file for one JSON object per row; empty: none
  std::string wire{};                    // one of Description::wires; empty: the bench has no wire
  std::vector<std::uint32_t> sizes{};    // bytes per message
  std::vector<std::uint32_t> windows{};  // messages outstanding
  std::vector<int> cores{};  // where its threads are pinned; default: the first two allowed
  double other_load_percent_max = 5;  // above it a repeat is done again ...
  std::uint32_t attempts = 3;         // ... at most so often in all
  double patience_s = 3600;           // of measuring; then no repeat is done again
  bool any_mood = false;              // nothing is judged: to see that a bench works
  std::uint32_t lock_wait_s = 600;    // for another bench to end
};

struct Description {
  std::string name{};
  std::string question{};            // one sentence for --help
  std::vector<std::string> wires{};  // accepted by --wire, the first is the default
  bool virtual_time = false;         // of the simulator: the machine is not in its figures
};

/// One way of measuring. `repeat` measures once, for about Options::seconds, in the state of mind
/// of one who is interleaved with others: it starts what it needs and leaves nothing running.
/// An error sentence ends the case unless others disturbed it and there are attempts left: it is
/// printed and the program fails; a case this machine cannot
/// measure is better left out, with Bench::say() and the reason.
struct Case {
  Labels labels{};
  std::function<tl::expected<Sample, std::string>()> repeat;
  bool any_mood = false;  // its figures do not depend on the machine's mood or on other load
};

/// Several ways that are only told apart when one measurement follows the other in the same two
/// processes: `repeat` measures them all, one sample per label, each of about Options::seconds.
/// Ratios between its rows are medians of those within each repeat. An error ends the whole group.
/// It is judged as a whole too: the longer it takes, the less of others' load shows.
struct CaseGroup {
  std::string name{};  // for what is said of it; its rows have theirs
  std::vector<Labels> labels{};
  std::function<tl::expected<std::vector<Sample>, std::string>()> repeat{};
  bool any_mood = false;
};
/// A group of one.
[[nodiscard]] CaseGroup alone(const Case& one);

class Bench {
 public:
  explicit Bench(Description description);
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Before parse(): an option of the bench itself, with its unit; the value is its default.
  void option(const std::string& flag, std::uint32_t& value, const std::string& unit,
              const std::string& help);
  void option(const std::string& flag, double& value, const std::string& unit,
              const std::string& help);
  void option(const std::string& flag, std::string& value, const std::string& unit,
              const std::string& help);
  void option(const std::string& flag, std::vector<std::string>& value, const std::string& unit,
              const std::string& help);
  void option(const std::string& flag, std::vector<std::uint32_t>& value, const std::string& unit,
              const std::string& help);
  void flag(const std::string& flag, bool& value, const std::string& help);

  /// The exit code when the program shall end here (--help, a wrong option).
  [[nodiscard]] std::optional<int> parse(int argc, char** argv);

  [[nodiscard]] Options& options() noexcept;
  /// The core for the i-th busy thread; they wrap around when there are fewer.
  [[nodiscard]] int core(std::size_t i) const noexcept;
  [[nodiscard]] bool enough_cores() const noexcept;  // at least two

  /// After parse(): what is measured from now on is on the simulator's virtual time.
  void simulate() noexcept;

  /// A sentence for the reader, such as what this machine cannot do; printed at once.
  void say(const std::string& sentence);

  /// Runs all cases or groups, repeats interleaved, and prints their table, unless the bench prints
  /// one of its own. Takes the machine-wide lock.
  void measure(const std::vector<Case>& cases, bool with_table = true);
  void measure(const std::vector<CaseGroup>& groups, bool with_table = true);
  /// Of all measurements so far.
  [[nodiscard]] const std::vector<Row>& rows() const noexcept;

  /// Writes the JSON file; the exit code: 0 when at least one row came out and nothing failed, 3
  /// when nothing failed but every repeat was disturbed to the last, so that there is no row.
  [[nodiscard]] int finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace proa::bench
