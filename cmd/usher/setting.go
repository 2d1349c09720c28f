//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxSetting bounds a file that a flag names: a larger one must be the wrong file.
const maxSetting = 16 << 20

// readSetting returns the contents of the file that a flag names.
func readSetting(flag, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; name a file that can be read", flag, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSetting+1))
	switch {
	case errors.Is(err, unix.EISDIR):
		return nil, usageError{fmt.Errorf("%s: %s is a directory: name a file", flag, path)}
	case err != nil:
		return nil, fmt.Errorf("%s: %w; name a file that can be read", flag, err)
	case len(text) > maxSetting:
		return nil, usageError{fmt.Errorf("%s: %s is larger than %v: name the right file", flag, path, byteSize(maxSetting))}
	}
	return text, nil
}

// readLines is readSetting for a file with lines of text. An editor may have saved it as
// something else, and then a line would be missed.
func readLines(flag, path string) ([]byte, error) {
	text, err := readSetting(flag, path)
	switch {
	case err != nil:
		return nil, err
	case len(bytes.TrimSpace(text)) == 0:
		return nil, usageError{fmt.Errorf("%s: %s is empty: name the right file", flag, path)}
	case hasMark(text):
		return nil, usageError{fmt.Errorf("%s: %s begins with a byte order mark: save it as UTF-8 without one", flag, path)}
	case bytes.IndexByte(text, 0) >= 0:
		return nil, usageError{fmt.Errorf("%s: %s has bytes of zero in it and is no text: save it as UTF-8", flag, path)}
	}
	return text, nil
}

// hasMark reports whether text begins with the byte order mark of UTF-8 or UTF-16.
func hasMark(text []byte) bool {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(text, []byte(mark)) {
			return true
		}
	}
	return false
}
