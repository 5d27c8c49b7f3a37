// sidecar: proad: opens what the configuration names, gives up its privileges, serves.
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "access.hpp"
#include "daemon.hpp"
#include "options.hpp"
#include "privileges.hpp"
#include "probe.hpp"
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

using Done = tl::expected<void, std::string>;

/// Before any thread is made, so that all of them inherit it.
OwnedFd take_stop_signals() {
  sigset_t stop;
  sigemptyset(&stop);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&stop, signal);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return OwnedFd{::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Done check_cores(const InterfaceConfig& interface) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {};
  for (const std::uint32_t core : interface.cores)
    if (!CPU_ISSET(core, &allowed))
      return tl::unexpected{fmt::format(
          "{}: core {} is not there, or not for this process; expected one of taskset -pc {}",
          interface.where, core, ::getpid())};
  return {};
}

Done check_interfaces(const Config& config) {
  for (const InterfaceConfig& interface : config.interfaces) {
    if (const Done nic = check_nic(interface); !nic) return nic;
    if (const Done cores = check_cores(interface); !cores) return cores;
  }
  return {};
}

std::string name_of(const InterfaceConfig& interface, std::size_t index) {
  return interface.name.empty() ? fmt::format("proa{}", index) : interface.name;
}

tl::expected<std::vector<NamedInterface>, std::string> open_interfaces(const Config& config,
                                                                       const Log& log) {
  std::vector<NamedInterface> out;
  const auto local = std::make_shared<LocalInterfaces>();
  for (const InterfaceConfig& interface : config.interfaces) {
    auto host = open_interface(config, interface, local);
    if (!host) return tl::unexpected{host.error()};
    out.push_back({name_of(interface, out.size()), std::move(*host)});
    if (!out.back().host.remark.empty())
      log(LogLevel::warning, "{}: {}", out.back().name, out.back().host.remark);
    log(LogLevel::info, "{}: {}", out.back().name, out.back().host.engines.front()->nic_text());
  }
  return out;
}

/// Tells systemd (sd_notify(3)), where it asked to be told.
void notify_system(const char* text) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || path[0] == '\0') return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const OwnedFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  ::sendto(socket.get(), text, std::strlen(text), 0, reinterpret_cast<const sockaddr*>(&address),
           bytes);
}

void say_ready(const CommandLine& line, const std::vector<std::string>& names) {
  const std::string text =
      fmt::format("proad ready: socket {}, {}\n", line.config.control.socket, joined(names, ", "));
  if (line.ready_fd >= 0) {
    [[maybe_unused]] const auto written = ::write(line.ready_fd, text.data(), text.size());
    ::close(line.ready_fd);
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  notify_system("READY=1");
}

/// The people the configuration names.
struct Users {
  RunAs run_as;
  Access access;
};

tl::expected<Users, std::string> look_up_users(const Config& config) {
  auto run_as = whom_to_become(config);
  if (!run_as) return tl::unexpected{run_as.error()};
  auto access = Access::make(config, ::getuid());
  if (!access) return tl::unexpected{access.error()};
  return Users{std::move(*run_as), std::move(*access)};
}

Done run(const CommandLine& line, Users users, const OwnedFd& stop) {
  const Config& config = line.config;
  const Log log{config.log_level};
  const uid_t started_by = ::getuid();
  const RunAs& run_as = users.run_as;
  auto directory = prepare_socket_directory(config.control.socket, run_as);
  if (!directory) return directory;
  auto interfaces = open_interfaces(config, log);
  if (!interfaces) return tl::unexpected{interfaces.error()};
  std::vector<std::string> names;
  for (const NamedInterface& i : *interfaces)
    names.push_back(fmt::format("interface {} ({})", i.name, i.host.engines.front()->nic_text()));

  Daemon daemon{config, std::move(users.access), std::move(*interfaces), log};
  if (auto opened = daemon.open(); !opened) return opened;
  if (auto changed = become(run_as, config.control.socket); !changed) return changed;
  if (!run_as.name.empty()) log(LogLevel::info, "runs as user {} now", run_as.name);
  say_ready(line, names);
  daemon.run(stop.get(), run_as.name.empty() ? fmt::format("{}", started_by) : run_as.name);
  notify_system("STOPPING=1");
  return {};
}

int main_of(int argc, const char* const* argv) {
  const auto line = parse_command_line(argc, argv);
  if (!line) {
    std::fputs(line.error().text.c_str(), line.error().exit_code == 0 ? stdout : stderr);
    return line.error().exit_code;
  }
  const auto fail = [](const std::string& sentence, int code) {
    std::fputs(fmt::format("proad: {}\n", sentence).c_str(), stderr);
    return code;
  };
  if (line->probe_nic) {
    const NicReport report = probe_nics(Log{line->config.log_level});
    std::fputs((line->json ? nic_report_json(report) : nic_report_text(report)).c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : fail("the output could not be written", 1);
  }
  if (const Done checked = check_interfaces(line->config); !checked)
    return fail(checked.error(), 2);
  auto users = look_up_users(line->config);
  if (!users) return fail(users.error(), 2);
  if (line->check_only) {
    std::puts("proad could use this configuration");
    return 0;
  }
  try {
    const OwnedFd stop = take_stop_signals();
    const Done done = run(*line, std::move(*users), stop);
    return done ? 0 : fail(done.error(), 1);
  } catch (const std::bad_alloc&) {
    return fail("not enough memory; lower quotas channels, engine flows or channel memory", 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}

}  // namespace
}  // namespace proa::sidecar

int main(int argc, char** argv) { return proa::sidecar::main_of(argc, argv); }
