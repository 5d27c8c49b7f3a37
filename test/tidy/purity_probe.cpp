// The whole transport, instantiated: what this object wants from elsewhere is what the layer
// reaches.
#include <proa/mem/message_memory.hpp>
#include <proa/transport/flow.hpp>

template class proa::Flow<proa::MessageMemoryArchetype>;
