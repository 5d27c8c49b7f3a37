// sidecar: becoming an ordinary user once the NIC and the control socket are open.
#pragma once
#include <sys/types.h>

#include <string>

#include <tl/expected.hpp>

#include "config.hpp"

namespace proa::sidecar {

struct RunAs {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;  // empty: nothing to change
};

/// Whom to become: nobody else when not root or when told "root". A user who is not there is an
/// error sentence, whoever asks.
[[nodiscard]] tl::expected<RunAs, std::string> whom_to_become(const Config& config);

/// Makes the socket's directory if it is missing, and lets `run_as` remove the socket at the end.
[[nodiscard]] tl::expected<void, std::string> prepare_socket_directory(const std::string& socket,
                                                                       const RunAs& run_as);

/// For the whole process: groups, group, user, and no way back.
[[nodiscard]] tl::expected<void, std::string> become(const RunAs& run_as,
                                                     const std::string& socket);

}  // namespace proa::sidecar
