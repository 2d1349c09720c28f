package jwt_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// sign returns a token for alice, good for an hour from now on.
func sign(secret []byte, now time.Time) string {
	token, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, gojwt.MapClaims{
		"sub": "alice", "exp": now.Add(time.Hour).Unix(), "rooms": []string{"lobby"},
	}).SignedString(secret)
	if err != nil {
		log.Fatal(err)
	}
	return token
}

// A door for clients that have a token signed with a secret.
func Example() {
	secret := []byte("a secret of at least thirty-two bytes")
	v, err := jwt.HS256(secret)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	u := &upgrade.Upgrader{
		Guards: []upgrade.Guard{upgrade.Bearer(v)},
		Now:    func() time.Time { return now },
	}
	for _, target := range []string{"/ws?token=" + sign(secret, now), "/ws?token=stale", "/ws"} {
		head := []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		var r upgrade.Request
		if err := u.Parse(head, &r); err != nil {
			log.Fatal(err)
		}
		_, err := u.Respond(nil, &r)
		var rej *upgrade.Rejection
		if errors.As(err, &rej) {
			fmt.Println(rej.Status, rej.Code)
			continue
		}
		fmt.Println("welcome,", r.Identity.Subject)
	}
	// Output:
	// welcome, alice
	// 401 token_invalid
	// 401 token_missing
}

// A public key in PEM, and an issuer whose tokens alone are good.
func ExampleVerifier() {
	keys, err := jwt.ParsePEM([]byte(`-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----`), "")
	if err != nil {
		log.Fatal(err)
	}
	set, err := jwt.NewKeySet(keys...)
	if err != nil {
		log.Fatal(err)
	}
	v := &jwt.Verifier{Keys: set, Issuer: "https://id.example", Leeway: 30 * time.Second}
	fmt.Println(keys[0].Algorithm)

	_, err = v.Verify([]byte(sign(make([]byte, 32), time.Now())), time.Now()) // by HS256
	fmt.Println(err)
	// Output:
	// EdDSA
	// jwt: token that no key of ours has signed
}
