package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"github.com/usher-ws/usher/record"
)

// Server does the handshakes of a server. Any number of goroutines may use it.
type Server struct {
	config *tls.Config // the caller's
	outer  *tls.Config // which lives as long, and has the keys of tickets
}

var errVersions = errors.New("handshake: Config.MaxVersion is below TLS 1.2")

// NewServer returns a Server for a Config, which must not change afterwards but by its own
// methods and callbacks: GetCertificate and GetConfigForClient are asked for each
// connection. These fields are used in another way than by crypto/tls:
//
//   - MinVersion is TLS 1.2 at least.
//   - Of CipherSuites, and of the default ones, only those with an AEAD are offered.
//   - Tickets are for TLS 1.3 only: of a resumed connection of TLS 1.2 the key log tells nothing.
//     The keys of Config.SetSessionTicketKeys are used, also when they are set later; without
//     them, keys that a Server makes and rotates.
//   - KeyLogWriter is told of the secrets, if it is set, as ever: that is for debugging.
//   - DynamicRecordSizingDisabled is not looked at: a record is as long as what is sent at
//     once.
func NewServer(config *tls.Config) (*Server, error) {
	if v := config.MaxVersion; v != 0 && v < tls.VersionTLS12 {
		return nil, errVersions
	}
	s := &Server{config, config.Clone()}
	s.outer.GetConfigForClient = s.configFor
	return s, nil
}

// configFor returns the Config of one handshake, with a key log of its own. crypto/tls takes
// the keys of tickets from the outer one, unless the caller has set some.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	t := hello.Conn.(*tap)
	hello.Conn = t.Conn
	config := s.config
	if get := config.GetConfigForClient; get != nil {
		switch chosen, err := get(hello); {
		case err != nil:
			return nil, err
		case chosen != nil:
			config = chosen
		}
	}
	config = config.Clone()
	restrict(config)
	t.listen(config)
	if config.MaxVersion == tls.VersionTLS12 || !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		config.SessionTicketsDisabled = true
	}
	return config, nil
}

// Handshake does the handshake of a connection, and waits for it; the deadlines are those of
// conn, and if ctx can be cancelled, conn is closed when it is. early is what was read from
// conn before, if anything was (see HelloSize); it is borrowed for as long as the Result is. After
// an *Error the alert for it is written, and conn is the caller's to close. conn may be written
// to, and read from behind Result.Rest, once Handshake has returned.
func (s *Server) Handshake(ctx context.Context, conn net.Conn, early []byte) (*Result, error) {
	t := &tap{Conn: conn, ahead: early}
	return t.run(ctx, tls.Server(t, s.outer), record.Server)
}

// Client does the handshake of a client, as Server.Handshake does that of a server, and with
// the same rules for the Config, which may be in use by others. ClientSessionCache is not
// looked at: tickets come after the handshake, and are passed over.
func Client(ctx context.Context, conn net.Conn, config *tls.Config) (*Result, error) {
	if v := config.MaxVersion; v != 0 && v < tls.VersionTLS12 {
		return nil, errVersions
	}
	t := &tap{Conn: conn}
	config = config.Clone()
	restrict(config)
	t.listen(config)
	config.ClientSessionCache = nil
	config.Renegotiation = tls.RenegotiateNever
	return t.run(ctx, tls.Client(t, config), record.Client)
}

// run runs the handshake of c, which is over t.
func (t *tap) run(ctx context.Context, c *tls.Conn, role record.Role) (*Result, error) {
	defer t.forget()
	t.in.most = mostHeard
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, t.explain(c, role, err)
	}
	r := new(Result)
	if err := r.finish(t, c, role); err != nil {
		r.Conn.Clear()
		return nil, err
	}
	return r, nil
}

// listen makes t the key log of a Config.
func (t *tap) listen(config *tls.Config) {
	t.log = config.KeyLogWriter
	config.KeyLogWriter = keyLog{t}
}

// restrict leaves of a Config what package record can go on with.
func restrict(config *tls.Config) {
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.CipherSuites == nil {
		config.CipherSuites = defaultSuites
		return
	}
	config.CipherSuites = supported(config.CipherSuites)
}

// defaultSuites are those of TLS 1.2 that crypto/tls does not call insecure and package record
// knows.
var defaultSuites = func() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return supported(ids)
}()

// supported returns those of ids that package record knows. It is never nil, which would
// mean all of them.
func supported(ids []uint16) []uint16 {
	known := make([]uint16, 0, len(ids))
	for _, id := range ids {
		if record.Supports(tls.VersionTLS12, id) {
			known = append(known, id)
		}
	}
	return known
}
