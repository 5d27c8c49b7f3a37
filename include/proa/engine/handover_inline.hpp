// L3: what an engine gives to others and takes from them; included by engine.hpp only.
#pragma once
#include <bit>

#include <proa/engine/engine.hpp>

namespace proa {

/// To the engine whose index the flow id bears, or that listens. Only what came by our own queue:
/// nothing is handed on twice.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::hand_over(const UdpArrival& from, Via via,
                                              std::uint32_t owner) noexcept {
  if (via == Via::engine) return Drop::unknown_flow;
  return put(*group_, owner, from, via == Via::nic ? Via::engine : via);
}

template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::put(EngineGroup& group, std::uint32_t owner,
                                        const UdpArrival& what, Via via) noexcept {
  Inbox& inbox = group.inbox(owner);
  if (what.payload.size() > inbox.payload_bytes_max()) return Drop::handover_too_long;
  if (!inbox.put(what, via, index_)) return Drop::handover_full;
  if (via != Via::loopback) ++counters_.handed_over;
  if (&group == group_.get())
    to_ring_ |= std::uint64_t{1} << owner;
  else
    group.ring(owner);
  return Drop::none;
}

/// To an application behind another interface of this host. Who opens a flow knows no engine there:
/// the first one finds the listener.
template <Nic NicT, class AppSide, class Policy>
Drop Engine<NicT, AppSide, Policy>::to_other_interface(const UdpArrival& from) noexcept {
  EngineGroup* const group = options_.local ? options_.local->group_of(from.destination) : nullptr;
  if (group == nullptr || from.payload.size() < PacketHeader::size) return Drop::not_for_us;
  const auto id = load_be<std::uint32_t>(from.payload.data() + 4);
  const std::uint32_t owner = id & (engines_max - 1);
  return put(*group, owner < group->size() ? owner : 0, from, Via::loopback);
}

/// What others received for us, and the bells of those we received something for. True: nothing is
/// left. An engine that is alone on its port never comes here.
template <Nic NicT, class AppSide, class Policy>
[[gnu::noinline]] bool Engine<NicT, AppSide, Policy>::trade_with_others() noexcept {
  const bool emptied = inbox_->empty() || take_handovers();
  if (emptied) inbox_read_.note_end(now_);
  if (to_ring_ != 0) ring_others();
  return emptied;
}

/// True: the inbox was emptied.
template <Nic NicT, class AppSide, class Policy>
bool Engine<NicT, AppSide, Policy>::take_handovers() noexcept {
  const std::uint32_t limit = options_.handovers_per_turn;
  const std::uint32_t taken = inbox_->drain(
      limit,
      [this](const UdpArrival& from, Via via, std::uint32_t engine) {
        if (via != Via::loopback) ++counters_.handed_to_us;
        Arrival arrival{now_, now_ - inbox_read_.read_until(), from.congestion_experienced};
        if (via == Via::loopback) arrival.uncertainty = {};
        const Drop drop = via == Via::icmp ? packet_too_big(from)
                                           : receive_datagram(from, arrival, {via, engine});
        if (drop != Drop::none) counters_.drops.add(drop);
      },
      [this](const NeighbourNews& news) { interface_.hear(news, now_); });
  report_.received += taken;
  if (taken < limit) return true;
  inbox_read_.note_more(taken, now_);
  return false;
}

/// An answer to ARP reaches one queue only. News that find no room are asked for again.
template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::spread_news() noexcept {
  if (inbox_ == nullptr) return;
  while (const auto news = interface_.poll_news())
    for (std::uint32_t other = 0; other < group_->size(); ++other)
      if (other != index_ && group_->inbox(other).put(*news)) to_ring_ |= std::uint64_t{1} << other;
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::ring_others() noexcept {
  for (; to_ring_ != 0; to_ring_ &= to_ring_ - 1)
    group_->ring(static_cast<std::uint32_t>(std::countr_zero(to_ring_)));
}

template <Nic NicT, class AppSide, class Policy>
void Engine<NicT, AppSide, Policy>::disarm_handover() noexcept {
  if (inbox_ == nullptr) return;
  inbox_->declare_awake();
  group_->hush(index_);
}

}  // namespace proa
