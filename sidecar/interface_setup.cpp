// sidecar: options of engines, and the interface without a NIC.
#include "interface_setup.hpp"

#include <random>

#include "lonely_nic.hpp"

namespace proa::sidecar {
namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

}  // namespace

InterfaceOptions interface_options(const InterfaceConfig& interface, const MacAddress& mac,
                                   std::uint32_t mtu_bytes) {
  InterfaceOptions options;
  options.mac = mac;
  options.addresses = interface.addresses;
  options.routes = interface.routes;
  for (const IpAddress& gateway : interface.gateways)
    options.routes.push_back(default_route(gateway));
  options.vlan = interface.vlan;
  options.detect_duplicates = interface.detect_duplicates;
  options.mtu_bytes = mtu_bytes;
  options.udp_port_first = interface.udp_port_first;
  options.udp_port_last = interface.udp_port_last;
  return options;
}

EngineHostOptions host_options(const Config& config, const InterfaceConfig& interface,
                               std::uint32_t of_interface) {
  const ChannelGeometry& g = config.applications.geometry;
  EngineHostOptions out;
  out.idle = config.engine.idle;
  out.spin_for = config.engine.spin_for;
  out.flows_per_user = config.quotas.flows_per_user;
  out.linger = config.applications.linger;
  if (!interface.cores.empty()) out.core = static_cast<std::int32_t>(interface.cores[of_interface]);
  EngineOptions& e = out.engine;
  e.index = of_interface;
  e.flows_max = config.engine.flows;
  e.apps_max = config.quotas.channels;
  e.seed = random_seed();
  e.flow.packet_bytes_max = 9216;  // the engine takes what NIC and interface allow
  e.flow.message_bytes_max = g.message_bytes_max;
  // What a channel may have outstanding is checked there; here it must always fit.
  e.flow.send_queue_bytes_max = g.flow_bytes_max + g.message_bytes_max;
  e.flow.send_queue_messages_max = g.flow_messages_max;
  e.flow.keepalive = config.transport.keepalive;
  e.flow.idle_limit = config.transport.idle_limit;
  e.flow.incarnation = static_cast<std::uint32_t>(random_seed() | 1U);
  return out;
}

tl::expected<InterfaceHost, std::string> open_lonely_interface(
    const Config& config, const InterfaceConfig& interface,
    const std::shared_ptr<LocalInterfaces>& local) {
  const std::uint32_t mtu =
      interface.mtu_bytes != 0 ? interface.mtu_bytes : LonelyNic::mtu_bytes_default;
  std::vector<LonelyNic> nics;
  for (std::uint32_t i = 0; i < interface.engines; ++i) nics.emplace_back(mtu);
  return make_host(config, interface, std::move(nics), "no NIC: applications of this machine only",
                   mtu, local);
}

}  // namespace proa::sidecar
