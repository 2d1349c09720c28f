// Package jwks has the keys of a JSON Web Key Set, RFC 7517, at a URL or in a file,
// for a jwt.Verifier to verify with:
//
//	keys, err := jwks.Open(jwks.Source{Location: "https://id.example/jwks.json"})
//	if err != nil { … }
//	defer keys.Close()
//	door := &upgrade.Upgrader{Guards: []upgrade.Guard{
//		upgrade.Bearer(&jwt.Verifier{Keys: keys, Issuer: "https://id.example"}),
//	}}
//
// One goroutine reads the set now and again, and nobody else does, so that a loop
// never waits for a key server. What it last read counts until it reads something
// better: a server that is down, slow or talks nonsense takes nothing away. A key
// that is not listed any more still counts for Source.Grace, as tokens signed with
// it are about. That is so as well when the set has no key at all, or none of a known
// kind: it was read, and whoever keeps it has revoked them.
//
// A token that names a key nobody knows has the set read at once, but not more
// often than every five seconds, whoever sends how many of them: it is 401 if the
// set does not have the key, and 503 with Retry-After if the set cannot be had. So
// a key should be listed for five seconds before anything is signed with it.
//
// Keys are used for the one algorithm they name; if they name none, for all those of
// their type: RS256 to PS512 for RSA, the one of its curve for EC, EdDSA for Ed25519. Those
// for encryption, too weak ones, those of unknown kinds, and those whose kid, alg or use is
// no string are left out; one that is null or empty counts as absent. Secrets (kty oct) and
// private keys are taken from files only: one that is published at a URL is none. Names of
// members match exactly, and a set that has two members of one name is none.
package jwks
