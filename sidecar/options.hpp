// sidecar: proad's command line: every key of the configuration is an option that overrides it.
#pragma once
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "config.hpp"

namespace proa::sidecar {

struct CommandLine {
  Config config;
  bool check_only = false;
  bool probe_nic = false;  // show the NICs of this machine and exit
  bool json = false;       // as JSON
  int ready_fd = -1;       // told when proad is ready; -1: nobody
};

/// What to do instead of running: print this and exit with that code.
struct Instead {
  std::string text;
  int exit_code = 0;
};

[[nodiscard]] tl::expected<CommandLine, Instead> parse_command_line(int argc,
                                                                    const char* const* argv);

}  // namespace proa::sidecar
