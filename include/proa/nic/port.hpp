// L2: a NIC port: made once, it hands out its queue pairs, one to each engine.
#pragma once

namespace proa {

/// Specialised by every NIC that has ports (`Port<DpdkNic>` is in nic/dpdk.hpp):
///   using Options = ...;
///   static tl::expected<Port, std::string> open(const Options&);   // the error is a sentence
///   explicit Port(const Options&);                                 // throws std::runtime_error
///   tl::expected<N, std::string> take_queue();                     // the next free queue pair
///   std::uint16_t queue_pairs() const;
///   std::shared_ptr<void> companion(make);   // what its users share: make()'s for the first
/// A queue pair keeps its port alive: the port closes when the last of them is gone.
template <class N>
class Port;

}  // namespace proa
