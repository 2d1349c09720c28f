// Package chart draws a few kinds of charts as SVG, each of which stands alone: no
// script, no font and no colour from outside, legible on light and on dark.
//
// It is arithmetic and text: the numbers come in, bytes are appended.
package chart
