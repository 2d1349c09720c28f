//go:build linux

package chat

import "testing"

func TestDemoUsers(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		want           bool
	}{
		{"alice", "wonderland", true},
		{"bob", "builder", true},
		{"alice", "builder", false},
		{"alice", "", false},
		{"Alice", "wonderland", false},
		{"eve", "", false}, // a stranger's password is not the empty one
		{"", "", false},
	} {
		if got := demoUsers.check(tt.name, tt.password); got != tt.want {
			t.Errorf("check(%q, %q): got %v, want %v", tt.name, tt.password, got, tt.want)
		}
	}
}
