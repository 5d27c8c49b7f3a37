// bench: the common harness. A bench describes its cases; the harness repeats and judges them.
#include "harness.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <utility>

namespace proa::bench {

struct Bench::State {
  explicit State(Description about)
      : description(std::move(about)), cli(description.question, description.name) {}

  void say(const std::string& sentence) const;
  void take_lock();
  // False when the group cannot be measured at all. A repeat disturbed to the last may be missing.
  [[nodiscard]] bool repeat_once(const CaseGroup& group, std::vector<CaseRepeats>& accepted);
  [[nodiscard]] bool repeat_unjudged(const CaseGroup& group, std::vector<CaseRepeats>& accepted);
  void print_circumstances(const std::vector<CaseRepeats>& results) const;
  void name_missing_rows(const std::vector<CaseRepeats>& results) const;

  Description description;
  CLI::App cli;
  Options options;
  std::optional<MachineLock> lock;
  std::chrono::steady_clock::time_point patient_until{};  // set with the lock
  std::vector<Row> rows;
  std::uint32_t groups_accepted = 0;  // repeats, to number those measured together
  bool failed = false;
};

namespace {

// Every option shows its unit and its default, if it has one that is not said in words.
void describe(CLI::Option* option, std::string unit) {
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  option->type_name(unit)->capture_default_str();
  if (option->get_default_str() == "[]") option->default_str("");
}

void add_common_options(CLI::App& cli, Options& options, const Description& description) {
  describe(cli.add_option("--repeats", options.repeats, "accepted repeats per case")
               ->check(CLI::Range(1, 1000)),
           "COUNT");
  describe(cli.add_option("--seconds", options.seconds, "measuring time of one repeat")
               ->check(CLI::Range(0.001, 3600.0)),
           "SECONDS");
  describe(cli.add_option("--json", options.json,
                          "write one JSON object per row and line to this file (- is stdout)"),
           "FILE");
  describe(cli.add_option("--cores", options.cores,
                          "processors for its threads (the first allowed ones unless given)")
               ->delimiter(','),
           "NUMBER,...");
  describe(cli.add_option("--other-load-max", options.other_load_percent_max,
                          "share of all processors other processes may take during a repeat")
               ->check(CLI::Range(0.0, 100.0)),
           "PERCENT");
  describe(cli.add_option("--attempts", options.attempts,
                          "times a disturbed repeat is done before it is kept and reported")
               ->check(CLI::Range(1, 100)),
           "COUNT");
  describe(cli.add_option("--patience", options.patience_s,
                          "time of measuring after which no disturbed repeat is done again"),
           "SECONDS");
  cli.add_flag("--any-mood", options.any_mood,
               "keep every repeat, whatever the machine's mood and load: to try a bench out");
  describe(cli.add_option("--lock-wait", options.lock_wait_s, "patience for another bench to end"),
           "SECONDS");
  if (!description.wires.empty())
    describe(cli.add_option("--wire", options.wire, "wire to measure on")
                 ->check(CLI::IsMember(description.wires)),
             "NAME");
  if (!options.sizes.empty())
    describe(cli.add_option("--size", options.sizes, "message sizes")->delimiter(','), "BYTES,...");
  if (!options.windows.empty())
    describe(cli.add_option("--window", options.windows, "messages outstanding")
                 ->delimiter(',')
                 ->check(CLI::PositiveNumber),
             "MESSAGES,...");
}

// A loaded machine may not tell its mood; only two known and different ones are a change.
bool comparable(Mood before, Mood after) {
  return before == after || before == Mood::unknown || after == Mood::unknown;
}

std::string judge(const MoodReading& before, const MoodReading& after, double load,
                  double load_max) {
  if (!comparable(before.mood, after.mood))
    return fmt::format("the machine's mood changed from {} to {}", text(before.mood),
                       text(after.mood));
  if (load > load_max) return fmt::format("other processes took {:.0f} % of the processors", load);
  return {};
}

/// One sample for each case of a group, all under the same circumstances.
void add_repeats(std::vector<CaseRepeats>& to, std::vector<Sample> samples,
                 const Repeat& circumstances) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i].repeats.push_back(circumstances);
    to[i].repeats.back().sample = std::move(samples.at(i));
  }
}

}  // namespace

CaseGroup alone(const Case& one) {
  const auto repeat = [one] {
    return one.repeat().map([](Sample sample) { return std::vector<Sample>{std::move(sample)}; });
  };
  return {one.labels.name, {one.labels}, repeat, one.any_mood};
}

