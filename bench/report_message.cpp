// bench: a child's figures, or what went wrong, in one piece over its control socket.
#include "report_message.hpp"

namespace proa::bench {

ReportMessage::ReportMessage(const Outcome& outcome) {
  if (!outcome) {
    outcome.error().copy(error, sizeof error - 1);
    return;
  }
  for (const Figure& from : *outcome) {
    auto& to = figure[figures++];
    from.metric.copy(to.metric, sizeof to.metric - 1);
    from.unit.copy(to.unit, sizeof to.unit - 1);
    to.value = from.value;
  }
}

Outcome ReportMessage::outcome() const {
  if (error[0] != '\0') return tl::unexpected<std::string>(error);
  Sample sample;
  for (std::uint32_t i = 0; i < figures; ++i)
    sample.push_back({figure[i].metric, figure[i].unit, figure[i].value});
  return sample;
}

Outcome heard(ChildProcess& child, const std::string& who, std::chrono::milliseconds patience) {
  const auto report = child.control().receive<ReportMessage>(patience);
  if (!report) return tl::unexpected("the " + who + " did not answer");
  auto outcome = report->outcome();
  if (!outcome) return tl::unexpected(who + ": " + outcome.error());
  return outcome;
}

}  // namespace proa::bench
