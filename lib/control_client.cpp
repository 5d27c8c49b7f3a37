// lib: the application's end of the control socket.
#include <poll.h>

#include <algorithm>
#include <string>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/ipc/control_client.hpp>

#include "control_io.hpp"

namespace proa {
namespace {

using detail::IoResult;

constexpr std::uint32_t interfaces_max = 1024;
constexpr std::string_view gone = "the sidecar closed the connection";
constexpr std::string_view late = "the sidecar did not answer in time";

tl::unexpected<std::string> sentence(std::string_view text) {
  return tl::unexpected<std::string>{std::string{text}};
}

bool wait_for(int fd, short what, Instant deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_now());
    pollfd waited{fd, what, 0};
    const int n = ::poll(
        &waited, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000)));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

struct Answer {
  ControlDatagram datagram;
  std::vector<OwnedFd> fds;
};

/// Sends and waits for the answer to this request, at most `timeout` from one sign of life to the
/// next; answers to earlier ones are skipped.
tl::expected<Answer, std::string> exchange(int fd, const ControlDatagram& question,
                                           Duration timeout) {
  Instant deadline = later(monotonic_now(), timeout);
  for (;;) {
    const IoResult sent = detail::send_datagram(fd, question);
    if (sent == IoResult::done) break;
    if (sent != IoResult::would_block) return sentence(gone);
    if (!wait_for(fd, POLLOUT, deadline)) return sentence(late);
  }
  for (;;) {
    Answer answer;
    const IoResult received = detail::receive_datagram(fd, answer.datagram, answer.fds);
    if (received == IoResult::would_block) {
      if (!wait_for(fd, POLLIN, deadline)) return sentence(late);
    } else if (received == IoResult::ended) {
      return sentence(gone);
    } else if (received != IoResult::done) {
      return sentence("the sidecar speaks another version of the control protocol");
    } else if (answer.datagram.head().request == question.head().request) {
      PatienceMessage patience;
      if (!answer.datagram.read(patience)) return answer;
      deadline = later(monotonic_now(), timeout);
    }
  }
}

tl::expected<void, std::string> refused_in(const ControlDatagram& datagram) {
  RefusedMessage refused;
  if (!datagram.read(refused)) return {};
  return sentence("the sidecar refused: " + to_string(refused.sentence));
}

}  // namespace

tl::expected<ControlClient, std::string> ControlClient::connect(const std::string& path,
                                                                Duration timeout) {
  sockaddr_un address{};
  if (!detail::socket_address(path, address))
    return sentence("'" + path + "' is no possible socket path (1 to 107 bytes)");
  OwnedFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd) return sentence(std::string{"cannot make a socket: "} + std::strerror(errno));
  const Instant deadline = later(monotonic_now(), timeout);
  for (;;) {
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return ControlClient{std::move(fd)};
    if (errno != EAGAIN && errno != EINTR) break;
    if (monotonic_now() > deadline) break;  // EAGAIN: its queue of connections is full
    ::poll(nullptr, 0, 1);
  }
  return sentence("cannot reach the sidecar at " + path + ": " + std::strerror(errno) +
                  " (is proad running, and may this user connect?)");
}

tl::expected<ControlClient::Attached, std::string> ControlClient::attach(
    const AttachOptions& options) {
  auto control = connect(options.path, options.timeout);
  if (!control) return tl::unexpected<std::string>{std::move(control.error())};
  auto channel = control->attach_channel(options);
  if (!channel) return tl::unexpected<std::string>{std::move(channel.error())};
  return Attached{std::move(*control), std::move(*channel)};
}

