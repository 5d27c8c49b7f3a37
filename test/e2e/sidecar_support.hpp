// e2e: real proad processes over memif, and applications that attach to them.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/sidecar.hpp>

#include "netns.hpp"
#include "process.hpp"

namespace proa::e2e {

using namespace std::chrono_literals;
using bench::ChildProcess;
using bench::Control;
using Net = Stack<Sidecar>;

inline constexpr auto patience = 60s;  // of whatever should take milliseconds

/// A directory of this test that anybody may write to: proad gives up being root.
class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/proa-e2e-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error{"no directory in /tmp"};
    ::chmod(name, 0777);
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

using Arguments = std::vector<std::string>;

inline std::string read_file(const std::string& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// A program that ends with this object at the latest.
class Program {
 public:
  /// `ready`: its standard output is watched until a line starts with that.
  Program(const std::string& path, Arguments arguments, const std::string& errors)
      : errors_(errors) {
    int output[2] = {};
    if (::pipe2(output, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    arguments.insert(arguments.begin(), path);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(output[1], STDOUT_FILENO);
      ::dup2(::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(output[1]);
    output_ = output[0];
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(output_);
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string errors() const { return read_file(errors_); }
  [[nodiscard]] bool running() const noexcept { return pid_ > 0 && ::kill(pid_, 0) == 0; }

  /// Reads output until it ends with `wanted` text somewhere; false: it ended or took too long.
  [[nodiscard]] bool says(const std::string& wanted) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (text_.find(wanted) == std::string::npos) {
      pollfd waited{output_, POLLIN, 0};
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (left.count() <= 0 || ::poll(&waited, 1, static_cast<int>(left.count())) <= 0)
        return false;
      char part[4096];
      const ssize_t n = ::read(output_, part, sizeof part);
      if (n <= 0) return false;
      text_.append(part, static_cast<std::size_t>(n));
    }
    return true;
  }
  /// All of its output, to the end.
  [[nodiscard]] std::string output() {
    static_cast<void>(says("\x01 never said"));
    return text_;
  }
  /// Its exit code, or 128 + the signal that killed it; nothing if it does not end.
  [[nodiscard]] std::optional<int> wait() {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      ::usleep(2000);
    }
    return std::nullopt;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string errors_;
  std::string text_;
};

inline Program run_proa(const Arguments& arguments, const Scratch& scratch) {
  return Program{PROA_TOOL_PATH, arguments, scratch / "proa.err"};
}

/// Until `done` holds; false: it never does.
template <class Done>
bool eventually(Done&& done) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::usleep(20'000);  // asked again; decides nothing
  }
  return true;
}

inline std::size_t times(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// What `proa status --json` says once every engine has answered: one that gets no processor does
/// not at once, and its counters are missing then.
inline std::string status_of(const std::string& socket, const Scratch& scratch) {
  std::string said;
  static_cast<void>(eventually([&] {
    said = run_proa({"status", "--json", "--socket", socket}, scratch).output();
    return times(said, "\"answered\":true") != 0 && times(said, "\"answered\":false") == 0;
  }));
  return said;
}

/// The number after "name": the first time it occurs.
inline std::int64_t number_in(const std::string& json, const std::string& name) {
  const std::size_t at = json.find("\"" + name + "\":");
  return at == std::string::npos ? -1 : std::stoll(json.substr(at + name.size() + 3));
}

/// The sum of all numbers after "name": of all engines.
inline std::int64_t sum_in(const std::string& json, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  std::int64_t sum = 0;
  for (std::size_t at = json.find(key); at != std::string::npos; at = json.find(key, at + 1))
    sum += std::stoll(json.substr(at + key.size()));
  return sum;
}

/// One end of a memif, for --nic. A client's server may still be starting on a busy machine.
inline std::string memif_nic(const std::string& role, const std::string& socket) {
  return "memif,role=" + role + ",socket=" + socket + ",connect-ms=50000";
}

/// Two hosts: a proad each; a memif pair between them, or the veth pair of `wires`.
struct Hosts {
  explicit Hosts(const Arguments& more = {}, const bench::TwoHosts* wires = nullptr,
                 const std::string& of_nic = "")
      : a(start(0, more, wires, of_nic)), b(start(1, more, wires, of_nic)) {
    if (!a.says("proad ready")) throw std::runtime_error{"first proad: " + a.errors()};
    if (!b.says("proad ready")) throw std::runtime_error{"second proad: " + b.errors()};
  }
  [[nodiscard]] std::string socket(std::size_t host) const {
    return scratch / (host == 0 ? "a.sock" : "b.sock");
  }
  [[nodiscard]] static Endpoint at(std::size_t host, std::uint16_t port, bool ipv6 = false) {
    IpAddress address{{0xfd, 0, 0, 0x77}};
    address.octets[15] = static_cast<std::uint8_t>(host + 1);
    if (!ipv6) address = IpAddress::v4(10, 77, 0, address.octets[15]);
    return {address, port};
  }
  [[nodiscard]] std::string status(std::size_t host) const {
    return status_of(socket(host), scratch);
  }

  Scratch scratch;
  Program a, b;

 private:
  [[nodiscard]] Program start(std::size_t host, const Arguments& more, const bench::TwoHosts* wires,
                              const std::string& of_nic) {
    std::string nic = memif_nic(host == 0 ? "server" : "client", scratch / "memif");
    if (wires != nullptr) {
      wires->enter(host);
      nic = std::string{"af_packet,interface="} + bench::TwoHosts::interface;
    }
    Arguments arguments{"--nic",     nic + of_nic,
                        "--address", host == 0 ? "10.77.0.1/24" : "10.77.0.2/24",
                        "--address", host == 0 ? "fd00:77::1/64" : "fd00:77::2/64",
                        "--socket",  socket(host)};
    if (const char* engines = std::getenv("PROA_E2E_ENGINES")) {
      arguments.emplace_back("--engines");
      arguments.emplace_back(engines);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Program{PROAD_PATH, arguments, scratch / (host == 0 ? "a.err" : "b.err")};
  }
};

inline Net attach(const std::string& socket, const std::string& name) {
  return Net{Sidecar::Options::parse("socket=" + socket + ";name=" + name + ";timeout=60s")};
}

inline std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed) {
  Prng random{seed * 0x1'0000'0001U + size};
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(out.data() + i, &word, std::min<std::size_t>(8, size - i));
  }
  return out;
}

/// The next event of that kind, others are skipped; nothing when it does not come.
inline std::optional<Net::Event> next(Net& net, EventKind kind, Duration within = patience) {
  const Instant until = net.now() + within;
  while (net.now() < until) {
    while (auto event = net.poll())
      if (event->kind == kind) return event;
    static_cast<void>(net.wait(until));
  }
  return std::nullopt;
}

/// Sends, waiting for room where there is none; events that come meanwhile are lost.
inline bool send_patiently(Net& net, FlowHandle flow, std::span<const std::byte> bytes) {
  while (true) {
    const auto sent = net.send(flow, bytes);
    if (sent) return true;
    if (!sent.error().would_block() || !next(net, EventKind::writable)) return false;
  }
}

/// One message there and back; false: it did not come back, or not as it was.
inline bool echoes(Net& net, FlowHandle flow, std::size_t size, std::uint64_t seed) {
  const auto sent = pattern(size, seed);
  if (!send_patiently(net, flow, sent)) return false;
  const auto back = next(net, EventKind::message);
  return back && back->flow == flow &&
         std::equal(sent.begin(), sent.end(), back->message.bytes().begin(),
                    back->message.bytes().end());
}

/// Sends back what comes until the connection to the parent ends.
inline int serve_echo(const std::string& socket, std::uint16_t port, Control& parent) {
  Net net = attach(socket, "echo");
  if (!net.listen({port})) return 2;
  parent.send(char{'l'});
  std::vector<Net::Event> waiting;  // echoes that found no room
  while (!parent.ready()) {
    while (auto event = net.poll()) {
      if (event->kind == EventKind::message) waiting.push_back(std::move(*event));
      if (event->kind == EventKind::closed)
        std::erase_if(waiting, [&](const Net::Event& e) { return e.flow == event->flow; });
      std::size_t kept = 0;
      std::vector<FlowHandle> full;
      for (Net::Event& e : waiting) {
        const bool behind = std::find(full.begin(), full.end(), e.flow) != full.end();
        const auto sent = behind ? Result<MessageNumber>{} : net.send(e.flow, e.message.bytes());
        if (behind || (!sent && sent.error().would_block())) {
          full.push_back(e.flow);
          waiting[kept++] = std::move(e);
        }
      }
      waiting.resize(kept);
    }
    static_cast<void>(net.wait(20ms));
  }
  return 0;
}

/// Apart, because g++ 12 sees a destructor free what it never does.
[[gnu::noinline]] inline ChildProcess moved(ChildProcess& from) { return std::move(from); }

inline ChildProcess start_child(const ChildProcess::Body& body) {
  // What is thrown must not unwind into the parent's half of the test.
  auto child = ChildProcess::start([&body](Control& parent) {
    try {
      return body(parent);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      return 99;
    }
  });
  if (!child) throw std::runtime_error{child.error()};
  return moved(*child);
}

/// An echo server in a process of its own, listening when this is made.
inline ChildProcess echo_server(const std::string& socket, std::uint16_t port) {
  ChildProcess child =
      start_child([=](Control& parent) { return serve_echo(socket, port, parent); });
  if (!child.control().receive<char>(patience))
    throw std::runtime_error{"the echo server does not start"};
  return child;
}

}  // namespace proa::e2e
