// sidecar: the control thread: applications come, ask, and go; engines are told and asked.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/ipc/channel_setup.hpp>
#include <proa/ipc/control_server.hpp>

#include <tl/expected.hpp>

#include "access.hpp"
#include "config.hpp"
#include "engine_host.hpp"
#include "log.hpp"
#include "status.hpp"

namespace proa::sidecar {

struct NamedInterface {
  std::string name;
  InterfaceHost host;
  InterfaceTroubles troubles{};
  bool conflict_told = false;
};

/// Threading: the control thread, except where a function says otherwise.
class Daemon final : public ControlHandler {
 public:
  Daemon(const Config& config, Access access, std::vector<NamedInterface> interfaces, Log log);
  ~Daemon() override;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Opens the control socket; applications are served from run() on.
  [[nodiscard]] tl::expected<void, std::string> open();
  /// Starts the engines and serves until `stop_descriptor` is readable; then tells every flow's
  /// ends and returns.
  void run(int stop_descriptor, const std::string& user);

  std::optional<AttachAnswer> attach(std::uint32_t session, const ControlPeer& peer,
                                     const AttachRequest& request) override;
  std::optional<ConfirmAnswer> confirm(std::uint32_t session) override;
  std::optional<Reason> listen(std::uint32_t session, std::uint32_t request, std::uint16_t port,
                               bool shared) override;
  std::optional<Reason> unlisten(std::uint32_t session, std::uint32_t request,
                                 std::uint16_t port) override;
  [[nodiscard]] std::span<const InterfaceInfo> interfaces() const override { return told_; }
  std::string status(const ControlPeer& peer, std::string_view query) override;
  void gone(std::uint32_t session) override;

 private:
  struct Application {
    std::uint32_t session = 0;
    std::uint32_t engine = 0;
    std::uint32_t app = 0;  // seat at that engine
    ControlPeer peer;
    std::string name;
    std::uint64_t memory_bytes = 0;
    std::optional<ChannelSetup> setup;      // until its engine serves it
    bool confirmed = false;                 // the application has mapped it
    std::unique_ptr<ChannelServer> server;  // from then on, the engine uses it
    bool leaving = false;
  };
  using Applications = std::map<std::uint32_t, Application>;  // by channel

  struct EngineSeat {
    EngineHost* host = nullptr;
    std::uint32_t interface = 0;
    std::vector<std::uint32_t> free_apps;
    bool stopped = false;
  };

  [[nodiscard]] ChannelGeometry geometry_for(const AttachRequest& request) const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> interface_for(const std::string& wish) const;
  [[nodiscard]] std::optional<std::uint32_t> interface_to(const IpAddress& address) const;
  [[nodiscard]] std::optional<std::uint32_t> lightest_engine(
      std::uint32_t interface) const noexcept;
  [[nodiscard]] Application* of_session(std::uint32_t session) noexcept;
  /// One step for the channel that has waited longest for its memory.
  void prepare();
  void offer(Applications::iterator application);
  [[nodiscard]] ConfirmAnswer serve(Application& application);
  std::optional<Reason> ask_engine(EngineCommand::Kind kind, std::uint32_t session,
                                   std::uint32_t request, std::uint16_t port, bool shared);
  void forget(Applications::iterator application);
  void take_answers();
  void take_answer(std::uint32_t engine, const EngineAnswer& answer);
  void tell_conflict(NamedInterface& interface);
  void tell_notice(NamedInterface& interface, std::uint32_t engine, const NicNotice& notice);
  void stop_engines();
  void wait_for_answers(Duration at_most);
  [[nodiscard]] Status gather();
  EngineLink& link(std::uint32_t engine) noexcept { return engines_[engine].host->link(); }

  struct PendingReport {
    std::unique_ptr<EngineReport> report;
    bool done = false;
  };

  Config config_;
  Access access_;
  Log log_;
  std::vector<NamedInterface> interfaces_;
  std::vector<InterfaceInfo> told_;  // the same in their order, as applications hear of them
  std::vector<EngineSeat> engines_;
  std::deque<std::uint32_t> preparing_;  // channels whose memory is being made; front first
  Applications applications_;            // after interfaces_ in destruction: see ~Daemon
  std::unique_ptr<ControlServer> control_;
  std::map<std::uint32_t, PendingReport> reports_;
  std::array<std::uint64_t, static_cast<std::size_t>(ChannelFault::count)> faults_{};
  std::uint32_t next_channel_ = 1;
  std::uint32_t next_report_ = 1;
  std::string user_;
  Instant started_{};
};

}  // namespace proa::sidecar
