// sidecar: the channels of all applications as one application side of an engine.
#pragma once
#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <proa/engine/app_side.hpp>
#include <proa/ipc/channel_server.hpp>

namespace proa::sidecar {

/// Models AppSideOf. Application `app` is a seat in [0, seats); who sits there is added and removed
/// by the engine's thread, which this belongs to. Allocates only when made.
class ChannelAppSide {
 public:
  using Memory = ChannelMemory;

  ChannelAppSide(std::uint32_t seats, std::uint32_t flows_per_user)
      : seats_(seats), flows_per_user_(flows_per_user) {
    taken_.reserve(seats);
  }

  // --- of the application's side ---

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant now) noexcept {
    std::uint32_t served = 0;
    for (const std::uint32_t app : taken_) {
      Seat& seat = seats_[app];
      if (!seat.channel->has_requests()) {
        seat.stuck = false;
        continue;
      }
      Sink<EngineT> sink{*this, engine, now, app};
      const std::uint32_t n = seat.channel->pull(sink, requests_per_turn);
      seat.stuck = n == 0 && seat.channel->request_waits();
      served += n;
    }
    return served;
  }
  /// What an application asked for just before it left: at most a lap of its ring.
  template <class EngineT>
  void pull_last(EngineT& engine, Instant now, std::uint32_t app) noexcept {
    ChannelServer& channel = *seats_[app].channel;
    Sink<EngineT> sink{*this, engine, now, app};
    if (channel.serving()) channel.pull(sink, channel.geometry().request_slots);
  }
  [[nodiscard]] std::optional<AppCookie> accept(std::uint32_t app, FlowKey key,
                                                const Endpoint& local,
                                                const Endpoint& peer) noexcept {
    if (flows_of_user(seats_[app].user) >= flows_per_user_) return std::nullopt;
    const auto handle = seats_[app].channel->accept(key.value, local, peer);
    if (!handle) return std::nullopt;
    return AppCookie{app, handle->value};
  }
  [[nodiscard]] bool room(std::uint32_t app) noexcept {
    seats_[app].wants_room = !seats_[app].channel->room();
    return !seats_[app].wants_room;
  }
  void deliver(AppCookie cookie, FlowKey, const FlowEvent& event) noexcept {
    ChannelServer& channel = *seats_[cookie.app].channel;
    const ChannelHandle handle{cookie.handle};
    switch (event.kind) {
      case FlowEventKind::accepted:  // accept() told it
      case FlowEventKind::writable:  // the client sees it in its counts of what is released
        return;
      case FlowEventKind::connected:
        return channel.deliver_connected(handle);
      case FlowEventKind::message:
        return channel.deliver_message(handle, event.message);
      case FlowEventKind::sent:
        return channel.deliver_sent(handle, event.number);
      case FlowEventKind::closed:
        return channel.deliver_closed(handle, event.reason);
    }
  }
  [[nodiscard]] Memory& memory(std::uint32_t app) noexcept { return seats_[app].channel->memory(); }
  void publish(Instant) noexcept {
    for (const std::uint32_t app : taken_) {
      ChannelServer& channel = *seats_[app].channel;
      channel.publish();
      attention_ = attention_ || !channel.serving();
    }
  }

  // --- who sits where ---

  void seat(std::uint32_t app, ChannelServer& channel, std::uint32_t user) noexcept {
    seats_[app] = Seat{&channel, user};
    taken_.push_back(app);
  }
  /// Its engine holds no flow of it any more.
  void unseat(std::uint32_t app) noexcept {
    seats_[app] = Seat{};
    taken_.erase(std::find(taken_.begin(), taken_.end(), app));
  }
  [[nodiscard]] std::span<const std::uint32_t> taken() const noexcept { return taken_; }
  [[nodiscard]] bool seated(std::uint32_t app) const noexcept {
    return seats_[app].channel != nullptr;
  }
  [[nodiscard]] ChannelServer& channel(std::uint32_t app) noexcept { return *seats_[app].channel; }

