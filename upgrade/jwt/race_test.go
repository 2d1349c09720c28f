//go:build race

package jwt

func init() { raceEnabled = true }
