// Package jwt verifies JSON Web Tokens, RFC 7519, for the guard Bearer of package
// upgrade:
//
//	v, err := jwt.HS256(secret) // at least 32 bytes
//	…
//	door := &upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(v)}}
//
// HS256 makes the simplest [Verifier], one for a single secret. Other algorithms, several
// keys, an issuer or an audience go into a Verifier of your own:
//
//	keys, err := jwt.ParsePEM(text, "")
//	…
//	set, err := jwt.NewKeySet(keys...)
//	…
//	v := &jwt.Verifier{Keys: set, Issuer: "https://id.example"}
//
// The keys of a key server, which change, are in package upgrade/jwks.
//
// # What a token must have
//
// A signature by one of the keys, of the algorithm that the key is for: a token cannot
// choose its algorithm. A sub, and an exp that has not passed; an nbf, if there is one,
// that has. Times are between 1970 and the year 9999. What two parsers could read in two
// ways is refused: a member that is there twice, also in another case, bytes that are
// neither base64url nor a dot, a kid that is no string. So is crit.
//
// # Where it is verified
//
// A token is taken apart once. If the keys that may have signed it take an event loop no
// longer than a tenth of a millisecond, it is verified in place. If they take longer, or if
// only a key server could know the key, the token is slow: see upgrade.SlowVerifier. Of good
// tokens 8,192 are remembered by a digest, and are not slow when they come again. A quarter of a
// mebibyte of those that did come again, about 250, are remembered with all that they say.
//
// This is the package that brings golang-jwt into a build. Package upgrade does not need
// it: a Verifier can be anything that tells good tokens from bad ones.
package jwt
