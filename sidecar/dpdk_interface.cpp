// sidecar: engines over a DPDK port.
#include <algorithm>

#include <fmt/format.h>

#include <proa/nic/dpdk.hpp>

#include "interface_setup.hpp"
#include "log.hpp"
#include "lonely_nic.hpp"

namespace proa::sidecar {
namespace {

tl::expected<DpdkOptions, std::string> nic_options(const InterfaceConfig& interface) {
  auto options = DpdkOptions::parse(interface.nic);
  if (!options) return tl::unexpected{fmt::format("{}: nic: {}", interface.where, options.error())};
  if (interface.mtu_bytes != 0) options->mtu = interface.mtu_bytes;
  options->queue_pairs = static_cast<std::uint16_t>(interface.engines);
  return options;
}

}  // namespace

tl::expected<void, std::string> check_nic(const InterfaceConfig& interface) {
  std::uint32_t mtu = interface.mtu_bytes != 0 ? interface.mtu_bytes : LonelyNic::mtu_bytes_default;
  if (interface.nic != no_nic) {
    const auto options = nic_options(interface);
    if (!options) return tl::unexpected{options.error()};
    mtu = options->mtu;
  }
  // Any station will do: the real one is known when the NIC is open.
  const MacAddress mac{{2, 0, 0, 0, 0, 1}};
  const auto plan = InterfacePlan::make(interface_options(interface, mac, mtu));
  if (!plan) return tl::unexpected{fmt::format("{}: {}", interface.where, plan.error())};
  return {};
}

tl::expected<InterfaceHost, std::string> open_interface(
    const Config& config, const InterfaceConfig& interface,
    const std::shared_ptr<LocalInterfaces>& local) {
  if (interface.nic == no_nic) return open_lonely_interface(config, interface, local);
  auto options = nic_options(interface);
  if (!options) return tl::unexpected{options.error()};
  options->log = [log = Log{config.log_level}](std::string_view line) {
    log(LogLevel::debug, "DPDK: {}", line);
  };
  auto port = Port<DpdkNic>::open(*options);
  if (!port) return tl::unexpected{port.error()};
  std::vector<DpdkNic> nics;
  const std::uint32_t engines = std::min<std::uint32_t>(interface.engines, port->queue_pairs());
  for (std::uint32_t i = 0; i < engines; ++i) {
    auto nic = port->take_queue();
    if (!nic) return tl::unexpected{nic.error()};
    nics.push_back(std::move(*nic));
  }
  const DpdkDescription description = port->describe();
  auto host =
      make_host(config, interface, std::move(nics), description.text(), description.mtu, local);
  if (host && engines < interface.engines)
    host->remark = fmt::format("the NIC has queue pairs for {}: of {} engines {} are not started",
                               engines, interface.engines, interface.engines - engines);
  return host;
}

}  // namespace proa::sidecar
