// L2: the sidecar's end of the control socket.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include <proa/base/interface_info.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/time.hpp>
#include <proa/ipc/channel_setup.hpp>

namespace proa {

/// Who is at the other end, as the kernel says (SO_PEERCRED).
struct ControlPeer {
  std::int32_t pid = 0;  // 0: in a foreign pid namespace
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

/// What an application asks for when it attaches; 0 leaves a size to the sidecar.
struct AttachRequest {
  std::string name;
  std::uint64_t send_bytes = 0;
  std::uint64_t receive_bytes = 0;
  std::uint32_t flows_max = 0;
  std::string interface;  // its name, an address of it, or one it has a route to
};

struct AttachRefusal {
  Reason reason = Reason::not_permitted;
  std::string sentence;  // up to 252 bytes reach the application
};

/// What the sidecar does about what it is asked. Called by ControlServer::serve() on its thread; a
/// session is one connection, its number is not reused for a long time.
class ControlHandler {
 public:
  virtual ~ControlHandler() = default;

  /// At most once per session. `channel`: the sidecar's name for it, for the operator.
  struct Offered {
    ChannelOffer offer;
    std::uint32_t channel = 0;
    std::uint32_t interface = 0;  // which of interfaces() it leads to
  };
  using AttachAnswer = tl::expected<Offered, AttachRefusal>;
  using ConfirmAnswer = tl::expected<void, AttachRefusal>;
  /// Nothing: ControlServer::answer(session, AttachAnswer) is called later.
  virtual std::optional<AttachAnswer> attach(std::uint32_t session, const ControlPeer& peer,
                                             const AttachRequest& request) = 0;
  /// The application has mapped its memory: ChannelSetup::serve(), and a home on an engine.
  /// Nothing: ControlServer::answer(session, ConfirmAnswer) is called later.
  virtual std::optional<ConfirmAnswer> confirm(std::uint32_t session) = 0;
  /// Nothing: ControlServer::answer(session, request, reason) is called later.
  virtual std::optional<Reason> listen(std::uint32_t session, std::uint32_t request,
                                       std::uint16_t port, bool shared) = 0;
  virtual std::optional<Reason> unlisten(std::uint32_t session, std::uint32_t request,
                                         std::uint16_t port) = 0;
  /// Those an application may attach to, told to who is served. None: nothing is told.
  [[nodiscard]] virtual std::span<const InterfaceInfo> interfaces() const { return {}; }
  /// The operator's question. Who lets 64 MiB of answers lie unread is ended.
  virtual std::string status(const ControlPeer& peer, std::string_view query) = 0;
  /// The session has ended: its application is gone. Called once, only after attach() was not
  /// refused at once.
  virtual void gone(std::uint32_t session) = 0;
};

struct ControlServerOptions {
  std::string path;                                  // of the socket
  std::uint32_t mode = 0666;                         // of the socket's file: who may connect at all
  std::uint32_t sessions_max = 512;                  // descriptors: three each while serving
  std::uint32_t sessions_per_uid = 128;              // root excepted
  Duration attach_limit = std::chrono::seconds{10};  // for a session that asks for nothing
};

struct ControlCounters {
  std::uint64_t accepted = 0;
  std::uint64_t over_quota = 0;    // turned away at once
  std::uint64_t malformed = 0;     // ended: not a message, or out of turn
  std::uint64_t unwanted_fds = 0;  // ended: brought descriptors along
  std::uint64_t not_reading = 0;   // ended: does not read its answers
  std::uint64_t silent = 0;        // ended: attach_limit
};

/// One thread serves all sessions, none of which can make it wait. Its descriptor() becomes
/// readable when serve() has something to do.
class ControlServer {
 public:
  /// A socket file left by a dead sidecar is replaced; one of a living sidecar is an error.
  [[nodiscard]] static tl::expected<std::unique_ptr<ControlServer>, std::string> open(
      const ControlServerOptions& options, ControlHandler& handler);
  ~ControlServer();  // removes the socket file, ends all sessions without gone()
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Does what can be done now, waiting at most `at_most` for the first thing.
  void serve(Duration at_most);
  /// The late answer to attach(); to confirm(); to listen() or unlisten().
  void answer(std::uint32_t session, const ControlHandler::AttachAnswer& answer);
  void answer(std::uint32_t session, const ControlHandler::ConfirmAnswer& answer);
  void answer(std::uint32_t session, std::uint32_t request, Reason reason);
  /// Ends a session, as if its application had gone: the next serve() calls gone().
  void end(std::uint32_t session);

  [[nodiscard]] int descriptor() const noexcept;
  [[nodiscard]] std::uint32_t sessions() const noexcept;
  [[nodiscard]] const ControlCounters& counters() const noexcept;

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace proa
