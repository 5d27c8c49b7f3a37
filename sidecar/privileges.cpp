// sidecar: becoming an ordinary user.
#include "privileges.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

namespace proa::sidecar {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

tl::expected<RunAs, std::string> whom_to_become(const Config& config) {
  const std::string& configured = config.user;
  const passwd* user = configured.empty() ? ::getpwnam("proa") : ::getpwnam(configured.c_str());
  if (user == nullptr && !configured.empty())
    return tl::unexpected{fmt::format("{}user: there is no user {}, expected the name of one",
                                      config.where("", {"user"}), configured)};
  if (::geteuid() != 0 || configured == "root") return RunAs{};
  if (user == nullptr) user = ::getpwnam("nobody");
  if (user == nullptr) return RunAs{};
  return RunAs{user->pw_uid, user->pw_gid, user->pw_name};
}

tl::expected<void, std::string> prepare_socket_directory(const std::string& socket,
                                                         const RunAs& run_as) {
  const std::string directory = directory_of(socket);
  if (::mkdir(directory.c_str(), 0755) == 0) {
    if (!run_as.name.empty() && ::chown(directory.c_str(), run_as.uid, run_as.gid) != 0)
      return tl::unexpected{fmt::format("cannot give {} to user {}: {}", directory, run_as.name,
                                        std::strerror(errno))};
    return {};
  }
  if (errno == EEXIST) return {};
  return tl::unexpected{
      fmt::format("cannot make {} for the control socket ({}); make it, or choose another socket "
                  "(--socket)",
                  directory, std::strerror(errno))};
}

tl::expected<void, std::string> become(const RunAs& run_as, const std::string& socket) {
  if (run_as.name.empty()) return {};
  const auto failed_to = [&](const char* what) {
    return tl::unexpected{fmt::format("cannot {} user {}: {}; --user root keeps all privileges",
                                      what, run_as.name, std::strerror(errno))};
  };
  if (::chown(socket.c_str(), run_as.uid, run_as.gid) != 0)
    return failed_to("give the control socket to");
  // Who asked to be killed with its parent means it as another user too; the system forgets it as
  // soon as the user or the group changes.
  int with_parent = 0;
  ::prctl(PR_GET_PDEATHSIG, &with_parent);
  const pid_t parent = ::getppid();
  if (::setgroups(0, nullptr) != 0) return failed_to("leave the groups of root for");
  if (::setresgid(run_as.gid, run_as.gid, run_as.gid) != 0) return failed_to("take the group of");
  if (::setresuid(run_as.uid, run_as.uid, run_as.uid) != 0) return failed_to("become");
  if (with_parent != 0) {
    ::prctl(PR_SET_PDEATHSIG, with_parent);
    if (::getppid() != parent) ::raise(with_parent);  // it died meanwhile
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return {};
}

}  // namespace proa::sidecar