Bench::Bench(Description description) : state_(std::make_unique<State>(std::move(description))) {
  if (!state_->description.wires.empty()) state_->options.wire = state_->description.wires.front();
}
Bench::~Bench() = default;

void Bench::option(const std::string& flag, std::uint32_t& value, const std::string& unit,
                   const std::string& help) {
  describe(state_->cli.add_option(flag, value, help), unit);
}
void Bench::option(const std::string& flag, double& value, const std::string& unit,
                   const std::string& help) {
  describe(state_->cli.add_option(flag, value, help), unit);
}
void Bench::option(const std::string& flag, std::string& value, const std::string& unit,
                   const std::string& help) {
  describe(state_->cli.add_option(flag, value, help), unit);
}
void Bench::option(const std::string& flag, std::vector<std::string>& value,
                   const std::string& unit, const std::string& help) {
  describe(state_->cli.add_option(flag, value, help)->delimiter(','), unit);
}
void Bench::option(const std::string& flag, std::vector<std::uint32_t>& value,
                   const std::string& unit, const std::string& help) {
  describe(state_->cli.add_option(flag, value, help)->delimiter(',')->check(CLI::PositiveNumber),
           unit);
}
void Bench::flag(const std::string& flag, bool& value, const std::string& help) {
  state_->cli.add_flag(flag, value, help);
}

std::optional<int> Bench::parse(int argc, char** argv) {
  auto& options = state_->options;
  add_common_options(state_->cli, options, state_->description);
  try {
    state_->cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return state_->cli.exit(error);
  }
  const auto allowed = allowed_cores();
  for (const int core : options.cores)
    if (std::find(allowed.begin(), allowed.end(), core) == allowed.end()) {
      fmt::print(stderr, "--cores: this process may not run on processor {}\n", core);
      return 2;
    }
  if (options.cores.empty()) options.cores = allowed;
  if (!enough_cores() && !state_->description.virtual_time)
    say("One processor only: figures across cores measure its scheduler, not the code.");
  return std::nullopt;
}

Options& Bench::options() noexcept { return state_->options; }

int Bench::core(std::size_t i) const noexcept {
  const auto& cores = state_->options.cores;
  return cores[i % cores.size()];
}

bool Bench::enough_cores() const noexcept { return state_->options.cores.size() >= 2; }

void Bench::simulate() noexcept { state_->description.virtual_time = true; }

void Bench::say(const std::string& sentence) { state_->say(sentence); }

void Bench::State::say(const std::string& sentence) const {
  fmt::print(stderr, "{}: {}\n", description.name, sentence);
}

void Bench::State::take_lock() {
  if (lock || description.virtual_time) return;
  auto taken = MachineLock::take(std::chrono::seconds{options.lock_wait_s},
                                 [&] { say("waiting for another bench on this machine"); });
  if (taken)
    lock.emplace(std::move(*taken));
  else
    say(taken.error() + " (measuring without the lock)");
  patient_until = std::chrono::steady_clock::now() +
                  std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                      std::chrono::duration<double>(options.patience_s));
}

bool Bench::State::repeat_once(const CaseGroup& group, std::vector<CaseRepeats>& accepted) {
  if (group.any_mood || options.any_mood || description.virtual_time)
    return repeat_unjudged(group, accepted);
  const int core_a = options.cores.front();
  const int core_b = options.cores[options.cores.size() > 1 ? 1 : 0];
  std::string complaint;
  std::uint32_t attempts = 0;
  for (bool again = true; again;) {
    const auto before = read_mood(core_a, core_b);
    const OtherLoad other_load;
    auto samples = group.repeat();
    const double load = other_load.percent();
    const auto after = read_mood(core_a, core_b);
    again = ++attempts < options.attempts && std::chrono::steady_clock::now() < patient_until;
    complaint = judge(before, after, load, options.other_load_percent_max);
    if (!samples) {
      if (again && !complaint.empty()) continue;  // others may have kept it from its work
      say(fmt::format("{}: {}", group.name, samples.error()));
      return false;
    }
    const bool usable = comparable(before.mood, after.mood);
    if (complaint.empty() || (!again && usable)) {
      if (!complaint.empty()) say(fmt::format("{}: kept although {}", group.name, complaint));
      const auto& known = before.mood != Mood::unknown ? before : after;
      add_repeats(accepted, std::move(*samples),
                  {{}, known.mood, known.round_trip_ns, load, ++groups_accepted});
      return true;
    }
  }
  say(fmt::format("{}: a repeat is missing, {}", group.name, complaint));
  return true;
}

