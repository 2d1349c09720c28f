//go:build linux

package main

import "testing"

// TestCommandLine: a report tells how to do the same again, without the token.
func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"usher bench echo ws://h/ws --conns 3 --spawn './uws {port}'":                 {"bench", "echo", "ws://h/ws", "--conns", "3", "--spawn", "./uws {port}"},
		"usher bench echo 'ws://REDACTED@h/ws?token=REDACTED' --token REDACTED -d 1s": {"bench", "echo", "ws://u:s3cret@h/ws?token=s3cret", "--token", "s3cret", "-d", "1s"},
		"usher bench echo ws://h/ws --token=REDACTED":                                 {"bench", "echo", "ws://h/ws", "--token=s3cret"},
	} {
		if got := commandLine(args); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
