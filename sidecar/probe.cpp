// sidecar: this machine's NICs: what the system says, and what DPDK says about those it was given.
#include "probe.hpp"

namespace proa::sidecar {

NicReport probe_nics(const Log& log) {
  const MachineFiles files{"/"};
  const auto devices = files.devices();
  NicReport report;
  report.facts = files.facts();
  std::vector<std::string> given;
  for (const NetworkDevice& device : devices)
    if (given_to_dpdk(device)) given.push_back(device.address);
  auto ports =
      dpdk_ports(given, [&log](std::string_view line) { log(LogLevel::debug, "DPDK: {}", line); });
  if (ports)
    report.ports = std::move(*ports);
  else
    report.dpdk_error = ports.error();
  NicSurroundings around{report.facts, missing_dpdk_driver,
                         [&files](const NetworkDevice& one) { return files.may_open_vfio(one); },
                         xdp_queue_pairs};
  report.choices = nic_choices(devices, around);
  return report;
}

}  // namespace proa::sidecar
