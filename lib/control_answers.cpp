// lib: what is said in a session of the control socket, as fast as its socket takes it.
#include <algorithm>
#include <string_view>

#include "control_sessions.hpp"

namespace proa {
namespace {

using detail::IoResult;

constexpr std::size_t answers_waiting_max = 16;      // of 4 KiB
constexpr std::size_t texts_bytes_max = 64U << 20U;  // of all sessions, not yet read
constexpr int messages_per_visit = 8;                // then the others have their turn

}  // namespace

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
    case ControlType::describe:
      return handle_describe(number, session, datagram);
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
      control_datagram(AttachedMessage{offer.geometry, answer->channel, answer->interface},
                       session.request),
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

void ControlServer::State::handle_describe(std::uint32_t number, Session& session,
                                           const ControlDatagram& datagram) {
  DescribeMessage question;
  if (!datagram.read(question) || session.stage != Stage::serving)
    return drop(number, counters.malformed);
  const std::span<const InterfaceInfo> all = handler.interfaces();
  DescribedMessage answer;
  if (question.interface < all.size()) answer = DescribedMessage::of(all[question.interface]);
  answer.interface = question.interface;
  answer.interfaces = static_cast<std::uint32_t>(all.size());
  say(number, session, answer, datagram.head().request);
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

}  // namespace proa
