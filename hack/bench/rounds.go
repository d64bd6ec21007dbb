package main

import (
	"context"
	"fmt"
	"slices"
)

// sample has the results of one measurement of one side, by metric.
type sample map[string]float64

// results has the samples of each side, one for each round.
type results map[string][]sample

// interleave measures all sides in each round, so that other load affects them alike. The
// first side alternates.
func interleave(ctx context.Context, rounds int, sides []string, measure func(ctx context.Context, side string, round int) (sample, error)) (results, error) {
	found := results{}
	for round := range rounds {
		for i := range sides {
			side := sides[(i+round)%len(sides)]
			s, err := measure(ctx, side, round)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", side, round+1, err)
			}
			found[side] = append(found[side], s)
		}
	}
	return found, nil
}

// value returns the median over the rounds.
func (r results) value(side, metric string) *float64 {
	var values []float64
	for _, s := range r[side] {
		if v, ok := s[metric]; ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil
	}
	return new(median(values))
}

// ratios returns the ratio of each round. It compares two adjacent measurements, not two
// medians from different times.
func (r results) ratios(over, under, metric string) []float64 {
	var ratios []float64
	for i := range min(len(r[over]), len(r[under])) {
		a, b := r[over][i][metric], r[under][i][metric]
		if b > 0 {
			ratios = append(ratios, a/b)
		}
	}
	return ratios
}

// best returns the side with the lowest median of a metric.
func (r results) best(metric string, sides ...string) string {
	return slices.MinFunc(sides, func(a, b string) int {
		x, y := *r.value(a, metric), *r.value(b, metric)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

func median(values []float64) float64 { return percentile(values, 0.5) }

func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(p*float64(len(sorted)-1)+0.5)]
}
