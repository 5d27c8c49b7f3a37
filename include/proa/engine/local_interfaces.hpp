// L3: the interfaces of one host: an address of another one is reached through memory.
#pragma once
#include <memory>
#include <vector>

#include <proa/engine/engine_group.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/wire/ipv6_address.hpp>

namespace proa {

/// Filled before any of their engines runs, only read from then on.
class LocalInterfaces {
 public:
  /// `group` must have been made with `others_on_host`.
  void add(const InterfacePlan& plan, std::shared_ptr<EngineGroup> group) {
    interfaces_.push_back({{}, std::move(group)});
    for (const IpPrefix& own : plan.options.addresses)
      if (!ipv6::is_link_local(own.address)) interfaces_.back().addresses.push_back(own.address);
  }
  /// The engines of the interface that has this address; null: none of this host has.
  [[nodiscard]] EngineGroup* group_of(const IpAddress& address) const noexcept {
    for (const One& one : interfaces_)
      for (const IpAddress& own : one.addresses)
        if (own == address) return one.group.get();
    return nullptr;
  }

 private:
  struct One {
    std::vector<IpAddress> addresses;
    std::shared_ptr<EngineGroup> group;
  };
  std::vector<One> interfaces_;
};

}  // namespace proa
