// L4: the channels of one stack, one to each interface of its sidecar, as if they were one.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include <proa/ipc/channel_client.hpp>
#include <proa/ipc/control_client.hpp>
#include <proa/stack/placement.hpp>

namespace proa {

/// The memories of all channels, so that there is one home for leases to return to. Each block
/// knows its channel.
class ChannelMemories {
 public:
  static constexpr std::uint32_t channels_max = 1U << (32U - ChannelHandle::bits);

  /// Takes their mappings; at most channels_max.
  explicit ChannelMemories(std::span<ControlClient::Attached> channels) {
    for (std::uint32_t i = 0; i < channels.size(); ++i) {
      AttachedChannel& c = channels[i].channel;
      memories_[i].emplace(c.geometry, std::move(c.send), std::move(c.receive), i);
    }
  }
  void release(const MessageBlock& block) noexcept {
    memories_[ClientMemory::channel_of(block)]->release(block);
  }
  [[nodiscard]] ClientMemory& of(std::uint32_t channel) noexcept { return *memories_[channel]; }

 private:
  std::array<std::optional<ClientMemory>, channels_max> memories_;
};

/// A flow's handle carries its channel in its three top bits; a single channel is number 0 and
/// costs a predictable branch. A channel that is lost ends its own flows only, with `stack_closed`.
/// Threading: the stack's thread.
class SidecarChannels {
 public:
  static constexpr std::uint32_t channels_max = ChannelMemories::channels_max;
  using Home = LeaseHome<ChannelMemories>;
  using Attached = std::vector<ControlClient::Attached>;

  struct Answer {
    Attached channels;
    std::vector<InterfaceInfo> interfaces;  // of each channel
  };
  /// A channel to the interface that `options` name, or to every one the sidecar has. An error is a
  /// sentence.
  [[nodiscard]] static tl::expected<Answer, std::string> attach(const AttachOptions& options);

  /// May throw std::bad_alloc.
  explicit SidecarChannels(Answer answer)
      : home_(new Home(std::span{answer.channels})),
        count_(static_cast<std::uint32_t>(answer.channels.size())) {
    for (std::uint32_t i = 0; i < count_; ++i)
      channels_[i].emplace(std::move(answer.channels[i]), std::move(answer.interfaces[i]),
                           home_->memory().of(i));
    if (count_ > 1) epoll_ = OwnedFd{::epoll_create1(EPOLL_CLOEXEC)};
    for (std::uint32_t i = 0; epoll_ && i < count_; ++i)
      channels_[i]->watched = watch(i, EPOLL_CTL_ADD);
  }
  SidecarChannels(const SidecarChannels&) = delete;
  SidecarChannels& operator=(const SidecarChannels&) = delete;

  /// False: there were no descriptors left to sleep with.
  [[nodiscard]] bool complete() const noexcept {
    return count_ == 1 || channels_[count_ - 1]->watched;
  }
  [[nodiscard]] Home& home() noexcept { return *home_; }

  // --- flows and their channels ---

  [[nodiscard]] static bool is_first(FlowHandle flow) noexcept {
    return flow.value >> ChannelHandle::bits == 0;
  }
  [[nodiscard]] ChannelClient& first() noexcept { return client(0); }

  struct Named {
    ChannelClient& client;
    ChannelHandle flow;
    std::uint32_t channel;
  };
  [[nodiscard]] Named named(FlowHandle flow) noexcept {
    // Without a branch, so that there is one call to inline. A channel that is not there: the first
    // one knows no such name.
    const std::uint32_t wanted = flow.value >> ChannelHandle::bits;
    const std::uint32_t channel = wanted < count_ ? wanted : 0;
    return {client(channel), {flow.value - (channel << ChannelHandle::bits)}, channel};
  }
  [[nodiscard]] static FlowHandle handle(std::uint32_t channel, ChannelHandle flow) noexcept {
    return {(channel << ChannelHandle::bits) | flow.value};
  }

  /// By the interface that leads to `peer` most closely, the first of equals. With a single channel
  /// its engine says whether there is a way.
  [[nodiscard]] Expected<FlowHandle> connect(const Endpoint& peer, Instant deadline) noexcept {
    const auto channel = towards(peer.address);
    if (!channel) return failed(channel.error());
    const auto flow = client(*channel).connect(peer, deadline);
    if (!flow) return failed(flow.error());
    return handle(*channel, *flow);
  }
  /// On all interfaces that are meant, or on none.
  [[nodiscard]] Expected<void> listen(const Listen& to, Duration timeout) noexcept;
  [[nodiscard]] Expected<void> unlisten(const Listen& to, Duration timeout) noexcept;

