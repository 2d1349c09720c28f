package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

// wellFormed fails unless svg is one XML document.
func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%v in %s", err, svg)
			}
			return
		}
	}
}

func TestLines(t *testing.T) {
	for _, c := range []Lines{
		{},
		{Title: `a<b & "c"`, Series: []Series{{Name: "<>", X: []float64{0, 1}, Y: []float64{1, 2}, Dots: true}, {Name: "b"}}},
		{X: Axis{Log: true}, Y: Axis{Log: true}, Series: []Series{{X: []float64{1, 1000}, Y: []float64{0, math.NaN()}}}},
		{Series: []Series{{X: []float64{5}, Y: []float64{-3}}}},
	} {
		svg := c.Append(nil)
		wellFormed(t, svg)
		if strings.Contains(string(svg), "NaN\"") || strings.Contains(string(svg), "Inf") {
			t.Errorf("%+v: no coordinate may be infinite: %s", c, svg)
		}
	}
}

func TestBars(t *testing.T) {
	for _, c := range []Bars{{}, {Title: "t", Bars: []Bar{{Name: "a", Value: 1}, {Name: "b&", Value: 2, Min: 1, Max: 4, Mark: true}}}} {
		wellFormed(t, c.Append(nil))
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		log       bool
		unit      float64
		low, high float64
		want      []float64
	}{
		{false, 0, 0, 10, []float64{0, 2, 4, 6, 8, 10}},
		{false, 0, 3, 0.9, []float64{0, 1, 2, 3}},
		{false, 1024, 0, 4000, []float64{0, 1024, 2048, 3072, 4096}},
		{true, 0, 3, 250, []float64{1, 10, 100, 1000}},
	} {
		a := newAxis(tt.log, tt.unit, 0, 100, []float64{tt.low, tt.high})
		if got := a.ticks(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: got %v", tt, got)
		}
		if a.at(a.low) != 0 || a.at(a.high) != 100 {
			t.Errorf("%+v: the ends are at %g and %g", tt, a.at(a.low), a.at(a.high))
		}
	}
}
