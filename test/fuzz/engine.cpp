// Fuzzing: two real engines and whatever the input does to their frames (TEST-MATRIX B2).
#include "engine_script.hpp"

namespace proa::fuzz {

void run(ByteView bytes) {
  try {
    EngineScript(Input{bytes}).run();
  } catch (const sim::Failure& failure) {
    fail(failure.what());
  }
}

}  // namespace proa::fuzz
