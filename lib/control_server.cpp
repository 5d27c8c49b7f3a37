// lib: the sidecar's end of the control socket.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proa/base/clock.hpp>
#include <proa/ipc/control_server.hpp>

#include "control_io.hpp"

namespace proa {
namespace {

using detail::IoResult;

constexpr std::size_t answers_waiting_max = 16;      // of 4 KiB
constexpr std::size_t texts_bytes_max = 64U << 20U;  // of all sessions, not yet read
constexpr int messages_per_visit = 8;                // then the others have their turn
constexpr Duration calm_every = std::chrono::seconds{1};

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

}  // namespace

struct ControlServer::State {
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

namespace {
constexpr std::uint64_t listening_token = 0;
constexpr std::uint64_t process_bit = std::uint64_t{1} << 32U;

/// True when somebody still answers at that address.
bool alive(const sockaddr_un& address) {
  OwnedFd probe{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  const int n = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return n == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}
}  // namespace

tl::expected<void, std::string> ControlServer::State::open() {
  const auto error = [&](const std::string& what) {
    return tl::unexpected<std::string>{what + " " + options.path + ": " + std::strerror(errno)};
  };
  sockaddr_un address{};
  if (!detail::socket_address(options.path, address))
    return tl::unexpected<std::string>{"control socket: '" + options.path +
                                       "' is no possible path (1 to 107 bytes)"};
  if (alive(address))
    return tl::unexpected<std::string>{"a sidecar already answers at " + options.path +
                                       " (stop it, or choose another control socket)"};
  struct stat file {};
  if (::lstat(options.path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode))
    ::unlink(options.path.c_str());
  listening = OwnedFd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  epoll = OwnedFd{::epoll_create1(EPOLL_CLOEXEC)};
  if (!listening || !epoll) return error("cannot make the control socket");
  if (::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return error("cannot bind the control socket");
  bound = true;
  if (::chmod(options.path.c_str(), options.mode) != 0 || ::listen(listening.get(), 64) != 0)
    return error("cannot open the control socket");
  if (!watch(listening.get(), EPOLLIN, listening_token))
    return error("cannot watch the control socket");
  return {};
}

void ControlServer::State::accept_all() {
  for (int i = 0; i < 64; ++i) {
    OwnedFd socket{::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) return;
    admit(std::move(socket));
  }
}

bool ControlServer::State::over_quota(std::uint32_t uid) const {
  if (sessions.size() >= options.sessions_max) return true;
  if (uid == 0) return false;
  const auto same = std::count_if(sessions.begin(), sessions.end(),
                                  [uid](const auto& s) { return s.second.peer.uid == uid; });
  return static_cast<std::uint64_t>(same) >= options.sessions_per_uid;
}

void ControlServer::State::admit(OwnedFd socket) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return;
  Session session;
  session.peer = {who.pid, who.uid, who.gid};
  session.since = monotonic_now();
  if (over_quota(who.uid)) {
    ++counters.over_quota;
    const auto why = control_text<252>("too many connections to the control socket");
    static_cast<void>(detail::send_datagram(
        socket.get(),
        control_datagram(RefusedMessage{static_cast<std::uint32_t>(Reason::not_permitted), why},
                         1)));
    return;
  }
  const std::uint32_t number = next_session++;
  if (who.pid > 0)
    session.process = OwnedFd{static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0))};
  session.socket = std::move(socket);
  if (!watch(session.socket.get(), EPOLLIN, number)) return;
  if (session.process) watch(session.process.get(), EPOLLIN, number | process_bit);
  ++counters.accepted;
  sessions.emplace(number, std::move(session));
}

void ControlServer::State::read(std::uint32_t number, Session& session) {
  for (int i = 0; i < messages_per_visit && !session.has_answers(); ++i) {
    ControlDatagram datagram;
    std::vector<OwnedFd> fds;
    const IoResult result = detail::receive_datagram(session.socket.get(), datagram, fds);
    if (result == IoResult::would_block) return;
    if (result == IoResult::ended) return ended.push_back(number);
    if (result == IoResult::too_many_fds || !fds.empty())
      return drop(number, counters.unwanted_fds);
    if (result == IoResult::malformed) return drop(number, counters.malformed);
    handle(number, session, datagram);
    if (!ended.empty() && ended.back() == number) return;
  }
}

void ControlServer::State::handle(std::uint32_t number, Session& session,
                                  const ControlDatagram& datagram) {
  switch (static_cast<ControlType>(datagram.head().type)) {
    case ControlType::attach:
      return handle_attach(number, session, datagram);
    case ControlType::confirm:
      return handle_confirm(number, session, datagram);
    case ControlType::listen:
    case ControlType::unlisten:
      return handle_listen(number, session, datagram);
    case ControlType::status:
      return handle_status(number, session, datagram);
    default:
      return drop(number, counters.malformed);
  }
}

void ControlServer::State::handle_attach(std::uint32_t number, Session& session,
                                         const ControlDatagram& datagram) {
  AttachMessage wish;
  if (!datagram.read(wish) || session.stage != Stage::fresh)
    return drop(number, counters.malformed);
  const std::uint32_t request = session.request = datagram.head().request;
  if (wish.layout_version != channel_layout_version)
    return refuse(number, session,
                  {Reason::not_permitted,
                   "the application speaks channel layout " + std::to_string(wish.layout_version) +
                       ", this sidecar " + std::to_string(channel_layout_version) +
                       ": rebuild or restart the older one"},
                  request);
  const auto answer = handler.attach(number, session.peer,
                                     {to_string(wish.name), wish.send_bytes, wish.receive_bytes,
                                      wish.flows_max, to_string(wish.interface)});
  if (answer) return offer(number, session, *answer);
  session.known = true;
  enter(session, Stage::attaching);
}

void ControlServer::State::offer(std::uint32_t number, Session& session,
                                 const ControlHandler::AttachAnswer& answer) {
  enter(session, Stage::fresh);
  if (!answer) return refuse(number, session, answer.error(), session.request);
  session.known = true;
  enter(session, Stage::offered);
  const ChannelOffer& offer = answer->offer;
  const IoResult sent = detail::send_datagram(
      session.socket.get(),
      control_datagram(AttachedMessage{offer.geometry, answer->channel, 0}, session.request),
      {offer.send.get(), offer.receive.get(), offer.doorbell.get()});
  if (sent != IoResult::done) drop(number, counters.not_reading);
}

void ControlServer::State::handle_confirm(std::uint32_t number, Session& session,
                                          const ControlDatagram& datagram) {
  ConfirmMessage confirm;
  if (!datagram.read(confirm) || session.stage != Stage::offered)
    return drop(number, counters.malformed);
  session.request = datagram.head().request;
  session.channel = confirm.channel;
  enter(session, Stage::confirming);
  if (const auto answer = handler.confirm(number)) serve_from_now(number, session, *answer);
}

void ControlServer::State::serve_from_now(std::uint32_t number, Session& session,
                                          const ControlHandler::ConfirmAnswer& answer) {
  enter(session, Stage::serving);
  if (!answer) return refuse(number, session, answer.error(), session.request);
  say(number, session, ServingMessage{session.channel}, session.request);
}

void ControlServer::State::handle_listen(std::uint32_t number, Session& session,
                                         const ControlDatagram& datagram) {
  ListenMessage listen;
  UnlistenMessage unlisten;
  const std::uint32_t request = datagram.head().request;
  const bool is_listen = datagram.read(listen);
  if (session.stage != Stage::serving || (!is_listen && !datagram.read(unlisten)))
    return drop(number, counters.malformed);
  const std::uint32_t port = is_listen ? listen.port : unlisten.port;
  std::optional<Reason> reason = Reason::invalid_argument;
  if (port >= 1 && port <= 0xffff) {
    const auto p = static_cast<std::uint16_t>(port);
    reason = is_listen ? handler.listen(number, request, p, listen.shared != 0)
                       : handler.unlisten(number, request, p);
  }
  if (reason) say(number, session, DoneMessage{static_cast<std::uint32_t>(*reason)}, request);
}

void ControlServer::State::handle_status(std::uint32_t number, Session& session,
                                         const ControlDatagram& datagram) {
  StatusMessage question;
  if (!datagram.read(question)) return drop(number, counters.malformed);
  std::string text = handler.status(session.peer, to_string(question.query));
  std::size_t unread = text.size();
  for (const auto& [other, s] : sessions) unread += s.text ? s.text->size() : 0;
  if (unread > texts_bytes_max) return drop(number, counters.not_reading);
  session.text = std::move(text);
  session.text_at = 0;
  session.request = datagram.head().request;
  write(number, session);
}

void ControlServer::State::queue(std::uint32_t number, Session& session,
                                 const ControlDatagram& datagram) {
  if (session.waiting.size() >= answers_waiting_max) return drop(number, counters.not_reading);
  const bool first = !session.has_answers();
  session.waiting.push_back(datagram);
  if (first) write(number, session);
}

ControlDatagram ControlServer::State::next_answer(const Session& session) {
  if (!session.waiting.empty()) return session.waiting.front();
  const std::string_view rest = std::string_view{*session.text}.substr(session.text_at);
  TextMessage piece;
  piece.length = static_cast<std::uint32_t>(std::min(piece.text.size(), rest.size()));
  piece.text = control_text<4000>(rest);
  piece.last = piece.length == rest.size() ? 1 : 0;
  return control_datagram(piece, session.request);
}

void ControlServer::State::said(Session& session) {
  if (!session.waiting.empty()) return session.waiting.pop_front();
  session.text_at += std::min(TextMessage{}.text.size(), session.text->size() - session.text_at);
  if (session.text_at == session.text->size()) session.text.reset();
}

void ControlServer::State::write(std::uint32_t number, Session& session) {
  while (session.has_answers()) {
    const IoResult sent = detail::send_datagram(session.socket.get(), next_answer(session));
    if (sent == IoResult::would_block) {
      watch(session.socket.get(), EPOLLOUT, number, EPOLL_CTL_MOD);  // reading waits until then
      return;
    }
    if (sent != IoResult::done) return ended.push_back(number);
    said(session);
  }
  watch(session.socket.get(), EPOLLIN, number, EPOLL_CTL_MOD);
}

void ControlServer::State::bury() {
  while (!ended.empty()) {
    const std::uint32_t number = ended.back();
    ended.pop_back();
    const auto it = sessions.find(number);
    if (it == sessions.end()) continue;
    const bool known = it->second.known;
    sessions.erase(it);  // closing removes its descriptors from the epoll set
    if (known) handler.gone(number);
  }
}

/// Who waits for us is told so; who lets us wait is ended.
void ControlServer::State::look_after_waiting() {
  const Instant now = monotonic_now();
  for (auto& [number, session] : sessions) {
    const bool ours = session.stage == Stage::attaching || session.stage == Stage::confirming;
    if (ours && now - session.calmed > calm_every) {
      session.calmed = now;
      say(number, session, PatienceMessage{}, session.request);
    }
    if (!ours && session.stage != Stage::serving && now - session.since > options.attach_limit)
      drop(number, counters.silent);
  }
}

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ControlServer::~ControlServer() = default;

tl::expected<std::unique_ptr<ControlServer>, std::string> ControlServer::open(
    const ControlServerOptions& options, ControlHandler& handler) {
  auto state = std::make_unique<State>(options, handler);
  auto done = state->open();
  if (!done) return tl::unexpected<std::string>{std::move(done.error())};
  return std::unique_ptr<ControlServer>{new ControlServer{std::move(state)}};
}

void ControlServer::serve(Duration at_most) {
  State& s = *state_;
  std::array<epoll_event, 64> events{};
  if (!s.ended.empty()) at_most = {};
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(at_most).count();
  const int n = ::epoll_wait(s.epoll.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(std::clamp<std::int64_t>(ms, 0, 1'000'000'000)));
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == listening_token) {
      s.accept_all();
      continue;
    }
    const auto number = static_cast<std::uint32_t>(event.data.u64);
    const auto it = s.sessions.find(number);
    if (it == s.sessions.end()) continue;
    const bool hung_up = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
    if ((event.data.u64 & process_bit) != 0 || (hung_up && it->second.has_answers()))
      s.ended.push_back(number);
    else if ((event.events & EPOLLOUT) != 0)
      s.write(number, it->second);
    else
      s.read(number, it->second);
    s.bury();
  }
  s.look_after_waiting();
  s.bury();
}

void ControlServer::answer(std::uint32_t session, std::uint32_t request, Reason reason) {
  const auto it = state_->sessions.find(session);
  if (it == state_->sessions.end()) return;
  state_->say(session, it->second, DoneMessage{static_cast<std::uint32_t>(reason)}, request);
}

void ControlServer::answer(std::uint32_t session, const ControlHandler::AttachAnswer& answer) {
  const auto it = state_->sessions.find(session);
  if (it != state_->sessions.end() && it->second.stage == Stage::attaching)
    state_->offer(session, it->second, answer);
}
void ControlServer::answer(std::uint32_t session, const ControlHandler::ConfirmAnswer& answer) {
  const auto it = state_->sessions.find(session);
  if (it != state_->sessions.end() && it->second.stage == Stage::confirming)
    state_->serve_from_now(session, it->second, answer);
}

void ControlServer::end(std::uint32_t session) { state_->ended.push_back(session); }

int ControlServer::descriptor() const noexcept { return state_->epoll.get(); }
std::uint32_t ControlServer::sessions() const noexcept {
  return static_cast<std::uint32_t>(state_->sessions.size());
}
const ControlCounters& ControlServer::counters() const noexcept { return state_->counters; }

}  // namespace proa
