// The hostile application (TEST-MATRIX part C) at the level of the channel.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
