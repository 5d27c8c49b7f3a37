// sidecar: what the control thread gathers for `proa status`.
#include <unistd.h>

#include <algorithm>

#include "daemon.hpp"

namespace proa::sidecar {
namespace {

constexpr Duration report_limit = std::chrono::milliseconds{500};
constexpr std::size_t flows_shown_max = 4096;  // of each engine: it tells of them in one go

}  // namespace

std::string Daemon::status(const ControlPeer&, std::string_view query) {
  const Status status = gather();
  if (query == "json") return status_json(status);
  return status_text(status, query == "all");
}

Status Daemon::gather() {
  std::erase_if(reports_, [](const auto& entry) { return entry.second.done; });  // late ones
  const std::uint32_t first = next_report_;
  for (std::uint32_t i = 0; i < engines_.size(); ++i) {
    PendingReport& pending = reports_[next_report_];
    pending.report = std::make_unique<EngineReport>();
    pending.report->flows.reserve(flows_shown_max);
    pending.report->channels.reserve(config_.quotas.channels);
    EngineCommand command;
    command.kind = EngineCommand::Kind::report;
    command.request = next_report_++;
    command.report = pending.report.get();
    if (!link(i).post(command)) reports_.erase(command.request);
  }
  const Instant until = monotonic_now() + report_limit;
  const auto missing = [&](const auto& entry) {
    return entry.first >= first && !entry.second.done;
  };
  while (std::any_of(reports_.begin(), reports_.end(), missing) && monotonic_now() < until)
    wait_for_answers(std::chrono::milliseconds{50});

  Status s;
  s.pid = ::getpid();
  s.up_s = std::chrono::duration<double>(monotonic_now() - started_).count();
  s.socket = config_.control.socket;
  s.user = user_;
  s.sessions = control_->sessions();
  s.control = control_->counters();
  s.faults = faults_;
  std::uint32_t engine = 0;
  for (const NamedInterface& interface : interfaces_) {
    InterfaceStatus& shown = s.interfaces.emplace_back();
    shown.name = interface.name;
    shown.options = interface.host.interface;
    for (const auto& host : interface.host.engines) {
      shown.nic = host->nic_text();
      EngineStatus& e = shown.engines.emplace_back();
      const auto found = reports_.find(first + engine);
      e.index = engine++;
      e.answered = found != reports_.end() && found->second.done;
      if (e.answered) e.report = *found->second.report;
    }
  }
  for (const auto& [channel, a] : applications_)
    s.channels.push_back({channel, a.engine, a.app, a.name,
                          a.leaving  ? "leaving"
                          : a.server ? "serving"
                                     : "attaching",
                          a.peer, a.memory_bytes});
  return s;
}

}  // namespace proa::sidecar
