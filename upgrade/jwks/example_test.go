package jwks_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade/jwks"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// The keys of a key server, which here has one.
func ExampleOpen() {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := base64.RawURLEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"spring","x":%q}]}`, public)
	}))
	defer server.Close()

	keys, err := jwks.Open(jwks.Source{
		Location: server.URL, Client: server.Client(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	v := &jwt.Verifier{Keys: keys}

	now := time.Now()
	token := gojwt.NewWithClaims(gojwt.SigningMethodEdDSA, gojwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix()})
	for _, kid := range []string{"spring", "autumn"} {
		token.Header["kid"] = kid
		text, err := token.SignedString(private)
		if err != nil {
			log.Fatal(err)
		}
		// A guard does this itself. Wait may ask the key server; Verify would not.
		id, err := v.Begin([]byte(text), now).Wait(context.Background(), now)
		if err != nil {
			fmt.Println(kid, "is not known:", err)
			continue
		}
		fmt.Println(kid, "signed for", id.Subject)
	}
	// Output:
	// spring signed for alice
	// autumn is not known: jwt: token that no key of ours has signed
}