  /// Of the memory that `flow` sends from, while it has a channel; else of any.
  [[nodiscard]] Expected<MessageBlock> allocate(std::uint32_t length, FlowHandle flow) noexcept {
    std::uint32_t channel = named(flow).channel;
    if (count_ > 1 && client(channel).lost()) channel = first_alive();
    ClientMemory& memory = home_->memory().of(channel);
    if (length > memory.geometry().message_bytes_max) return failed(Reason::message_too_large);
    const auto block = memory.allocate_send(length);
    if (!block) return failed(Reason::out_of_memory);
    return *block;
  }
  // --- all channels at once ---

  /// The next event, and whose it is. After each the next channel is asked first.
  [[nodiscard]] bool poll(ChannelEvent& out, std::uint32_t& channel) noexcept {
    channel = 0;
    if (count_ == 1) [[likely]]
      return client(0).poll(out);
    for (std::uint32_t i = 0; i < count_; ++i) {
      channel = next_;
      next_ = next_ + 1 == count_ ? 0 : next_ + 1;
      if (client(channel).poll(out)) return true;
    }
    return false;
  }
  void flush() noexcept {
    for (std::uint32_t i = 0; i < count_; ++i) client(i).flush();
  }
  /// Now and then, to notice what is gone.
  void check() noexcept {
    for (std::uint32_t i = 0; i < count_; ++i) client(i).check();
  }
  /// Before waiting on descriptor(); false: events wait already, or nothing will ever come.
  [[nodiscard]] bool arm() noexcept;
  void disarm() noexcept {
    for (std::uint32_t i = 0; i < count_; ++i) client(i).disarm();
  }
  void wait(Duration at_most) noexcept;
  [[nodiscard]] int descriptor() const noexcept {
    return count_ == 1 ? channels_[0]->client.descriptor() : epoll_.get();
  }

  [[nodiscard]] std::uint32_t open_flows() const noexcept {
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < count_; ++i) sum += channels_[i]->client.open_flows();
    return sum;
  }
  [[nodiscard]] std::uint32_t closing_flows() const noexcept {
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < count_; ++i) sum += channels_[i]->client.closing_flows();
    return sum;
  }
  /// Of the channels that are not lost.
  [[nodiscard]] std::vector<InterfaceInfo> interfaces() const {
    std::vector<InterfaceInfo> out;
    for (std::uint32_t i = 0; i < count_; ++i)
      if (!channels_[i]->client.lost()) out.push_back(channels_[i]->interface);
    return out;
  }

 private:
  struct Channel {
    Channel(ControlClient::Attached attached, InterfaceInfo info, ClientMemory& memory)
        : control(std::move(attached.control)),
          client(memory, std::move(attached.channel.bell)),
          interface(std::move(info)) {}

    ControlClient control;
    ChannelClient client;
    InterfaceInfo interface;
    bool watched = false;  // by epoll_
  };
  struct DropLocal {
    void operator()(Home* home) const noexcept { home->drop_local(); }
  };

  [[nodiscard]] ChannelClient& client(std::uint32_t channel) noexcept {
    return channels_[channel]->client;
  }
  [[nodiscard]] Expected<std::uint32_t> towards(const IpAddress& peer) const noexcept;
  [[nodiscard]] std::uint32_t first_alive() const noexcept {
    std::uint32_t i = 0;
    while (i + 1 < count_ && channels_[i]->client.lost()) ++i;
    return i;
  }
  [[nodiscard]] bool meant(std::uint32_t channel, const Listen& to) const noexcept {
    return to.local.is_unset() || channels_[channel]->interface.owns(to.local);
  }
  /// Lost, and the application has been told so of every flow.
  [[nodiscard]] bool over(std::uint32_t channel) noexcept {
    return client(channel).lost() && client(channel).open_flows() == 0;
  }
  bool watch(std::uint32_t channel, int how) noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    return ::epoll_ctl(epoll_.get(), how, client(channel).descriptor(), &event) == 0;
  }

  std::unique_ptr<Home, DropLocal> home_;  // goes last
  std::uint32_t count_;
  std::uint32_t next_ = 0;  // whose turn it is in poll()
  OwnedFd epoll_;           // over the doorbells of several channels
  std::array<std::optional<Channel>, channels_max> channels_;
};

