package chart

import (
	"fmt"
	"html"
	"math"
	"strconv"
)

// The geometry, in the units of the viewBox.
const (
	width   = 720.0
	height  = 340.0
	left    = 76.0
	right   = 16.0
	top     = 44.0
	bottom  = 52.0
	rowStep = 26.0
)

// style is in every chart, so that each can be taken out of its page. The colours
// can be told apart without seeing red and green.
const style = `<style>
.u{font:12px system-ui,sans-serif;fill:#333}.u .t{font-weight:600;font-size:14px}
.u .g{stroke:#ddd;stroke-width:1}.u .a{stroke:#888;stroke-width:1}
.u .l{fill:none;stroke-width:2;stroke-linejoin:round}.u .w{stroke:#333;stroke-width:1.5}
.u .s0{stroke:#2166ac}.u .s1{stroke:#d6604d}.u .s2{stroke:#1b9e77}.u .s3{stroke:#7b3294}.u .s4{stroke:#b8860b}.u .s5{stroke:#666}
.u .f0{fill:#2166ac}.u .f1{fill:#d6604d}.u .f2{fill:#1b9e77}.u .f3{fill:#7b3294}.u .f4{fill:#b8860b}.u .f5{fill:#666}.u .n{fill:#9aa5b1}
@media (prefers-color-scheme:dark){.u{fill:#ccc}.u .g{stroke:#444}.u .w{stroke:#ddd}
.u .s0{stroke:#67a9cf}.u .s1{stroke:#f4a582}.u .s2{stroke:#66c2a5}.u .s3{stroke:#c2a5cf}.u .s4{stroke:#e5c07b}
.u .f0{fill:#67a9cf}.u .f1{fill:#f4a582}.u .f2{fill:#66c2a5}.u .f3{fill:#c2a5cf}.u .f4{fill:#e5c07b}.u .s5{stroke:#aaa}.u .f5{fill:#aaa}.u .n{fill:#7d8791}}
</style>
`

// colours is how many there are.
const colours = 6

func begin(dst []byte, title string, h float64) []byte {
	t := html.EscapeString(title)
	dst = fmt.Appendf(dst, `<svg xmlns="http://www.w3.org/2000/svg" class="u" viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n",
		num(width), num(h), t)
	dst = append(dst, style...)
	return text(dst, left, 20, "t", "start", title)
}

func end(dst []byte) []byte { return append(dst, "</svg>\n"...) }

func text(dst []byte, x, y float64, class, anchor, s string) []byte {
	if class != "" {
		class = ` class="` + class + `"`
	}
	return fmt.Appendf(dst, `<text x="%s" y="%s"%s text-anchor="%s">%s</text>`+"\n", num(x), num(y), class, anchor, html.EscapeString(s))
}

func line(dst []byte, class string, x1, y1, x2, y2 float64) []byte {
	return fmt.Appendf(dst, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`+"\n", class, num(x1), num(y1), num(x2), num(y2))
}

func rect(dst []byte, class string, x, y, w, h float64) []byte {
	return fmt.Appendf(dst, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`+"\n", class, num(x), num(y), num(w), num(h))
}

// num formats a coordinate: a tenth is less than a pixel.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
