// sidecar: status as a table and as JSON, from one list of counters.
#include "status.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <proa/wire/address_text.hpp>

#include "json_text.hpp"
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

using Counter = std::pair<std::string_view, std::uint64_t>;

std::vector<Counter> engine_counters(const EngineReport& r) {
  const EngineCounters& c = r.counters;
  std::vector<Counter> out{{"turns", c.turns},
                           {"late_turns", c.late_turns},
                           {"sleeps", r.sleeps},
                           {"naps", r.naps},
                           {"rx_packets", c.rx_packets},
                           {"rx_bytes", c.rx_bytes},
                           {"tx_packets", c.tx_packets},
                           {"tx_bytes", c.tx_bytes},
                           {"tx_ring_full", c.tx_ring_full},
                           {"tx_pool_empty", c.tx_pool_empty},
                           {"loopback_packets", c.loopback_packets},
                           {"handed_over", c.handed_over},
                           {"handed_to_us", c.handed_to_us},
                           {"path_changes", c.path_changes},
                           {"path_returns", c.path_returns},
                           {"path_probes_sent", c.paths.probes_sent},
                           {"path_hits", c.paths.hits},
                           {"path_misses", c.paths.misses},
                           {"path_searches", c.paths.searches},
                           {"path_searches_in_vain", c.paths.searches_in_vain},
                           {"flows_connecting", c.flows_connecting},
                           {"flows_accepted", c.flows_accepted},
                           {"flows_ended", c.flows_ended},
                           {"flows_now", c.flows_now},
                           {"answers_refuse", c.answers_refuse},
                           {"answers_retry", c.answers_retry},
                           {"answers_unknown_flow", c.answers_unknown_flow},
                           {"nic_rx_packets", c.nic.rx_packets},
                           {"nic_rx_bytes", c.nic.rx_bytes},
                           {"nic_tx_packets", c.nic.tx_packets},
                           {"nic_tx_bytes", c.nic.tx_bytes},
                           {"nic_rx_missed", c.nic.rx_missed},
                           {"nic_rx_errors", c.nic.rx_errors},
                           {"nic_tx_errors", c.nic.tx_errors},
                           {"nic_rx_no_buffer", c.nic.rx_no_buffer},
                           {"nic_link_downs", c.nic.link_downs},
                           {"nic_resets", c.nic.resets},
                           {"nic_removals", c.nic.removals},
                           {"nic_reopened", c.nic.reopened},
                           {"nic_mismatches", c.nic.mismatches},
                           {"arp_requests_sent", r.interface.arp_requests_sent},
                           {"arp_requests_answered", r.interface.arp_requests_answered},
                           {"arp_replies_heard", r.interface.arp_replies_heard},
                           {"solicitations_sent", r.interface.solicitations_sent},
                           {"solicitations_answered", r.interface.solicitations_answered},
                           {"advertisements_heard", r.interface.advertisements_heard},
                           {"announcements_sent", r.interface.announcements_sent},
                           {"echo_requests_answered", r.interface.echo_requests_answered},
                           {"address_conflicts", r.interface.address_conflicts},
                           {"proxy_claims", r.interface.proxy_claims},
                           {"neighbours", r.neighbours}};
  return out;
}

std::vector<Counter> drop_counters(const DropCounters& drops) {
  std::vector<Counter> out;
  for (std::size_t i = 1; i < drop_count; ++i)
    out.emplace_back(text(static_cast<Drop>(i)), drops[static_cast<Drop>(i)]);
  return out;
}

std::vector<Counter> control_counters(const Status& s) {
  std::vector<Counter> out{{"sessions_now", s.sessions},
                           {"sessions", s.control.accepted},
                           {"over_quota", s.control.over_quota},
                           {"malformed", s.control.malformed},
                           {"unwanted_descriptors", s.control.unwanted_fds},
                           {"not_reading", s.control.not_reading},
                           {"silent", s.control.silent}};
  return out;
}

std::vector<Counter> fault_counters(const Status& s) {
  std::vector<Counter> out;
  for (std::size_t i = 1; i < s.faults.size(); ++i)
    out.emplace_back(text(static_cast<ChannelFault>(i)), s.faults[i]);
  return out;
}

std::string_view state_text(FlowState state) {
  constexpr std::array<std::string_view, flow_state_count> names{
      "syn_sent", "syn_received", "open", "closing", "resetting", "lingering", "finished"};
  const auto at = static_cast<std::size_t>(state);
  return at < names.size() ? names[at] : "unknown";
}

double microseconds(Duration d) { return static_cast<double>(d.count()) / 1000.0; }

/// Which channel a seat at an engine belongs to; 0: nobody's any more.
std::uint32_t channel_of(const Status& s, std::uint32_t engine, std::uint32_t app) {
  for (const ChannelStatus& c : s.channels)
    if (c.engine == engine && c.app == app) return c.channel;
  return 0;
}

