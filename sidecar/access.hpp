// sidecar: who may attach, and how much of the machine one user may take.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <proa/ipc/control_server.hpp>

#include <tl/expected.hpp>

#include "config.hpp"

namespace proa::sidecar {

/// Threading: the control thread.
class Access {
 public:
  /// Looks up the names in the configuration; an unknown one is an error sentence.
  [[nodiscard]] static tl::expected<Access, std::string> make(const Config& config,
                                                              std::uint32_t own_uid);

  /// Takes the channel's share of the user's quota; give_back() returns it.
  [[nodiscard]] tl::expected<void, AttachRefusal> admit(const ControlPeer& peer,
                                                        std::uint64_t memory_bytes);
  void give_back(std::uint32_t uid, std::uint64_t memory_bytes) noexcept;

 private:
  struct Used {
    std::uint32_t channels = 0;
    std::uint64_t memory_bytes = 0;
  };

  [[nodiscard]] bool allowed(const ControlPeer& peer) const noexcept;

  bool everybody_ = false;
  std::vector<std::uint32_t> users_, groups_;
  Config::Quotas quotas_;
  std::map<std::uint32_t, Used> used_;  // by uid
};

}  // namespace proa::sidecar
