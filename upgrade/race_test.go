//go:build race

package upgrade

func init() { raceEnabled = true }
