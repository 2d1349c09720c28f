//go:build linux

package main

import (
	"testing"

	"github.com/usher-ws/usher/limiter"
)

func TestByteSize(t *testing.T) {
	for _, tt := range []struct {
		text string
		want byteSize
		back string // what String makes of it
	}{
		{"0", 0, "0"}, {"123", 123, "123"}, {"64KiB", 64 << 10, "64KiB"}, {"1MiB", 1 << 20, "1MiB"},
		{"1024KiB", 1 << 20, "1MiB"}, {"2GiB", 2 << 30, "2GiB"}, {"0MiB", 0, "0"}, {"1025", 1025, "1025"},
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || got != tt.want || got.String() != tt.back {
			t.Errorf("%q: got %d, %v, error %v; want %d, %s", tt.text, int(got), got, err, int(tt.want), tt.back)
		}
	}
	for _, text := range []string{
		"", "KiB", "-1", "+1", "1.5MiB", "1 KiB", "1kib", "64KB", "64K", "1MiBKiB", "0x10", "1_000",
		"9223372036854775808", "9007199254740992KiB", "99999999999999999999",
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, int(got))
		}
	}
}

func TestByteRate(t *testing.T) {
	for _, tt := range []struct {
		text string
		want limiter.Limit
	}{
		{"0", 0}, {"65536", 65536}, {"65536/s", 65536}, {"64KiB", 65536}, {"64KiB/s", 65536},
		{"60KiB/m", 1024}, {"1MiB/h", 1048576. / 3600}, {"0/s", 0},
	} {
		var got byteRate
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || limiter.Limit(got) != tt.want {
			t.Errorf("%q: got %v, error %v; want %v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "/s", "64KiB/d", "64KiB/", "x/s", "-1/s", "1/s/s", "1.5/s", "2GiB/s"} {
		var got byteRate
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}
