// Fuzzing: the function libFuzzer and the replay call.
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  proa::fuzz::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
