// sidecar: engines over a DPDK port.
#include <unistd.h>

#include <random>
#include <stdexcept>

#include <fmt/format.h>

#include <proa/nic/dpdk.hpp>

#include "engine_thread.hpp"

namespace proa::sidecar {
namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

tl::expected<DpdkOptions, std::string> nic_options(const InterfaceConfig& interface) {
  auto options = DpdkOptions::parse(interface.nic);
  if (!options) return options;
  if (interface.mtu_bytes != 0) options->mtu = interface.mtu_bytes;
  options->queue_pairs = static_cast<std::uint16_t>(interface.engines);
  return options;
}

InterfaceOptions interface_options(const InterfaceConfig& interface, const MacAddress& mac,
                                   std::uint32_t mtu) {
  InterfaceOptions options;
  options.mac = mac;
  options.addresses = interface.addresses;
  options.routes = interface.routes;
  if (interface.gateway)
    options.routes.push_back(
        {{interface.gateway->is_v4() ? IpAddress::v4(0) : IpAddress{}, 0}, interface.gateway});
  options.mtu_bytes = mtu;
  options.udp_port_first = interface.udp_port_first;
  options.udp_port_last = interface.udp_port_last;
  return options;
}

EngineHostOptions host_options(const Config& config, const InterfaceConfig& interface,
                               std::uint32_t index, std::uint32_t engine_of_interface) {
  const ChannelGeometry& g = config.applications.geometry;
  EngineHostOptions out;
  out.idle = config.engine.idle;
  out.spin_for = config.engine.spin_for;
  out.flows_per_user = config.quotas.flows_per_user;
  out.linger = config.applications.linger;
  if (!interface.cores.empty())
    out.core = static_cast<std::int32_t>(interface.cores[engine_of_interface]);
  EngineOptions& e = out.engine;
  e.index = index;
  e.flows_max = config.engine.flows;
  e.apps_max = config.quotas.channels;
  e.seed = random_seed();
  e.flow.message_bytes_max = g.message_bytes_max;
  // What a channel may have outstanding is checked there; here it must always fit.
  e.flow.send_queue_bytes_max = g.flow_bytes_max + g.message_bytes_max;
  e.flow.send_queue_messages_max = g.flow_messages_max;
  e.flow.keepalive = config.transport.keepalive;
  e.flow.idle_limit = config.transport.idle_limit;
  e.flow.incarnation = static_cast<std::uint32_t>(random_seed() | 1U);
  return out;
}

}  // namespace

tl::expected<void, std::string> check_nic(const InterfaceConfig& interface) {
  const auto options = nic_options(interface);
  if (!options) return tl::unexpected{fmt::format("{}: nic: {}", interface.where, options.error())};
  // Any station will do: the real one is known when the NIC is open.
  const MacAddress mac{{2, 0, 0, 0, 0, 1}};
  const auto plan = InterfacePlan::make(interface_options(interface, mac, options->mtu));
  if (!plan) return tl::unexpected{fmt::format("{}: {}", interface.where, plan.error())};
  return {};
}

tl::expected<InterfaceHost, std::string> open_dpdk_interface(const Config& config,
                                                             const InterfaceConfig& interface,
                                                             std::uint32_t first_engine) {
  const auto options = nic_options(interface);
  if (!options) return tl::unexpected{fmt::format("{}: nic: {}", interface.where, options.error())};
  auto port = Port<DpdkNic>::open(*options);
  if (!port) return tl::unexpected{port.error()};
  const DpdkDescription description = port->describe();
  InterfaceHost out;
  out.interface = interface_options(interface, description.mac, description.mtu);
  for (std::uint32_t i = 0; i < interface.engines; ++i) {
    auto nic = port->take_queue();
    if (!nic) return tl::unexpected{nic.error()};
    EngineHostOptions host = host_options(config, interface, first_engine + i, i);
    InterfaceOptions own = out.interface;
    own.announce = i == 0;
    auto plan = InterfacePlan::make(own);
    if (!plan) return tl::unexpected{fmt::format("{}: {}", interface.where, plan.error())};
    host.engine.interface = std::move(*plan);
    out.engines.push_back(
        std::make_unique<EngineThread<DpdkNic>>(std::move(*nic), description.text(), host));
  }
  return out;
}

}  // namespace proa::sidecar
