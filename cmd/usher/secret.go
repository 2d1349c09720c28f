//go:build linux

package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keyFile is a file with a key, and the algorithm of the key unless it is the usual
// one: "PS256:key.pem".
type keyFile struct {
	algorithm string // "" for the usual one
	path      string
}

// algorithms matches the prefix that names an algorithm.
var algorithms = regexp.MustCompile(`^(?:(?:HS|RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519):`)

// UnmarshalText reads [ALG:]FILE, where FILE is not empty.
func (f *keyFile) UnmarshalText(text []byte) error {
	prefix := algorithms.Find(text)
	f.path = string(text[len(prefix):])
	if f.algorithm = ""; len(prefix) > 0 {
		f.algorithm = string(prefix[:len(prefix)-1])
	}
	if blank(f.path) {
		return fmt.Errorf("%q names no file: want FILE, or ALG:FILE", text)
	}
	return nil
}

// secretFlag says where secrets come from, for all commands that need one.
type secretFlag struct {
	SecretFile []keyFile `placeholder:"[ALG:]FILE" live:"" help:"A file with the HS256 secret, one line of at least 32 bytes; HS384:FILE and HS512:FILE for those algorithms. The first of several signs tokens, and all verify them. If not given, the secret is in USHER_SECRET."`
}

// secret signs and verifies tokens with an HMAC.
type secret struct {
	algorithm string
	text      []byte
}

// read returns the secrets, the one that signs first. There may be none.
func (f secretFlag) read() (secrets []secret, err error) {
	for _, file := range f.SecretFile {
		text, err := readSetting("--secret-file", file.path)
		if err != nil && mayBeSecret(file.path) {
			return nil, usageError{errors.New("--secret-file: cannot read the file of that name, which may be the secret itself: write that into a file, and name the file")}
		}
		if err != nil {
			return nil, err
		}
		parsed, err := parseSecret(text, file.path, cmp.Or(file.algorithm, "HS256"))
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		secrets = append(secrets, parsed)
	}
	if text := os.Getenv("USHER_SECRET"); text != "" && secrets == nil {
		parsed, err := parseSecret([]byte(text), "USHER_SECRET", "HS256")
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, parsed)
	}
	return secrets, nil
}

// mayBeSecret reports whether a file name may be a secret given by mistake, which must
// not be printed.
func mayBeSecret(path string) bool {
	return len(path) >= minSecrets["HS256"] && !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, ".")
}

// parseSecret returns text as a secret, without the newline that an editor leaves at its
// end. Anything else that cannot be seen is an error: a program that reads the same file in
// another way would get another secret.
func parseSecret(text []byte, from, algorithm string) (secret, error) {
	least := minSecrets[algorithm]
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	var wrong string
	switch {
	case least == 0:
		return secret{}, usageError{fmt.Errorf("%s takes no secret: want HS256, HS384 or HS512", algorithm)}
	case len(text) == 0:
		wrong = "is empty"
	case hasMark(text):
		wrong = "begins with a byte order mark"
	case len(bytes.TrimSpace(text)) < len(text):
		wrong = "begins or ends with blanks or empty lines"
	case bytes.IndexFunc(text, unseen) >= 0:
		wrong = "is not one line of text"
	case len(text) < least:
		wrong = fmt.Sprintf("has %d bytes and needs %d", len(text), least)
	default:
		return secret{algorithm, text}, nil
	}
	return secret{}, usageError{fmt.Errorf("the secret in %s %s: make one with `openssl rand -hex %d`", from, wrong, least)}
}

// unseen reports whether r is not printable, or stands for a byte that is not UTF-8.
func unseen(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// minSecrets are the lengths, in bytes, that RFC 7518 §3.2 asks for.
var minSecrets = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// newSecret returns a secret for one run.
func newSecret() secret {
	text := make([]byte, minSecrets["HS256"])
	_, _ = rand.Read(text) // it never fails: crypto/rand ends the program instead
	return secret{"HS256", text}
}

// claimFlags are the issuer and audience of tokens: serve demands them, token writes
// them.
type claimFlags struct {
	Issuer   string `placeholder:"ISS" live:"" help:"The issuer of tokens, claim iss."`
	Audience string `placeholder:"AUD" live:"" help:"The audience of tokens, claim aud."`
}
