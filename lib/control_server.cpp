// lib: the sidecar's end of the control socket: who comes, who goes, whose turn it is.
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

#include "control_sessions.hpp"

namespace proa {
namespace {

using detail::Stage;

constexpr Duration calm_every = std::chrono::seconds{1};
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
