// Package servertest is for tests of what a [server.Server] serves, as net/http/httptest is
// for http.Handler: guards, handlers, limits and middleware run as they do in earnest, on
// the server's own loops, but no port is listened on. Clients come by socket pairs.
//
//	s := servertest.New(t, srv)
//	c, err := s.Dial("/ws/lobby", servertest.Options{Token: token})
//	var refused *servertest.Refusal
//	if errors.As(err, &refused) { … refused.StatusCode, refused.Body … }
//	err = c.WriteMessage(frame.OpText, []byte("hello"))
//	op, msg, err := c.ReadMessage()
//
// A client of another library has [Server.DialContext] for its dialling, and plain HTTP has
// [Server.HTTPClient].
//
// These connections have no address: RemoteAddr is zero, and limits per address do not
// count them. A test of those listens on a port of 127.0.0.1.
package servertest
