// sidecar: the report about this machine's NICs.
#include "nic_report.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include <proa/wire/address_text.hpp>

#include "config.hpp"
#include "json_text.hpp"
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

constexpr std::string_view always =
    "Without any of them: memif,role=server,socket=PATH (another process of this machine), "
    "none (applications of this machine only).\n";

std::string link_text(bool up, std::int64_t mbit) {
  if (!up) return "link down";
  return mbit > 0 ? fmt::format("link up, {} Mbit/s", mbit) : "link up";
}

/// DPDK's port of a device; null: it does not see it.
const DpdkSeenPort* port_of(const NicReport& report, const NetworkDevice& device) {
  const auto same = [&](const DpdkSeenPort& port) {
    return device.bus != DeviceBus::none && port.device == device.address;
  };
  const auto found = std::find_if(report.ports.begin(), report.ports.end(), same);
  return found == report.ports.end() ? nullptr : &*found;
}

// --- text ---

void add_interface(std::string& out, const KernelInterface& i) {
  out +=
      fmt::format("  interface {}: {}, {}, mtu {}, {} rx and {} tx queues{}\n", i.name,
                  i.up ? "up" : "down", link_text(i.carrier, i.link_mbit), i.mtu_bytes, i.rx_queues,
                  i.tx_queues, i.default_route ? ", carries the default route" : "");
}

void add_port(std::string& out, const DpdkSeenPort& p) {
  out += fmt::format(
      "  DPDK port {}: driver {}, up to {} queue pairs, {} to {} descriptors, mtu {}, {}, mac {}\n"
      "    offloads Proa would use: {}\n",
      p.device, p.driver, p.queue_pairs_max, p.descriptors_min, p.descriptors_max, p.mtu,
      link_text(p.link_up, p.link_mbit), to_text(p.mac),
      p.offloads.empty() ? "none" : joined(p.offloads, ", "));
  if (!p.remark.empty()) out += fmt::format("    {}\n", p.remark);
}

/// Of a way through DPDK its port knows; 0: nobody does.
std::uint32_t engines_of(const NicWay& way, const DpdkSeenPort* port) {
  if (way.engines_max != 0 || port == nullptr) return way.engines_max;
  return std::min<std::uint32_t>(port->queue_pairs_max, engines_most);
}

std::string engines_text(std::uint32_t engines) {
  if (engines == 0) return "as many engines as its driver has queue pairs";
  return engines == 1 ? "one engine" : fmt::format("1 to {} engines", engines);
}

void add_way(std::string& out, const NicWay& way, const DpdkSeenPort* port) {
  out += fmt::format("  {}: --nic {} ({})\n", way.usable() ? "can be used" : "not yet    ", way.nic,
                     engines_text(engines_of(way, port)));
  for (const Shortfall& one : way.missing)
    out += fmt::format("      missing: {}\n       remedy: {}\n", one.what, one.remedy);
  for (const std::string& remark : way.remarks) out += fmt::format("         note: {}\n", remark);
}

void add_choice(std::string& out, const NicReport& report, const NicChoice& choice) {
  const NetworkDevice& d = choice.device;
  out += fmt::format("{}: {}", d.address, choice.name);
  if (d.bus != DeviceBus::none)
    out += fmt::format(", driver {}, DPDK driver {}",
                       d.kernel_driver.empty() ? "none" : d.kernel_driver,
                       choice.dpdk_driver.empty() ? "none that Proa knows" : choice.dpdk_driver);
  out += '\n';
  for (const KernelInterface& i : d.interfaces) add_interface(out, i);
  const DpdkSeenPort* port = port_of(report, d);
  if (port != nullptr) add_port(out, *port);
  if (port == nullptr && given_to_dpdk(d))
    out += "  DPDK does not see it; --log-level debug shows DPDK's reasons\n";
  const NicWay* best = choice.best();
  out += fmt::format("  Proa would use: {}\n",
                     best != nullptr ? "--nic " + best->nic : std::string{"nothing yet"});
  for (const NicWay& way : choice.ways) add_way(out, way, port);
}

std::string facts_text(const MachineFacts& f) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  return fmt::format(
      "machine: IOMMU {}, vfio-pci loaded {}, free hugepages {}\n"
      "process: CAP_NET_RAW {}, CAP_NET_ADMIN {}, CAP_BPF {}, CAP_SYS_RAWIO {}\n",
      yes(f.iommu), yes(f.vfio), f.hugepages_free, yes(f.net_raw), yes(f.net_admin), yes(f.bpf),
      yes(f.raw_io));
}