inline tl::expected<SidecarChannels::Answer, std::string> SidecarChannels::attach(
    const AttachOptions& options) {
  auto first = ControlClient::attach(options);
  if (!first) return tl::unexpected{std::move(first).error()};
  auto all = first->control.interfaces(options.timeout);
  if (!all) return tl::unexpected{std::move(all).error()};
  const std::uint32_t own = first->channel.interface;
  const bool everywhere = options.interface.empty();
  if (everywhere && all->size() > channels_max)
    return tl::unexpected{"the sidecar has " + std::to_string(all->size()) +
                          " interfaces, a stack uses up to " + std::to_string(channels_max) +
                          "; name the one to use (option interface)"};
  Answer out;
  out.channels.push_back(std::move(*first));
  out.interfaces.push_back(own < all->size() ? (*all)[own] : InterfaceInfo{});
  for (std::uint32_t i = 0; everywhere && i < all->size(); ++i) {
    if (i == own) continue;
    AttachOptions further = options;
    further.interface = (*all)[i].name;
    auto attached = ControlClient::attach(further);
    if (!attached)
      return tl::unexpected{"interface " + further.interface + ": " + attached.error() +
                            "; or use a single interface (option interface)"};
    out.channels.push_back(std::move(*attached));
    out.interfaces.push_back(std::move((*all)[i]));
  }
  return out;
}

inline Expected<std::uint32_t> SidecarChannels::towards(const IpAddress& peer) const noexcept {
  if (count_ == 1) return 0U;
  Expected<std::uint32_t> best = failed(Reason::no_route);
  std::uint32_t closest = 0;
  bool all_lost = true;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const bool lost = channels_[i]->client.lost();
    const auto bits = channels_[i]->interface.closeness(peer);
    all_lost = all_lost && lost;
    if (lost && bits && !best) best = failed(Reason::stack_closed);  // there was a way
    if (lost || !bits || (best && *bits <= closest)) continue;
    best = i;
    closest = *bits;
  }
  if (!best && all_lost) return failed(Reason::stack_closed);
  return best;
}

inline Expected<void> SidecarChannels::listen(const Listen& to, Duration timeout) noexcept {
  std::array<bool, channels_max> listens{};
  Expected<void> all = failed(Reason::invalid_argument);  // no interface has that address
  bool some = false;
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (!meant(i, to)) continue;
    const auto done = channels_[i]->control.listen(to.port, timeout, to.shared);
    if (!some) all = done;
    listens[i] = done.has_value();
    some = some || listens[i];
    if (done || done.error() == Reason::stack_closed) continue;  // a lost one is no obstacle
    for (std::uint32_t j = 0; j < i; ++j)
      if (listens[j]) static_cast<void>(channels_[j]->control.unlisten(to.port, timeout));
    return done;
  }
  return all;
}

inline Expected<void> SidecarChannels::unlisten(const Listen& to, Duration timeout) noexcept {
  Expected<void> all = failed(Reason::invalid_argument);
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (!meant(i, to)) continue;
    const auto done = channels_[i]->control.unlisten(to.port, timeout);
    if (!all) all = done;
  }
  return all;
}

inline bool SidecarChannels::arm() noexcept {
  if (count_ == 1) [[likely]]
    return client(0).arm();
  bool anything = false;
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (over(i)) {  // its doorbell would be readable for ever
      if (channels_[i]->watched) channels_[i]->watched = !watch(i, EPOLL_CTL_DEL);
      continue;
    }
    anything = true;
    if (client(i).arm()) continue;
    for (std::uint32_t j = 0; j < i; ++j) client(j).disarm();
    return false;
  }
  return anything;
}

inline void SidecarChannels::wait(Duration at_most) noexcept {
  if (count_ == 1) [[likely]]
    return client(0).wait(at_most);
  if (!arm()) return;
  std::array<int, channels_max> bells{};
  std::uint32_t n = 0;
  for (std::uint32_t i = 0; i < count_; ++i)
    if (!over(i)) bells[n++] = client(i).descriptor();
  static_cast<void>(wait_for_any({bells.data(), n}, at_most));
  disarm();
}

}  // namespace proa
