// Fuzzing: datagrams of the control socket, as both ends read them.
#include <cstring>

#include <proa/ipc/control_messages.hpp>

#include "input.hpp"

namespace proa::fuzz {
namespace {

template <ControlContent M>
void reads_back(const ControlDatagram& in) {
  M message;
  if (!in.read(message)) return;
  const ControlDatagram again = control_datagram(message, in.head().request);
  demand(again.size == in.size && again.well_formed(), "a control message changed its size");
  demand(same(ByteView{again.bytes}.first(in.size), ByteView{in.bytes}.first(in.size)),
         "control message round trip");
}

template <class M>
void texts(const ControlDatagram& in, std::size_t limit) {
  M message;
  if (!in.read(message)) return;
  if constexpr (requires { message.name; })
    demand(to_string(message.name).size() <= limit, "a name is too long");
  if constexpr (requires { message.query; })
    demand(to_string(message.query).size() <= limit, "a query is too long");
}

}  // namespace

void run(ByteView bytes) {
  // The head is made valid but for its type and request: the first two bytes of the input.
  Input input{bytes};
  ControlHead head;
  head.type = static_cast<std::uint16_t>(input.byte() % 14);
  head.request = input.byte();
  const ByteView rest = input.rest();
  ControlDatagram in;
  in.size = std::min(rest.size() + sizeof head, in.bytes.size());
  head.bytes = static_cast<std::uint32_t>(in.size);
  std::memcpy(in.bytes.data(), &head, sizeof head);
  std::copy_n(rest.begin(), in.size - sizeof head, in.bytes.begin() + sizeof head);
  demand(in.well_formed(), "a well-formed control message is not taken for one");

  reads_back<AttachMessage>(in);
  reads_back<AttachedMessage>(in);
  reads_back<RefusedMessage>(in);
  reads_back<ConfirmMessage>(in);
  reads_back<ServingMessage>(in);
  reads_back<ListenMessage>(in);
  reads_back<UnlistenMessage>(in);
  reads_back<DoneMessage>(in);
  reads_back<StatusMessage>(in);
  reads_back<TextMessage>(in);
  reads_back<PatienceMessage>(in);
  reads_back<DescribeMessage>(in);
  reads_back<DescribedMessage>(in);
  texts<AttachMessage>(in, 32);
  texts<StatusMessage>(in, 64);
  if (DescribedMessage described; in.read(described)) {
    const InterfaceInfo info = described.info();
    demand(info.addresses.size() + info.routes.size() <= described.prefixes.size() &&
               info.name.size() <= described.name.size(),
           "a description says more than it has");
    for (const auto* list : {&info.addresses, &info.routes})
      for (const IpPrefix& prefix : *list)
        demand(covers(prefix, prefix.address), "a prefix does not cover its own address");
  }
  AttachedMessage attached;
  if (!in.read(attached) || impossible(attached.geometry) != nullptr) return;
  const auto& g = attached.geometry;
  for (const RegionLayout& layout : {send_layout(g), receive_layout(g)})
    demand(layout.arena_offset() > layout.second_offset() &&
               layout.bytes() > layout.arena_offset() && layout.bytes() < (1ULL << 37U),
           "a possible geometry has an impossible layout");
}

}  // namespace proa::fuzz