// --- JSON ---

std::string json_texts(const std::vector<std::string>& texts) {
  return json_list(texts, [](const std::string& text) { return json(text); });
}

std::string json_interface(const KernelInterface& i) {
  return fmt::format(
      "{{\"name\":{},\"up\":{},\"carrier\":{},\"mtu_bytes\":{},\"rx_queues\":{},\"tx_queues\":{},"
      "\"link_mbit\":{},\"default_route\":{}}}",
      json(i.name), i.up, i.carrier, i.mtu_bytes, i.rx_queues, i.tx_queues,
      std::max<std::int64_t>(i.link_mbit, 0), i.default_route);
}

std::string json_port(const DpdkSeenPort* p) {
  if (p == nullptr) return "null";
  return fmt::format(
      "{{\"device\":{},\"driver\":{},\"mac\":{},\"queue_pairs_max\":{},\"descriptors_min\":{},"
      "\"descriptors_max\":{},\"mtu_bytes\":{},\"link_up\":{},\"link_mbit\":{},\"offloads\":{},"
      "\"remark\":{}}}",
      json(p->device), json(p->driver), json(to_text(p->mac)), p->queue_pairs_max,
      p->descriptors_min, p->descriptors_max, p->mtu, p->link_up, p->link_mbit,
      json_texts(p->offloads), json(p->remark));
}

std::string json_way(const NicWay& way, const DpdkSeenPort* port) {
  const std::uint32_t engines = engines_of(way, port);
  return fmt::format(
      "{{\"nic\":{},\"usable\":{},\"engines_max\":{},\"missing\":{},\"remarks\":{}}}",
      json(way.nic), way.usable(), engines != 0 ? std::to_string(engines) : "null",
      json_list(way.missing,
                [](const Shortfall& one) {
                  return fmt::format("{{\"what\":{},\"remedy\":{}}}", json(one.what),
                                     json(one.remedy));
                }),
      json_texts(way.remarks));
}

std::string json_choice(const NicReport& report, const NicChoice& c) {
  constexpr std::string_view buses[] = {"none", "pci", "vmbus"};
  const NicWay* best = c.best();
  const DpdkSeenPort* port = port_of(report, c.device);
  return fmt::format(
      "{{\"device\":{},\"bus\":{},\"name\":{},\"kernel_driver\":{},\"dpdk_driver\":{},"
      "\"interfaces\":{},\"dpdk_port\":{},\"would_use\":{},\"ways\":{}}}",
      json(c.device.address), json(buses[static_cast<std::size_t>(c.device.bus)]), json(c.name),
      json(c.device.kernel_driver), json(c.dpdk_driver),
      json_list(c.device.interfaces, json_interface), json_port(port),
      best != nullptr ? json(best->nic) : "null",
      json_list(c.ways, [&](const NicWay& way) { return json_way(way, port); }));
}

}  // namespace

std::string nic_report_text(const NicReport& report) {
  std::string out = facts_text(report.facts);
  if (!report.dpdk_error.empty()) out += fmt::format("DPDK: {}\n", report.dpdk_error);
  out += '\n';
  if (report.choices.empty()) out += "This machine shows no network devices here.\n\n";
  for (const NicChoice& choice : report.choices) {
    add_choice(out, report, choice);
    out += '\n';
  }
  return out += always;
}

std::string nic_report_json(const NicReport& report) {
  const MachineFacts& f = report.facts;
  return fmt::format(
      "{{\"version\":{},\"machine\":{{\"iommu\":{},\"unsafe_noiommu\":{},\"vfio\":{},"
      "\"hugepages_free\":{}}},\n\"process\":{{\"net_raw\":{},\"net_admin\":{},\"bpf\":{},"
      "\"raw_io\":{}}},\n\"dpdk_error\":{},\n\"devices\":{}}}\n",
      json(PROA_VERSION), f.iommu, f.unsafe_noiommu, f.vfio, f.hugepages_free, f.net_raw,
      f.net_admin, f.bpf, f.raw_io, report.dpdk_error.empty() ? "null" : json(report.dpdk_error),
      json_list(report.choices, [&](const NicChoice& c) { return json_choice(report, c); }));
}

}  // namespace proa::sidecar
