//go:build linux && race

package main_test

// raceEnabled: the tests run with -race, so the program is built with it too.
const raceEnabled = true
