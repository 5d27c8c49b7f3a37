// L2: an application's, or the operator's, end of the control socket.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/interface_info.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/time.hpp>
#include <proa/ipc/control_messages.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/ipc/shm.hpp>

namespace proa {

inline constexpr const char* control_path_default = "/run/proad/proad.sock";

struct AttachOptions {
  std::string path = control_path_default;
  std::string name;              // for the operator; up to 32 bytes
  std::uint64_t send_bytes = 0;  // 0: as the sidecar likes
  std::uint64_t receive_bytes = 0;
  std::uint32_t flows_max = 0;
  std::string interface;  // its name, or an address it owns or has a route to; empty: any
  Duration timeout = std::chrono::seconds{5};
};

/// A channel as the application receives it: arguments of ClientMemory and ChannelClient.
struct AttachedChannel {
  ChannelGeometry geometry;
  SharedMapping send, receive;
  Doorbell bell;
  std::uint32_t channel = 0;
  std::uint32_t interface = 0;  // its number in ControlClient::interfaces()
};

/// Blocking, with a time limit for every call; errors are sentences. The channel lives as long as
/// the connection. Threading: one thread.
class ControlClient {
 public:
  [[nodiscard]] static tl::expected<ControlClient, std::string> connect(const std::string& path,
                                                                        Duration timeout);
  /// connect() and the whole dialogue: afterwards the sidecar serves the channel.
  struct Attached;
  [[nodiscard]] static tl::expected<Attached, std::string> attach(const AttachOptions& options);

  /// From now on peers may connect to `port`; port_in_use, not_permitted, stack_closed, timed_out.
  /// `shared`: together with other channels of this user, new flows spread over all of them.
  [[nodiscard]] Expected<void> listen(std::uint16_t port, Duration timeout, bool shared = false);
  [[nodiscard]] Expected<void> unlisten(std::uint16_t port, Duration timeout);
  /// All interfaces this application may attach to; none: the sidecar does not say.
  [[nodiscard]] tl::expected<std::vector<InterfaceInfo>, std::string> interfaces(Duration timeout);
  /// The sidecar's answer to an operator's question.
  [[nodiscard]] tl::expected<std::string, std::string> status(const std::string& query,
                                                              Duration timeout);
  /// Readable when the sidecar has gone.
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

 private:
  explicit ControlClient(OwnedFd fd) noexcept : fd_(std::move(fd)) {}
  template <ControlContent M>
  Expected<void> ask(const M& message, Duration timeout);
  tl::expected<AttachedChannel, std::string> attach_channel(const AttachOptions& options);

  OwnedFd fd_;
  std::uint32_t request_ = 0;
};

struct ControlClient::Attached {
  ControlClient control;
  AttachedChannel channel;
};

}  // namespace proa
