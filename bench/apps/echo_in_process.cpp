// bench/apps: the echo application with the stack in its own thread.
#include <proa/in_process.hpp>

#include "echo.hpp"

int main(int argc, char** argv) {
  return proa::bench::echo_main<proa::Stack<proa::InProcess<proa::DpdkNic>>>(argc, argv,
                                                                             "in-process");
}
