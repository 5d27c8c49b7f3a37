// lib: the sessions of the control socket and what is done with them. For lib/control_*.cpp alone.
#pragma once
#include <sys/epoll.h>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/ipc/control_server.hpp>

#include "control_io.hpp"

namespace proa {
namespace detail {

/// attaching, confirming: the handler answers later.
enum class Stage : std::uint8_t { fresh, attaching, offered, confirming, serving };

struct Session {
  OwnedFd socket;
  OwnedFd process;  // readable when it has exited, even if a child holds its socket
  ControlPeer peer;
  Stage stage = Stage::fresh;
  bool known = false;                     // attach() did not refuse: gone() is owed
  std::uint32_t request = 0;              // attaching, confirming: to be answered
  std::uint32_t channel = 0;              // as its confirm names it
  Instant since{};                        // of its stage
  Instant calmed{};                       // last told to be patient
  std::deque<ControlDatagram> waiting{};  // answers the socket has no room for
  std::optional<std::string> text{};      // a status answer under way, after `waiting`
  std::size_t text_at = 0;                // so much of it is sent

  [[nodiscard]] bool has_answers() const noexcept { return !waiting.empty() || text; }
};

}  // namespace detail

struct ControlServer::State {
  using Session = detail::Session;
  using Stage = detail::Stage;

  State(const ControlServerOptions& o, ControlHandler& h) : options(o), handler(h) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (bound) ::unlink(options.path.c_str());
  }

  ControlServerOptions options;
  ControlHandler& handler;
  OwnedFd listening, epoll;
  bool bound = false;
  std::map<std::uint32_t, Session> sessions;
  std::vector<std::uint32_t> ended;
  std::uint32_t next_session = 1;
  ControlCounters counters;

  tl::expected<void, std::string> open();
  bool watch(int fd, std::uint32_t events, std::uint64_t token, int how = EPOLL_CTL_ADD) {
    epoll_event e{};
    e.events = events;
    e.data.u64 = token;
    return ::epoll_ctl(epoll.get(), how, fd, &e) == 0;
  }
  void accept_all();
  void admit(OwnedFd socket);
  [[nodiscard]] bool over_quota(std::uint32_t uid) const;
  void read(std::uint32_t number, Session& session);
  void handle(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  static void enter(Session& session, Stage stage) {
    session.stage = stage;
    session.since = session.calmed = monotonic_now();
  }
  void handle_attach(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  void offer(std::uint32_t number, Session& session, const ControlHandler::AttachAnswer& answer);
  void handle_confirm(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  void serve_from_now(std::uint32_t number, Session& session,
                      const ControlHandler::ConfirmAnswer& answer);
  void handle_listen(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  void handle_describe(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  void handle_status(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  template <ControlContent M>
  void say(std::uint32_t number, Session& session, const M& message, std::uint32_t request) {
    queue(number, session, control_datagram(message, request));
  }
  void refuse(std::uint32_t number, Session& session, const AttachRefusal& why,
              std::uint32_t request) {
    say(number, session,
        RefusedMessage{static_cast<std::uint32_t>(why.reason), control_text<252>(why.sentence)},
        request);
  }
  void queue(std::uint32_t number, Session& session, const ControlDatagram& datagram);
  void write(std::uint32_t number, Session& session);
  /// The next thing to say; the session has_answers().
  [[nodiscard]] static ControlDatagram next_answer(const Session& session);
  static void said(Session& session);
  void drop(std::uint32_t number, std::uint64_t& counter) {
    ++counter;
    ended.push_back(number);
  }
  void bury();
  void look_after_waiting();
};

}  // namespace proa