const ChannelReport* report_of(const Status& s, const ChannelStatus& channel) {
  for (const InterfaceStatus& interface : s.interfaces)
    for (const EngineStatus& engine : interface.engines)
      for (const ChannelReport& report : engine.report.channels)
        if (engine.index == channel.engine && report.app == channel.app) return &report;
  return nullptr;
}

// --- text ---

/// Names come from applications: only what is harmless on a terminal is shown.
std::string printable(std::string text) {
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

void add_counters(std::string& out, std::string_view title, const std::vector<Counter>& counters,
                  bool all) {
  std::string line;
  for (const auto& [name, value] : counters) {
    if (value == 0 && !all) continue;
    const std::string entry = fmt::format(" {}={}", name, value);
    if (line.size() + entry.size() > 88) {
      out += fmt::format("    {:<9}{}\n", title, line);
      title = "";
      line.clear();
    }
    line += entry;
  }
  if (!line.empty()) out += fmt::format("    {:<9}{}\n", title, line);
}

void add_interface(std::string& out, const InterfaceStatus& i, bool all) {
  std::string addresses;
  for (const IpPrefix& p : i.options.addresses) addresses += ' ' + to_text(p);
  const std::string vlan = i.options.vlan == no_vlan ? "" : fmt::format(" vlan {}", i.options.vlan);
  out += fmt::format("interface {}: {}\n   {} mac {}{} mtu {} udp ports {}-{}\n", i.name, i.nic,
                     addresses, to_text(i.options.mac), vlan, i.options.mtu_bytes,
                     i.options.udp_port_first, i.options.udp_port_last);
  for (const EngineStatus& e : i.engines) {
    if (!e.answered) {
      out += fmt::format("  engine {}: did not answer in time\n", e.index);
      continue;
    }
    out += fmt::format("  engine {}: link {}, {} % busy, {} flows, {} channels{}\n", e.index,
                       e.report.link_up ? "up" : "down", e.report.busy_percent,
                       e.report.counters.flows_now, e.report.channels.size(),
                       e.report.gives_way ? ", gives way to other pollers" : "");
    add_counters(out, "counters", engine_counters(e.report), all);
    add_counters(out, "drops", drop_counters(e.report.counters.drops), all);
  }
}

void add_channels(std::string& out, const Status& s) {
  if (s.channels.empty()) return;
  out += fmt::format("{:<8}{:<20}{:>8}{:>8}{:>8}{:>8}{:>8}{:>12}{:>12}  {}\n", "channel",
                     "application", "pid", "uid", "engine", "flows", "leases", "requests", "events",
                     "state");
  for (const ChannelStatus& c : s.channels) {
    const ChannelReport* r = report_of(s, c);
    const ChannelReport report = r != nullptr ? *r : ChannelReport{};
    out += fmt::format("{:<8}{:<20}{:>8}{:>8}{:>8}{:>8}{:>8}{:>12}{:>12}  {}\n", c.channel,
                       printable(c.application).substr(0, 19), c.peer.pid, c.peer.uid, c.engine,
                       report.flows, report.leases, report.requests, report.events, c.state);
  }
}

void add_flows(std::string& out, const Status& s) {
  bool titled = false;
  for (const InterfaceStatus& interface : s.interfaces)
    for (const EngineStatus& engine : interface.engines)
      for (const FlowReport& f : engine.report.flows) {
        if (!titled)
          out += fmt::format("{:<8}{:<21} {:<21} {:<13}{:>10}{:>10}{:>10}{:>8}\n", "channel",
                             "local", "peer", "state", "rtt us", "sent", "received", "lost");
        titled = true;
        out += fmt::format("{:<8}{:<21} {:<21} {:<13}{:>10.1f}{:>10}{:>10}{:>8}\n",
                           channel_of(s, engine.index, f.app), to_text(f.info.local),
                           to_text(f.info.peer), state_text(f.info.state),
                           microseconds(f.info.smoothed_rtt), f.info.messages_sent,
                           f.info.messages_received, f.info.packets_lost);
      }
}

// --- JSON ---

using sidecar::json;  // of text

std::string json(const std::vector<Counter>& counters) {
  std::string out = "{";
  for (const auto& [name, value] : counters)
    out += fmt::format("{}{}:{}", out.size() > 1 ? "," : "", json(name), value);
  return out + "}";
}

std::string json_engine(const EngineStatus& e) {
  return fmt::format(
      "{{\"engine\":{},\"answered\":{},\"link_up\":{},\"gives_way\":{},\"busy_percent\":{},"
      "\"counters\":{},\"drops\":{}}}",
      e.index, e.answered, e.report.link_up, e.report.gives_way, e.report.busy_percent,
      json(engine_counters(e.report)), json(drop_counters(e.report.counters.drops)));
}

std::string json_interface(const InterfaceStatus& i) {
  return fmt::format(
      "{{\"interface\":{},\"nic\":{},\"mac\":{},\"vlan\":{},\"mtu_bytes\":{},\"udp_port_first\":{},"
      "\"udp_port_last\":{},\"addresses\":{},\"engines\":{}}}",
      json(i.name), json(i.nic), json(to_text(i.options.mac)), i.options.vlan, i.options.mtu_bytes,
      i.options.udp_port_first, i.options.udp_port_last,
      json_list(i.options.addresses, [](const IpPrefix& p) { return json(to_text(p)); }),
      json_list(i.engines, json_engine));
}

std::string json_channel(const Status& s, const ChannelStatus& c) {
  const ChannelReport* found = report_of(s, c);
  const ChannelReport r = found != nullptr ? *found : ChannelReport{};
  return fmt::format(
      "{{\"channel\":{},\"application\":{},\"pid\":{},\"uid\":{},\"engine\":{},\"state\":{},"
      "\"memory_bytes\":{},\"flows\":{},\"leases\":{},\"requests\":{},\"events\":{}}}",
      c.channel, json(c.application), c.peer.pid, c.peer.uid, c.engine, json(c.state),
      c.memory_bytes, r.flows, r.leases, r.requests, r.events);
}

std::string json_flow(const Status& s, std::uint32_t engine, const FlowReport& f) {
  const FlowInfo& i = f.info;
  return fmt::format(
      "{{\"engine\":{},\"channel\":{},\"local\":{},\"peer\":{},\"state\":{},\"reason\":{},"
      "\"smoothed_rtt_us\":{:.3f},\"minimum_rtt_us\":{:.3f},\"rtt_variation_us\":{:.3f},"
      "\"window_bytes\":{},\"in_flight_bytes\":{},\"credit_left_bytes\":{},\"queued_messages\":{},"
      "\"queued_bytes\":{},\"packets_sent\":{},\"packets_received\":{},\"messages_sent\":{},"
      "\"messages_received\":{},\"packets_lost\":{},\"spurious_losses\":{},\"probes\":{},"
      "\"resent_bytes\":{}}}",
      engine, channel_of(s, engine, f.app), json(to_text(i.local)), json(to_text(i.peer)),
      json(state_text(i.state)), json(text(i.reason)), microseconds(i.smoothed_rtt),
      microseconds(i.minimum_rtt), microseconds(i.rtt_variation), i.window_bytes, i.in_flight_bytes,
      i.credit_left_bytes, i.queued_messages, i.queued_bytes, i.packets_sent, i.packets_received,
      i.messages_sent, i.messages_received, i.packets_lost, i.spurious_losses, i.probes,
      i.resent_bytes);
}

std::uint64_t flows_left_out(const Status& s) {
  std::uint64_t n = 0;
  for (const InterfaceStatus& interface : s.interfaces)
    for (const EngineStatus& engine : interface.engines)
      n += engine.report.counters.flows_now -
           std::min<std::uint64_t>(engine.report.counters.flows_now, engine.report.flows.size());
  return n;
}

std::string json_flows(const Status& s) {
  std::vector<std::string> all;
  for (const InterfaceStatus& interface : s.interfaces)
    for (const EngineStatus& engine : interface.engines)
      for (const FlowReport& f : engine.report.flows) all.push_back(json_flow(s, engine.index, f));
  return json_list(all, [](const std::string& text) { return text; });
}

}  // namespace

