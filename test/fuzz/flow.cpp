// Fuzzing: both ends of a real flow and whatever the input does between them (TEST-MATRIX B2).
#include "flow_script.hpp"

namespace proa::fuzz {

void run(ByteView bytes) {
  try {
    FlowScript<>(Input{bytes}).run();
  } catch (const sim::Failure& failure) {
    fail(failure.what());
  }
}

}  // namespace proa::fuzz
