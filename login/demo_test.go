package login

import "testing"

func TestCheckDemo(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		want           error
	}{
		{"alice", "wonderland", nil},
		{"bob", "builder", nil},
		{"alice", "builder", ErrPassword},
		{"alice", "", ErrPassword},
		{"Alice", "wonderland", ErrPassword},
		{"eve", "", ErrPassword}, // a stranger's password is not the empty one
		{"", "", ErrPassword},
	} {
		if got := CheckDemo(t.Context(), tt.name, tt.password); got != tt.want {
			t.Errorf("CheckDemo(%q, %q): got %v, want %v", tt.name, tt.password, got, tt.want)
		}
	}
}
