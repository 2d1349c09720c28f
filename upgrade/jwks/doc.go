// Package jwks reads the keys of a JSON Web Key Set, RFC 7517, at a URL or in a file,
// for a jwt.Verifier:
//
//	keys, err := jwks.Open(jwks.Source{Location: "https://id.example/jwks.json"})
//	if err != nil { … }
//	defer keys.Close()
//	door := &upgrade.Upgrader{Guards: []upgrade.Guard{
//		upgrade.Bearer(&jwt.Verifier{Keys: keys, Issuer: "https://id.example"}),
//	}}
//
// One goroutine reads the set from time to time, and no other does, so that an event loop
// never waits for a key server. The keys that it read last count until it has read the set
// again: a server that is down, slow or talks nonsense takes no key away. A key that is no
// longer listed still counts for Source.Grace, because there still are tokens that were
// signed with it. This also holds if the set has no key at all, or none of a known kind: it
// was read, so its owner has revoked the keys.
//
// Where the settings change, Open the new Source with the old Keys as its Before, and give a
// new Verifier to the door: what was Local there, a secret that is rotated, say, counts for the
// Grace, too.
//
// A token that names an unknown key makes the goroutine read the set at once, but at most
// every five seconds, however many such tokens there are. It is refused with 401 if the set
// does not have the key, and with 503 and Retry-After if the set cannot be read. So list a
// key for five seconds before you sign with it.
//
// A key is used for the one algorithm that it names; if it names none, for all those of its
// type: RS256 to PS512 for RSA, the one of its curve for EC, EdDSA for Ed25519. These keys
// are left out: those for encryption, those that are too weak or of an unknown kind, and
// those whose kid, alg or use is not a string; null and "" count as absent. Secrets (kty
// oct) and private keys are taken from files only: at a URL they are no secrets. Names of
// members match exactly, and a set with two members of one name is refused.
package jwks