  /// Some channel is not served any more, or was left.
  [[nodiscard]] bool attention() const noexcept { return attention_; }
  void attended() noexcept { attention_ = false; }

  // --- sleeping ---

  /// Declares every channel asleep and appends one entry for each. False: somebody wants something;
  /// disarm() is due either way. A request that waits for the network keeps nobody awake.
  [[nodiscard]] bool arm(std::vector<pollfd>& bells) noexcept {
    for (const std::uint32_t app : taken_) {
      Seat& seat = seats_[app];
      const bool served = seat.channel->serving();
      if (served && !seat.stuck && !seat.channel->arm(seat.wants_room)) return false;
      bells.push_back({served ? seat.channel->descriptor() : -1, POLLIN, 0});
    }
    return true;
  }
  /// `bells` as arm() appended them, with what poll() found.
  void disarm(std::span<const pollfd> bells) noexcept {
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      Seat& seat = seats_[taken_[i]];
      const bool rung = i < bells.size() && bells[i].revents != 0;
      if (!seat.channel->disarm(rung)) seat.left = attention_ = true;
    }
  }
  /// Its end of the doorbell is gone: it will never ring again.
  [[nodiscard]] bool left(std::uint32_t app) const noexcept { return seats_[app].left; }

 private:
  static constexpr std::uint32_t requests_per_turn = 64;  // two bursts; then the others' turn

  struct Seat {
    ChannelServer* channel = nullptr;
    std::uint32_t user = 0;
    bool wants_room = false;  // events wait for its ring
    bool stuck = false;       // its oldest request waits for the network
    bool left = false;
  };

  template <class EngineT>
  struct Sink {
    ChannelAppSide& side;
    EngineT& engine;
    Instant now;
    std::uint32_t app;

    Expected<std::uint32_t> connect(ChannelHandle handle, const Endpoint& peer,
                                    Instant deadline) noexcept {
      if (side.flows_of_user(side.seats_[app].user) >= side.flows_per_user_)
        return failed(Reason::not_permitted);
      const auto key = engine.connect(now, AppCookie{app, handle.value}, peer, deadline);
      if (!key) return failed(key.error());
      return key->value;
    }
    Expected<MessageNumber> submit(std::uint32_t key, const MessageBlock& block,
                                   bool notify) noexcept {
      return engine.submit(now, FlowKey{key}, block, notify);
    }
    void close(std::uint32_t key, Instant deadline) noexcept {
      static_cast<void>(engine.close(now, FlowKey{key}, deadline));  // ended already: told soon
    }
    bool describe(std::uint32_t key, FlowDetails& out) noexcept {
      const auto info = engine.info(FlowKey{key});
      if (!info) return false;
      out = {info->smoothed_rtt.count(),
             info->minimum_rtt.count(),
             info->rtt_variation.count(),
             info->window_bytes,
             info->in_flight_bytes,
             info->credit_left_bytes,
             info->queued_messages,
             info->queued_bytes,
             info->packets_sent,
             info->packets_received,
             info->packets_lost,
             ChannelEndpoint::of(info->local),
             ChannelEndpoint::of(info->peer)};
      return true;
    }
    void reset(std::uint32_t key) noexcept {
      static_cast<void>(engine.reset(now, FlowKey{key}, Reason::reset_by_application));
    }
  };

  /// Channels are few, flows many: counted when one is opened.
  [[nodiscard]] std::uint32_t flows_of_user(std::uint32_t user) const noexcept {
    std::uint32_t flows = 0;
    for (const std::uint32_t app : taken_)
      if (seats_[app].user == user) flows += seats_[app].channel->open_flows();
    return flows;
  }

  std::vector<Seat> seats_;
  std::vector<std::uint32_t> taken_;
  std::uint32_t flows_per_user_;
  bool attention_ = false;
};

}  // namespace proa::sidecar
