//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFlag names the file with settings, for the commands that take any from outside the
// command line.
type configFlag struct {
	Config string `placeholder:"FILE" help:"A YAML file with settings, whose keys are the names of flags without the dashes before them. The environment goes before it, and the command line before both."`
}

// maxConfig bounds a file of settings, since each of its bytes may take a hundred when it is
// taken apart.
const maxConfig = 1 << 20

// setting is what a file says of one flag.
type setting struct {
	values []string // one, unless it is a list
	isList bool
	line   int
}

// readConfig returns the settings in a file by their keys.
func readConfig(path string) (map[string]setting, error) {
	text, err := readLines("--config", path)
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("--config: %s is larger than %v: name the right file", path, byteSize(maxConfig))
	}
	settings, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("--config: %s: %w", path, err)
	}
	return settings, nil
}

// parseConfig returns the settings in text: a mapping in one document, of values and of lists
// of values. Values stay as they are written, for the flags to read. Whatever could surprise
// its author is an error: anchors, tags, and keys that are there twice.
func parseConfig(text []byte) (map[string]setting, error) {
	line := 0
	for row := range bytes.Lines(text) {
		line++
		if bytes.ContainsFunc(bytes.TrimRight(row, "\r\n"), func(r rune) bool { return r != '\t' && unseen(r) }) {
			return nil, fmt.Errorf("line %d: it has characters that cannot be seen: save it as UTF-8, without them", line)
		}
	}
	root, err := parseDocument(text)
	if root == nil {
		return nil, err
	}
	if root.Kind != yaml.MappingNode || root.Anchor != "" || root.Style&yaml.TaggedStyle != 0 {
		return nil, fmt.Errorf("line %d: want lines like `rate: 50/s`", root.Line)
	}
	settings := make(map[string]setting, len(root.Content)/2)
	for k := 0; k < len(root.Content); k += 2 {
		key, value := root.Content[k], root.Content[k+1]
		name, err := scalar(key)
		if err != nil {
			return nil, err
		}
		if old, twice := settings[name]; twice {
			return nil, fmt.Errorf("line %d: %s is given twice, first in line %d: give it once", key.Line, name, old.line)
		}
		said := setting{isList: value.Kind == yaml.SequenceNode, line: key.Line}
		if said.values, err = scalars(value); err != nil {
			return nil, err
		}
		settings[name] = said
	}
	return settings, nil
}

// parseDocument returns what is in the only document of text, or nil if there are nothing but
// comments.
func parseDocument(text []byte) (*yaml.Node, error) {
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		err = decoder.Decode(&more)
	}
	if err == nil {
		return nil, fmt.Errorf("line %d: a second document begins here: want one", more.Line)
	}
	if errors.Is(err, io.EOF) {
		return document.Content[0], nil
	}
	says := strings.TrimPrefix(err.Error(), "yaml: ")
	if !strings.HasPrefix(says, "line ") {
		says = "line 1: " + says // it leaves that out
	}
	return nil, fmt.Errorf("%s: want lines like `rate: 50/s`, with quotes around what begins with * or &", says)
}

// scalars returns a value, or those of a list.
func scalars(n *yaml.Node) (values []string, err error) {
	if n.Kind != yaml.SequenceNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		value, err := scalar(n)
		return []string{value}, err
	}
	for _, element := range n.Content {
		value, err := scalar(element)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// scalar returns a value as it is written.
func scalar(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return "", fmt.Errorf("line %d: anchors and aliases are not taken: write the value out, and in quotes if the & or * is a part of it", n.Line)
	case n.Style&yaml.TaggedStyle != 0:
		return "", fmt.Errorf("line %d: tags are not taken: write the value alone, and in quotes if the ! is a part of it", n.Line)
	case n.Kind != yaml.ScalarNode:
		return "", fmt.Errorf("line %d: want a value, or a list of values, with quotes around what ends with a colon", n.Line)
	case n.Tag == "!!null" && n.Value != "":
		return "", fmt.Errorf("line %d: %s is no value: leave the key out, or write \"%s\" in quotes", n.Line, n.Value, n.Value)
	case strings.ContainsFunc(n.Value, unseen):
		return "", fmt.Errorf("line %d: want a value in one line, without characters that cannot be seen", n.Line)
	}
	return n.Value, nil
}
