package main

// byteOffsets tells where each code point of a text begins, in bytes, and where the last one ends.
//
// Services count code points, Go counts bytes: 甲 is one of the former and three of the latter.
// text[at[start]:at[end]] is the range that a service means.
func byteOffsets(text string) []int {
	at := make([]int, 0, len(text)+1)
	// A string is iterated by code points.
	for i := range text {
		at = append(at, i)
	}
	return append(at, len(text))
}