std::string status_text(const Status& s, bool all) {
  std::string out = fmt::format("proad {} up {:.1f} s, pid {}, user {}, socket {}\n", PROA_VERSION,
                                s.up_s, s.pid, s.user, s.socket);
  for (const InterfaceStatus& interface : s.interfaces) add_interface(out, interface, all);
  add_counters(out, "control", control_counters(s), all);
  add_counters(out, "faults", fault_counters(s), all);
  add_channels(out, s);
  add_flows(out, s);
  if (const std::uint64_t n = flows_left_out(s); n != 0)
    out += fmt::format("and {} more flows, not shown\n", n);
  return out;
}

std::string status_json(const Status& s) {
  return fmt::format(
      "{{\"version\":{},\"pid\":{},\"up_s\":{:.3f},\"user\":{},\"socket\":{},\n\"interfaces\":{},\n"
      "\"control\":{},\n\"faults\":{},\n\"channels\":{},\n\"flows_left_out\":{},\n\"flows\":{}}}\n",
      json(PROA_VERSION), s.pid, s.up_s, json(s.user), json(s.socket),
      json_list(s.interfaces, json_interface), json(control_counters(s)), json(fault_counters(s)),
      json_list(s.channels, [&](const ChannelStatus& c) { return json_channel(s, c); }),
      flows_left_out(s), json_flows(s));
}

}  // namespace proa::sidecar
