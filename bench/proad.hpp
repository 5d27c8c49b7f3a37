// bench: sidecars of a measurement: their directory, their processes, and applications' way in.
#pragma once
#include <string>

#include <proa/sidecar.hpp>
#include <tl/expected.hpp>

#include "process.hpp"
#include "raw_wire.hpp"

namespace proa::bench {

/// For the control sockets; a proad that gives up being root may write here too.
class ProadDirectory {
 public:
  ProadDirectory();
  ProadDirectory(const ProadDirectory&) = delete;
  ProadDirectory& operator=(const ProadDirectory&) = delete;
  ~ProadDirectory();
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] std::string socket(std::size_t host) const {
    return *this / (std::to_string(host) + ".sock");
  }

 private:
  std::string path_;
};

struct ProadSetup {
  std::string program;         // its path
  std::size_t host = 0;        // 0 or 1: gives it its address, and its end of the wire
  int core = 0;                // of its engine
  const Wire* wire = nullptr;  // null: no NIC
  std::string idle = "adaptive";
};

/// The address of a host's proad.
[[nodiscard]] std::string proad_address(std::size_t host);

/// Started and ready; an error quotes its log.
[[nodiscard]] tl::expected<ChildProcess, std::string> start_proad(const ProadSetup& setup,
                                                                  const ProadDirectory& directory);

/// `options`: more of the stack's, as text.
[[nodiscard]] tl::expected<Stack<Sidecar>, std::string> attach(const ProadDirectory& directory,
                                                               std::size_t host,
                                                               const std::string& options = {});

}  // namespace proa::bench
