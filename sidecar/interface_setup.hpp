// sidecar: from an [[interface]] of the configuration to the options of its engines.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "engine_host.hpp"
#include "engine_thread.hpp"

namespace proa::sidecar {

inline constexpr std::string_view no_nic = "none";  // applications of this machine only

[[nodiscard]] InterfaceOptions interface_options(const InterfaceConfig& interface,
                                                 const MacAddress& mac, std::uint32_t mtu_bytes);
[[nodiscard]] EngineHostOptions host_options(const Config& config, const InterfaceConfig& interface,
                                             std::uint32_t of_interface);

/// Engines for `nics`, one each. An error is a sentence.
template <Nic NicT>
[[nodiscard]] tl::expected<InterfaceHost, std::string> make_host(
    const Config& config, const InterfaceConfig& interface, std::vector<NicT> nics,
    const std::string& nic_text, std::uint32_t mtu_bytes,
    const std::shared_ptr<LocalInterfaces>& local) {
  InterfaceHost out;
  EngineGroupOptions shared;
  shared.engines = static_cast<std::uint32_t>(nics.size());
  shared.payload_bytes_max = mtu_bytes;
  shared.others_on_host = config.interfaces.size() > 1;
  const auto group = std::make_shared<EngineGroup>(shared);
  for (std::uint32_t i = 0; i < nics.size(); ++i) {
    InterfaceOptions own = interface_options(interface, nics[i].capabilities().mac, mtu_bytes);
    auto plan = InterfacePlan::make(own);
    if (!plan) return tl::unexpected{interface.where + ": " + plan.error()};
    EngineHostOptions options = host_options(config, interface, i);
    options.engine.group = group;
    if (i == 0 && local) local->add(*plan, group);
    options.engine.local = local;
    options.engine.interface = std::move(*plan);
    if (i == 0) out.interface = own;
    out.engines.push_back(
        std::make_unique<EngineThread<NicT>>(std::move(nics[i]), nic_text, options));
  }
  return out;
}

/// The interface without a NIC.
[[nodiscard]] tl::expected<InterfaceHost, std::string> open_lonely_interface(
    const Config& config, const InterfaceConfig& interface,
    const std::shared_ptr<LocalInterfaces>& local = {});

}  // namespace proa::sidecar
