package chart

import "math"

// axis maps values to coordinates.
type axis struct {
	low, high float64
	from, to  float64 // coordinates of low and high
	log       bool
	unit      float64 // ticks are round multiples of it
}

// newAxis covers all values. A linear axis begins at zero if they are not
// negative; a logarithmic one leaves out what is not positive.
func newAxis(log bool, unit, from, to float64, values ...[]float64) axis {
	a := axis{low: math.Inf(1), high: math.Inf(-1), from: from, to: to, log: log, unit: unit}
	if unit == 0 {
		a.unit = 1
	}
	for _, list := range values {
		for _, v := range list {
			if math.IsNaN(v) || math.IsInf(v, 0) || log && v <= 0 {
				continue
			}
			a.low, a.high = min(a.low, v), max(a.high, v)
		}
	}
	if a.low > a.high { // there are none
		a.low, a.high = 0, 1
		if log {
			a.low = 0.1
		}
	}
	if log {
		a.low = math.Pow(10, math.Floor(math.Log10(a.low)+1e-9))
		a.high = math.Pow(10, math.Ceil(math.Log10(a.high)-1e-9))
		if a.low == a.high {
			a.high *= 10
		}
		return a
	}
	a.low = min(a.low, 0)
	if a.high == a.low {
		a.high = a.low + 1
	}
	step := a.step()
	a.high = math.Ceil(a.high/step-1e-9) * step
	return a
}

func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(max(v, low)), math.Log10(low), math.Log10(high)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// step is the distance of the ticks of a linear axis: 1, 2 or 5 of some power of
// ten, so that there are four to ten of them.
func (a axis) step() float64 {
	rough := (a.high - a.low) / 5 / a.unit
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= rough {
			return m * power * a.unit
		}
	}
	return 10 * power * a.unit
}

// ticks returns the values worth a line.
func (a axis) ticks() (values []float64) {
	if a.log {
		for v := a.low; v <= a.high*1.001; v *= 10 {
			values = append(values, v)
		}
		return values
	}
	step := a.step()
	for k := math.Ceil(a.low/step - 1e-9); k*step <= a.high*1.000001; k++ {
		values = append(values, k*step+0) // never -0
	}
	return values
}
