// sidecar: what `proad --probe-nic` prints: for people and as JSON.
#pragma once
#include <string>
#include <vector>

#include <proa/nic/dpdk_ports.hpp>

#include "nic_ways.hpp"

namespace proa::sidecar {

struct NicReport {
  MachineFacts facts;
  std::vector<NicChoice> choices;
  std::vector<DpdkSeenPort> ports;  // of the devices DPDK was allowed to look at
  std::string dpdk_error;           // why DPDK does not start; empty: it does
};

[[nodiscard]] std::string nic_report_text(const NicReport& report);
[[nodiscard]] std::string nic_report_json(const NicReport& report);

}  // namespace proa::sidecar
