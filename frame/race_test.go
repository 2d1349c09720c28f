//go:build race

package frame

func init() { raceEnabled = true }
