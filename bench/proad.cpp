// bench: sidecars of a measurement: their directory, their processes, and applications' way in.
#include "proad.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "machine.hpp"

namespace proa::bench {
namespace {

using tl::unexpected;

constexpr std::chrono::seconds start_patience{60};

std::string nic_text(const Wire& wire, std::size_t end) {
  const DpdkOptions nic = wire.enter(end);
  if (nic.driver != DpdkDriver::memif)
    return fmt::format("{},interface={}", nic.driver == DpdkDriver::af_xdp ? "af_xdp" : "af_packet",
                       nic.interface);
  return fmt::format("memif,role={},socket={}",
                     nic.memif.role == MemifRole::server ? "server" : "client", nic.memif.socket);
}

/// Becomes proad, which says on descriptor 3, the child's control socket, that it is ready.
int become_proad(Control& control, const std::string& log, std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (control.fd() == 3)
    ::fcntl(3, F_SETFD, 0);
  else
    ::dup2(control.fd(), 3);
  ::execv(arguments[0], arguments.data());
  return 127;
}

}  // namespace

ProadDirectory::ProadDirectory() {
  std::string name = temporary_directory() + "/proa-bench-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return;
  ::chmod(name.c_str(), 0777);
  path_ = name;
}

ProadDirectory::~ProadDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string proad_address(std::size_t host) { return fmt::format("10.117.0.{}", 21 + host); }

/// Which NIC it is, is asked in the child, on its host.
tl::expected<ChildProcess, std::string> start_proad(const ProadSetup& setup,
                                                    const ProadDirectory& directory) {
  const std::string log = directory / fmt::format("{}.log", setup.host);
  auto child = ChildProcess::start([&](Control& control) {
    const std::string nic = setup.wire != nullptr ? nic_text(*setup.wire, setup.host) : "none";
    return become_proad(
        control, log,
        {setup.program, "--nic", nic, "--address", proad_address(setup.host) + "/24", "--socket",
         directory.socket(setup.host), "--core", std::to_string(setup.core), "--idle", setup.idle,
         "--ready-fd", "3"});
  });
  if (!child || child->control().receive<char>(start_patience)) return child;
  std::ifstream said{log};
  return unexpected("proad did not start: " +
                    std::string{std::istreambuf_iterator<char>{said}, {}});
}

tl::expected<Stack<Sidecar>, std::string> attach(const ProadDirectory& directory, std::size_t host,
                                                 const std::string& options) {
  using Net = Stack<Sidecar>;
  const auto parsed = Net::Options::parse("socket=" + directory.socket(host) + " " + options);
  if (!parsed) return unexpected(parsed.error());
  return Net::open(*parsed);
}

}  // namespace proa::bench
