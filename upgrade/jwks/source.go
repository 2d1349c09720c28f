package jwks

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade/jwt"
)

// Source says where the keys are. A Duration of zero means the default. With a negative
// Refresh the set is read again only when a token asks for it; a negative Grace is none.
type Source struct {
	// Location is an http or https URL, or else a file's path; "" if Local are all the keys.
	Location string

	// Local are further keys, which need not be read: they always count.
	Local []jwt.Key

	// Before are the keys that these take the place of. What was listed or Local there and is
	// neither here counts until its Grace is over, and nothing that was listed ends before the
	// set was read. Before goes on as it is, and is to be closed.
	Before *Keys

	Refresh time.Duration // how often the set is read, give or take a tenth; 5 min
	Grace   time.Duration // how long a key counts when it is no longer listed; 10 min

	Client *http.Client // default one with a timeout of 10 s
	Logger *slog.Logger // default slog.Default()

	cooldown, patience time.Duration // shorter in tests
}

const (
	defaultRefresh = 5 * time.Minute
	defaultGrace   = 10 * time.Minute

	// defaultCooldown is the least time between two readings that tokens ask for.
	defaultCooldown = 5 * time.Second

	// defaultPatience is how long Ask waits for a reading: less than a handshake
	// may take.
	defaultPatience = 3 * time.Second
)

func or(setting, standard time.Duration) time.Duration {
	if setting == 0 {
		return standard
	}
	return max(setting, 0)
}
