// Test support: the whole sidecar but for a NIC, in this process: control thread, engine.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <proa/sidecar.hpp>

#include "../sidecar/daemon.hpp"
#include "../sidecar/interface_setup.hpp"

namespace proa::test {

/// proad without main(): one interface without a NIC.
class BoatWithoutNic {
 public:
  explicit BoatWithoutNic(const std::string& more = "", const std::string& of_interface = "") {
    static int boats = 0;
    path_ = "/tmp/proa-daemon-test-" + std::to_string(::getpid()) + "-" + std::to_string(boats++);
    const std::string toml = "log_level = 'error'\n[control]\nsocket = '" + path_ +
                             "'\n[applications]\nsend_memory = '2 MiB'\nreceive_memory = '4 MiB'\n"
                             "message_max = '1 MiB'\n" +
                             more + "\n[[interface]]\nnic = 'none'\naddresses = '10.0.0.1/24'\n" +
                             of_interface;
    auto config = sidecar::parse_config(toml, "test.toml");
    if (!config) throw std::runtime_error{config.error()};
    auto access = sidecar::Access::make(*config, ::getuid());
    std::vector<sidecar::NamedInterface> interfaces;
    for (const sidecar::InterfaceConfig& interface : config->interfaces) {
      auto host = sidecar::open_lonely_interface(*config, interface);
      if (!access || !host) throw std::runtime_error{"no boat"};
      interfaces.push_back({"proa" + std::to_string(interfaces.size()), std::move(*host)});
    }
    daemon_ = std::make_unique<sidecar::Daemon>(*config, std::move(*access), std::move(interfaces),
                                                sidecar::Log{config->log_level});
    if (auto opened = daemon_->open(); !opened) throw std::runtime_error{opened.error()};
    thread_ = std::thread{[this] { daemon_->run(stop_.get(), "me"); }};
  }
  BoatWithoutNic(const BoatWithoutNic&) = delete;
  BoatWithoutNic& operator=(const BoatWithoutNic&) = delete;
  ~BoatWithoutNic() { sink(); }

  void sink() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    if (::write(stop_.get(), &one, sizeof one) != sizeof one) std::abort();
    thread_.join();
    daemon_.reset();
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] Stack<Sidecar> board(const std::string& name) const {
    return Stack<Sidecar>{
        Sidecar::Options::parse("socket=" + path_ + ";name=" + name + ";timeout=60s")};
  }
  [[nodiscard]] std::string status(const std::string& query) const {
    auto control = ControlClient::connect(path_, std::chrono::seconds{60});
    if (!control) return control.error();
    auto text = control->status(query, std::chrono::seconds{60});
    return text ? *text : text.error();
  }

 private:
  std::string path_;
  OwnedFd stop_{::eventfd(0, EFD_CLOEXEC)};
  std::unique_ptr<sidecar::Daemon> daemon_;
  std::thread thread_;
};

}  // namespace proa::test
