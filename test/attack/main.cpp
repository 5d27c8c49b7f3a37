// The hostile application (TEST-MATRIX part C) against a channel and a whole sidecar.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
