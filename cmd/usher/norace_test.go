//go:build linux && !race

package main_test

// raceEnabled: the tests run without -race, so the program is built without it.
const raceEnabled = false