tl::expected<AttachedChannel, std::string> ControlClient::attach_channel(
    const AttachOptions& options) {
  AttachMessage wish;
  wish.send_bytes = options.send_bytes;
  wish.receive_bytes = options.receive_bytes;
  wish.flows_max = options.flows_max;
  wish.name = control_text<32>(options.name);
  wish.interface = control_text<64>(options.interface);
  auto answer = exchange(fd_.get(), control_datagram(wish, ++request_), options.timeout);
  if (!answer) return tl::unexpected<std::string>{std::move(answer.error())};
  if (auto ok = refused_in(answer->datagram); !ok)
    return tl::unexpected<std::string>{std::move(ok.error())};
  AttachedMessage attached;
  if (!answer->datagram.read(attached) || answer->fds.size() != 3)
    return sentence("the sidecar's answer to attach is none");
  if (const char* why = impossible(attached.geometry))
    return sentence(std::string{"the sidecar offers an impossible channel: "} + why);

  const ChannelGeometry& g = attached.geometry;
  auto send =
      SharedMapping::map(answer->fds[0].get(), send_layout(g).bytes(), MapAccess::read_write);
  if (!send) return tl::unexpected<std::string>{std::move(send.error())};
  auto receive =
      SharedMapping::map(answer->fds[1].get(), receive_layout(g).bytes(), MapAccess::read_only);
  if (!receive) return tl::unexpected<std::string>{std::move(receive.error())};

  auto serving = exchange(fd_.get(), control_datagram(ConfirmMessage{attached.channel}, ++request_),
                          options.timeout);
  if (!serving) return tl::unexpected<std::string>{std::move(serving.error())};
  if (auto ok = refused_in(serving->datagram); !ok)
    return tl::unexpected<std::string>{std::move(ok.error())};
  ServingMessage yes;
  if (!serving->datagram.read(yes)) return sentence("the sidecar's answer to confirm is none");
  return AttachedChannel{g,
                         std::move(*send),
                         std::move(*receive),
                         Doorbell{std::move(answer->fds[2])},
                         attached.channel,
                         attached.interface};
}

template <ControlContent M>
Expected<void> ControlClient::ask(const M& message, Duration timeout) {
  const auto answer = exchange(fd_.get(), control_datagram(message, ++request_), timeout);
  if (!answer) return failed(answer.error() == late ? Reason::timed_out : Reason::stack_closed);
  DoneMessage done;
  if (!answer->datagram.read(done)) return failed(Reason::stack_closed);
  if (done.reason != 0) return failed(static_cast<Reason>(done.reason));
  return {};
}

Expected<void> ControlClient::listen(std::uint16_t port, Duration timeout, bool shared) {
  return ask(ListenMessage{port, shared ? 1U : 0U}, timeout);
}
Expected<void> ControlClient::unlisten(std::uint16_t port, Duration timeout) {
  return ask(UnlistenMessage{port}, timeout);
}

tl::expected<std::vector<InterfaceInfo>, std::string> ControlClient::interfaces(Duration timeout) {
  std::vector<InterfaceInfo> all;
  for (DescribeMessage question;; ++question.interface) {
    auto answer = exchange(fd_.get(), control_datagram(question, ++request_), timeout);
    if (!answer) return tl::unexpected<std::string>{std::move(answer.error())};
    DescribedMessage described;
    if (!answer->datagram.read(described) || described.interfaces > interfaces_max)
      return sentence("the sidecar's answer to describe is none");
    if (question.interface >= described.interfaces) return all;
    all.push_back(described.info());
    if (all.size() == described.interfaces) return all;
  }
}

tl::expected<std::string, std::string> ControlClient::status(const std::string& query,
                                                             Duration timeout) {
  const Instant deadline = later(monotonic_now(), timeout);
  StatusMessage question;
  question.query = control_text<64>(query);
  auto answer = exchange(fd_.get(), control_datagram(question, ++request_), timeout);
  std::string text;
  for (;;) {
    if (!answer) return tl::unexpected<std::string>{std::move(answer.error())};
    TextMessage piece;
    if (!answer->datagram.read(piece) || piece.length > piece.text.size())
      return sentence("the sidecar's answer is no text");
    text.append(piece.text.data(), piece.length);
    if (piece.last != 0) return text;
    std::vector<OwnedFd> none;
    IoResult next = IoResult::would_block;
    while ((next = detail::receive_datagram(fd_.get(), answer->datagram, none)) ==
           IoResult::would_block)
      if (!wait_for(fd_.get(), POLLIN, deadline)) return sentence(late);
    if (next != IoResult::done) return sentence(gone);
  }
}

}  // namespace proa