bool Bench::State::repeat_unjudged(const CaseGroup& group, std::vector<CaseRepeats>& accepted) {
  auto samples = group.repeat();
  if (!samples) return say(fmt::format("{}: {}", group.name, samples.error())), false;
  add_repeats(accepted, std::move(*samples), {.together = ++groups_accepted});
  return true;
}

void Bench::State::print_circumstances(const std::vector<CaseRepeats>& results) const {
  if (description.virtual_time)
    return fmt::print("{}: simulated, the same on every machine\n", description.name);
  const Mood mood = reported_mood(results);
  double round_trip_ns = 0, load = 0;
  std::size_t kept = 0, left_out = 0;
  for (const auto& one : results)
    for (const auto& repeat : one.repeats) {
      if (repeat.mood != mood) {
        ++left_out;
        continue;
      }
      round_trip_ns += repeat.round_trip_ns;
      load = std::max(load, repeat.other_load_percent);
      ++kept;
    }
  if (kept == 0 || (mood == Mood::unknown && load == 0)) return;  // nobody looked
  fmt::print("{}: mood {}", description.name, text(mood));
  if (mood != Mood::unknown)
    fmt::print(", cache line there and back {:.0f} ns", round_trip_ns / static_cast<double>(kept));
  fmt::print(", other processes at most {:.0f} % of the processors", load);
  if (left_out > 0) fmt::print(", {} repeats in another mood left out", left_out);
  fmt::print("\n");
}

/// Moods are not compared, so a case that was measured in the other one only has no row.
void Bench::State::name_missing_rows(const std::vector<CaseRepeats>& results) const {
  const Mood mood = reported_mood(results);
  for (const auto& one : results) {
    const auto& repeats = one.repeats;
    const auto is_shown = [mood](const Repeat& repeat) { return repeat.mood == mood; };
    if (!repeats.empty() && std::none_of(repeats.begin(), repeats.end(), is_shown))
      say(fmt::format("{}: a repeat is missing, it was measured in the machine's {} mood",
                      one.labels.name, text(repeats.front().mood)));
  }
}

void Bench::measure(const std::vector<Case>& cases, bool with_table) {
  std::vector<CaseGroup> groups;
  std::transform(cases.begin(), cases.end(), std::back_inserter(groups), alone);
  measure(groups, with_table);
}

void Bench::measure(const std::vector<CaseGroup>& groups, bool with_table) {
  auto& state = *state_;
  state.take_lock();
  std::vector<std::vector<CaseRepeats>> accepted(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (const auto& labels : groups[i].labels) accepted[i].push_back({labels, {}});
  std::vector<bool> given_up(groups.size());
  const bool progress = ::isatty(STDERR_FILENO) != 0;
  for (std::uint32_t round = 1; round <= state.options.repeats; ++round)
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (given_up[i]) continue;
      if (progress)
        fmt::print(stderr, "\r\033[K{} {}/{} {} ", state.description.name, round,
                   state.options.repeats, groups[i].name);
      given_up[i] = !state.repeat_once(groups[i], accepted[i]);
      state.failed = state.failed || given_up[i];
    }
  if (progress) fmt::print(stderr, "\r\033[K");
  std::vector<CaseRepeats> results;
  for (auto& of_group : accepted)
    std::move(of_group.begin(), of_group.end(), std::back_inserter(results));
  state.name_missing_rows(results);
  state.print_circumstances(results);
  auto rows = summarise(results);
  if (with_table) print_table(stdout, rows);
  std::fflush(stdout);
  std::move(rows.begin(), rows.end(), std::back_inserter(state.rows));
}

const std::vector<Row>& Bench::rows() const noexcept { return state_->rows; }

int Bench::finish() {
  state_->lock.reset();
  const auto& file = state_->options.json;
  if (!file.empty()) {
    std::FILE* const out = file == "-" ? stdout : std::fopen(file.c_str(), "w");
    if (out == nullptr) {
      say(fmt::format("--json: cannot write {}: {}", file, std::strerror(errno)));
      return 2;
    }
    for (const auto& row : state_->rows)
      fmt::print(out, "{}\n", to_json(state_->description.name, row));
    if (out != stdout) std::fclose(out);
  }
  if (state_->rows.empty()) {
    say("no figure came out of it");
    return state_->failed ? 1 : 3;
  }
  return state_->failed ? 1 : 0;
}

}  // namespace proa::bench
