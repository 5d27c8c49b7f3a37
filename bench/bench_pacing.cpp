// bench: what pacing costs a flow that is not paced, and one that is: whole engines, virtual time,
// each beside the same with pacing compiled out.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness.hpp"
#include "quiet_pair.hpp"

namespace {

using namespace proa;
using namespace proa::bench;

/// Pacing compiled out: the answer is a constant.
struct Unpaced : AnyCongestion {
  [[nodiscard]] static constexpr Duration pacing_interval(std::uint32_t) noexcept { return {}; }
};
/// Paced by window and round trip at every packet, as Swift is while congested.
struct AlwaysPaced : AnyCongestion {
  void on_ack(const AckSample& ack) noexcept {
    smoothed_rtt = ack.smoothed_rtt;
    AnyCongestion::on_ack(ack);
  }
  [[nodiscard]] Duration pacing_interval(std::uint32_t bytes) const noexcept {
    return smoothed_rtt * bytes / window_bytes();
  }
  Duration smoothed_rtt{};
};
/// Every packet waits for its turn on the timing wheel.
struct HeldBack : AnyCongestion {
  [[nodiscard]] static constexpr Duration pacing_interval(std::uint32_t) noexcept { return 1us; }
};
template <CongestionController C>
struct PolicyOf : DefaultPolicy {
  using Congestion = C;
};

struct Load {
  std::uint32_t size, window;
  std::uint64_t stretch;  // messages: some 100 us
};
constexpr std::array<Load, 3> loads{{{64, 1, 400}, {64, 64, 1500}, {8192, 8, 60}}};

/// A pair at work.
class Contender {
 public:
  virtual ~Contender() = default;
  [[nodiscard]] virtual bool ready() = 0;
  virtual void run() = 0;  // for one stretch
  [[nodiscard]] virtual Sample result() = 0;
};

template <class Policy>
class PairAtWork : public Contender {
 public:
  PairAtWork(const Load& load, CongestionKind kind) : load_(load), pair_(options(kind)) {
    pair_.sender().size = load.size;
    pair_.sender().window = load.window;
  }
  bool ready() override {
    if (!pair_.connect()) return false;
    for (int i = 0; i < 20'000; ++i) pair_.turn();  // past start-up
    delivered_ = pair_.delivered();
    timers_ = pair_.timers();
    return delivered_ != 0;
  }
  void run() override {
    using Clock = std::chrono::steady_clock;
    const std::uint64_t before = pair_.delivered();
    const auto begin = Clock::now();
    while (pair_.delivered() - before < load_.stretch) pair_.turn();
    const std::chrono::duration<double, std::nano> spent = Clock::now() - begin;
    costs_.push_back(spent.count() / static_cast<double>(pair_.delivered() - before));
  }
  /// Of the quickest tenth of all stretches: who else was on this core, or on the other half of
  /// it, is in the rest.
  Sample result() override {
    const auto tenth = costs_.begin() + static_cast<std::ptrdiff_t>(costs_.size() / 10);
    std::nth_element(costs_.begin(), tenth, costs_.end());
    const auto messages = static_cast<double>(pair_.delivered() - delivered_);
    const auto expired = static_cast<double>(pair_.timers() - timers_);
    return {{"cost", "ns/message", *tenth},
            {"timers", "per 1000 messages", 1000 * expired / messages}};
  }

 private:
  static FlowOptions options(CongestionKind kind) {
    FlowOptions out;
    out.congestion = kind;
    return out;
  }
  const Load load_;
  QuietPair<Policy> pair_;
  std::uint64_t delivered_ = 0, timers_ = 0;  // when the measuring began
  std::vector<double> costs_;
};

/// All cases of one load take turns stretch by stretch: the machine is the same for all of them.
/// Whoever is asked first has all of them run.
class Contest {
 public:
  using Make = std::function<std::unique_ptr<Contender>()>;

  explicit Contest(double seconds) : seconds_(seconds) {}
  std::size_t add(Make make) {
    makes_.push_back(std::move(make));
    results_.emplace_back();
    return makes_.size() - 1;
  }
  tl::expected<Sample, std::string> result_of(std::size_t i) {
    if (results_[i].empty() && !run())
      return tl::make_unexpected("the two engines do not come together");
    return std::exchange(results_[i], Sample{});
  }

 private:
  bool run() {
    std::vector<std::unique_ptr<Contender>> contenders;
    for (const Make& make : makes_) {
      contenders.push_back(make());
      if (!contenders.back()->ready()) return false;
    }
    using Clock = std::chrono::steady_clock;
    const std::chrono::duration<double> all{seconds_ * static_cast<double>(contenders.size())};
    const auto begin = Clock::now();
    while (Clock::now() - begin < all)
      for (const auto& contender : contenders) contender->run();
    for (std::size_t i = 0; i < contenders.size(); ++i) results_[i] = contenders[i]->result();
    return true;
  }

  const double seconds_;
  std::vector<Make> makes_;
  std::vector<Sample> results_;  // of the last run; empty: taken already
};

template <class Policy>
Case make_case(const std::string& name, const Load& load, CongestionKind kind,
               const std::string& reference, const std::shared_ptr<Contest>& contest) {
  Labels labels;
  labels.name = name;
  labels.placement = name;
  labels.size = load.size;
  labels.has_size = true;
  labels.window = load.window;
  labels.reference = reference;
  const std::size_t i =
      contest->add([=] { return std::make_unique<PairAtWork<Policy>>(load, kind); });
  return {std::move(labels), [=] { return contest->result_of(i); }};
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench{{.name = "bench_pacing",
               .question = "What does pacing cost, while it is bypassed and while it is not?",
               .wires = {}}};
  if (const auto exit_code = bench.parse(argc, argv)) return *exit_code;
  using AsItIs = DefaultPolicy;
  constexpr auto swift = CongestionKind::swift, cubic = CongestionKind::cubic;
  for (const Load& load : loads) {
    bench.say(
        fmt::format("{} bytes, {} outstanding; both ends' work together", load.size, load.window));
    const auto all = std::make_shared<Contest>(bench.options().seconds);
    bench.measure({
        make_case<PolicyOf<Unpaced>>("Swift, no pacing compiled in", load, swift, {}, all),
        make_case<AsItIs>("Swift as it is: bypassed", load, swift, "Swift, no pacing compiled in",
                          all),
        make_case<PolicyOf<AlwaysPaced>>("Swift, every packet paced", load, swift,
                                         "Swift, no pacing compiled in", all),
        make_case<PolicyOf<HeldBack>>("Swift, every packet held back", load, swift,
                                      "Swift, no pacing compiled in", all),
        make_case<PolicyOf<Unpaced>>("Cubic, no pacing compiled in", load, cubic, {}, all),
        make_case<AsItIs>("Cubic as it is: always paced", load, cubic,
                          "Cubic, no pacing compiled in", all),
    });
  }
  return bench.finish();
}
