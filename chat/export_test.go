//go:build linux

package chat

import "github.com/usher-ws/usher/hub"

// Hub returns where the rooms are, for tests to set up before use.
func (c *Chat) Hub() *hub.Hub { return &c.hub }
